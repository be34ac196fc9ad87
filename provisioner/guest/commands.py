"""What every connection to a guest shares: how a command is written for it, and how its failure is told."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from provisioner.core.errors import GuestError
from provisioner.core.process import CommandResult
from provisioner.guest.base import OnLine

#: The account that all connections use.
USER = "root"
#: The next step when a guest does not answer.
LOOK_AT_IT = "Look at it with `ebpf-dev status` and `ebpf-dev logs`; `ebpf-dev up` starts it again."

# A name beside the target and one rename: a reader sees the old file or the whole new one.
_PUT = 'umask 077; cat > "$1.part" && chmod "$2" "$1.part" && mv -f "$1.part" "$1"'


def quote_command(argv: Sequence[str]) -> str:
    """The one place where an argv list becomes a remote shell's command line."""
    return shlex.join(argv)


def put_command(target: str, mode: int) -> list[str]:
    """The command that writes its input to ``target``, complete or not at all."""
    return ["sh", "-c", _PUT, "put", target, f"{mode:o}"]


def pass_lines(chunks: Iterable[tuple[str, bytes]], on_line: OnLine) -> None:
    """Call ``on_line`` for every line in ``chunks`` of a command's outputs, also for a last one without an end.

    Each chunk comes with the name of its output, ``"stdout"`` or ``"stderr"``.
    """
    rest = {"stdout": b"", "stderr": b""}
    for name, chunk in chunks:
        *lines, rest[name] = (rest[name] + chunk).split(b"\n")
        for line in lines:
            on_line(name, line.decode(errors="replace"))
    for name, line in rest.items():
        if line:
            on_line(name, line.decode(errors="replace"))


def check_status(result: CommandResult) -> CommandResult:
    """The result of a command that ended well; raises GuestError("guest-command-failed")."""
    if result.ok:
        return result
    raise GuestError(
        f"`{result.argv[0]}` failed in the guest with status {result.status}",
        code="guest-command-failed",
        details=(result.stderr or result.stdout).strip(),
        hint=_command_hint(result.argv),
    )


def timed_out(argv: Sequence[str], timeout: float) -> GuestError:
    """The error about a command that took longer than ``timeout`` seconds."""
    return GuestError(
        f"`{argv[0]}` did not finish in the guest within {timeout:.0f} s",
        code="guest-timeout",
        hint=_command_hint(argv),
    )


def connection_lost(details: str) -> GuestError:
    """The error about a connection that broke under a command."""
    return GuestError("The connection to the guest was lost", code="guest-lost", details=details, hint=LOOK_AT_IT)


def unreachable(details: str) -> GuestError:
    """The error about a guest to which no connection can be opened."""
    return GuestError(
        "The guest does not answer over SSH", code="guest-unreachable", details=details, hint=LOOK_AT_IT
    )


def key_refused(details: str) -> GuestError:
    """The error about a guest that does not let us in."""
    return GuestError(
        "The guest refused our SSH key",
        code="guest-refused",
        details=details,
        hint="Its /root/.ssh/authorized_keys was changed. `ebpf-dev delete` and `up` make a fresh one.",
    )


def not_ours(shows: str, details: str) -> GuestError:
    """The error about somebody else behind the forwarded port, who ``shows`` another key than the pinned one."""
    return GuestError(
        f"The machine behind the forwarded port is not ours: it {shows}",
        code="host-key-mismatch",
        details=details,
        hint="Another program has taken the port. Run `ebpf-dev down` and `ebpf-dev up` for a new one.",
    )


def _command_hint(argv: Sequence[str]) -> str:
    return f"The command was: {quote_command(argv)[:300]}"
