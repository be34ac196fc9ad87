"""What every kind of run shares: its report, its messages, and the runner that it watches."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from provisioner.bpf.examples import Example
from provisioner.bpf.protocol import (
    Companion,
    Done,
    Message,
    RunnerError,
    Stage,
    VerifierLog,
    parse_message,
)
from provisioner.bpf.report import ReportBuilder
from provisioner.core.errors import GuestError
from provisioner.core.reporter import Reporter
from provisioner.guest.base import Guest
from provisioner.guest.recipe import make_tar
from provisioner.workflows.instances import DEFAULT_NAME, Instance
from provisioner.workflows.run_request import RunRequest

#: Shell words that remove builds beside ``$1`` that were made long ago, which nobody waits for.
PRUNE = 'find "${1%/*}" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} + </dev/null >/dev/null 2>&1 9>&- &'
#: ``sh -c IN NAME DIRECTORY COMMAND...`` runs a command in a directory of the guest.
IN = 'cd "$1" && shift && exec "$@"'

# Makes ``$1`` of the archive on stdin, whole or not at all. Who comes second finds the same content there.
_SEND = (
    'mkdir -p "$1.$$" && tar -x -C "$1.$$" || { status=$?; rm -rf "$1.$$"; exit $status; }; '
    f'mv -T "$1.$$" "$1" 2>/dev/null || rm -rf "$1.$$"; {PRUNE}'
)

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """The file that a name on the command line means, and the example it belongs to."""

    file: Path
    example: Example | None = None


@dataclass
class Seen:
    """What of the runner's messages decides how the run ends."""

    failure: RunnerError | None = None
    done: Done | None = None
    logs: list[VerifierLog] = field(default_factory=list)
    companion: deque[str] = field(default_factory=lambda: deque(maxlen=100))

    def take(self, message: Message) -> None:
        if isinstance(message, RunnerError) and self.failure is None:
            self.failure = message
        elif isinstance(message, VerifierLog):
            self.logs.append(message)
        elif isinstance(message, Companion):
            self.companion.append(message.text)
        elif isinstance(message, Done):
            self.done = message


@dataclass(frozen=True)
class Run:
    """One run in progress. Setting ``stop`` ends it in good order.

    ``take_over`` is called once, when the program may take the place of one that runs: it ends that one, unless
    ``stop`` was set meanwhile.
    """

    request: RunRequest
    target: Target
    instance: Instance
    builder: ReportBuilder
    on_message: Callable[[Message], None]
    reporter: Reporter
    stop: threading.Event
    take_over: Callable[[], None] | None = None

    def warn(self, text: str) -> None:
        """Tell the user and the report of something that stops nothing."""
        self.reporter.warn(text)
        self.builder.add_warning(text)

    def timed(self, stage: str, action: Callable[[], T]) -> T:
        """Do a stage of the host side, and put into the report how long it took."""
        start, ok = time.monotonic(), False
        try:
            result = action()
            ok = True
            return result
        finally:
            self.builder.add_stage(stage, ok, time.monotonic() - start)

    def triggers(self) -> Sequence[str]:
        """The commands that make the programs run: those asked for, else the example's."""
        if self.request.triggers is not None:
            return self.request.triggers
        return self.target.example.trigger if self.target.example else ()

    def pass_on(self, message: Message) -> None:
        """Give a message to the report and the user; an error is told by who knows the host's file names."""
        if not isinstance(message, RunnerError):
            self.builder.add(message)
        self.on_message(message)

    def watch(
        self,
        guest: Guest,
        argv: Sequence[str],
        directory: str,
        take: Callable[[Message], None] | None = None,
        *,
        held: bool = False,
    ) -> Seen:
        """Start the runner in a directory of the guest and ``take`` what it says until it has ended.

        That is ``pass_on`` unless given. One that is ``held`` takes over when it has loaded the program, another
        one before it is started. Its error, if there is one, is left to the caller. Raises
        GuestError("runner-died").
        """
        take = take or self.pass_on
        seen, stderr, go = Seen(), list[str](), threading.Event()
        if self.take_over and not held:
            self.take_over()

        def on_line(stream: str, line: str) -> None:
            if stream == "stderr":
                stderr.append(line)
                return
            message = parse_message(line)
            seen.take(message)
            take(message)
            if self.take_over and held and _has_loaded(message):
                self.take_over()
                if not self.stop.is_set():
                    go.set()

        command = ["sh", "-c", IN, "run", directory, *argv]
        status = guest.stream(command, on_line, stop=self.stop, go=go)
        if seen.done is None:
            raise GuestError(
                f"The runner ended with status {status} before it was done",
                code="runner-died",
                details="\n".join(stderr[-15:]),
                hint="The guest may be out of memory: `ebpf-dev exec -- dmesg` tells.",
            )
        return seen


def _has_loaded(message: Message) -> bool:
    return isinstance(message, Stage) and message.name == "load" and message.ok


def send(guest: Guest, directory: str, files: Mapping[str, Path | bytes]) -> None:
    """Make a directory of the guest's builds, named after its content; those made long ago are removed."""
    guest.run(["sh", "-c", _SEND, "send", directory], input=make_tar(files), timeout=120)


def package_missing(what: str, package: str, instance: str) -> GuestError:
    """The error for ``what`` needs ``package`` (as `ebpf-dev add` calls it) and the guest has none."""
    option = "" if instance == DEFAULT_NAME else f" -i {instance}"
    return GuestError(
        f"{what} needs {package}, which is not installed in instance '{instance}'",
        code="package-missing",
        hint=f"Install it: `ebpf-dev add {package}{option}`.",
    )
