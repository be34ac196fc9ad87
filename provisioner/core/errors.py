"""Every failure that the tool explains to its user: brief, details, hint, a code, a status per family."""

from __future__ import annotations

from typing import Any


class EbpfDevError(Exception):
    """A failure with an explanation; raised where the fact is known, shown once by ``main()``.

    ``brief`` says what failed in one line, ``details`` is the evidence (tool output, log lines),
    ``hint`` the next step, and ``code`` a stable word that scripts may match on.
    """

    exit_status = 1

    def __init__(self, brief: str, *, code: str, details: str = "", hint: str = "") -> None:
        super().__init__(brief)
        self.brief = brief
        self.code = code
        self.details = details
        self.hint = hint


class UsageError(EbpfDevError):
    """The command line, a name or a configuration file is not acceptable."""

    exit_status = 2


class HostError(EbpfDevError):
    """The host lacks something: a tool, disk space, the network, a permission."""

    exit_status = 3


class InstanceError(EbpfDevError):
    """An instance, an image or a golden is missing, broken or would not start."""

    exit_status = 4


class GuestError(EbpfDevError):
    """The guest does not answer, refused us, or a step inside it failed."""

    exit_status = 5


class BuildError(EbpfDevError):
    """A program did not compile."""

    exit_status = 6

    def __init__(
        self,
        brief: str,
        *,
        code: str,
        details: str = "",
        hint: str = "",
        file: str | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(brief, code=code, details=details, hint=hint)
        self.file = file
        self.line = line
        #: Of a verifier refusal: the object ``explanation`` of the report, schema 1.
        self.explanation: dict[str, Any] | None = None


class LoadError(BuildError):
    """The kernel or libbpf refused an object."""

    exit_status = 7


class AttachError(BuildError):
    """A loaded program could not be attached."""

    exit_status = 8


#: Our own failure in ``exec`` and with companion programs, whose statuses are passed on unchanged.
PASS_THROUGH_FAILURE = 125
INTERRUPTED = 130


def host_refused(exc: OSError) -> HostError:
    """A full disk, a missing permission: the host's fault wherever in the code it comes to light."""
    return HostError(
        f"The host refused: {exc.strerror or exc}",
        code="host-refused",
        details=f"{exc.filename or type(exc).__name__}",
        hint="`ebpf-dev doctor` checks disk space and permissions.",
    )
