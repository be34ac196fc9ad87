"""The seam between workflows and a running guest; ``connection.py`` implements it over SSH."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from provisioner.core.process import CommandResult

#: Where everything of ours lives in the guest; one directory, so that it is easy to look at and to remove.
HOME = "/var/lib/ebpf-dev"

OnLine = Callable[[str, str], None]
"""Called with ``"stdout"`` or ``"stderr"`` and one line without its end."""


class Guest(Protocol):
    """An open connection to a guest, as root. Commands are argv lists; quoting happens in one function."""

    def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes = b"",
        timeout: float = 60.0,
        check: bool = True,
    ) -> CommandResult:
        """Run a command to its end; raises GuestError("guest-timeout"), "guest-lost", and with ``check``
        GuestError("guest-command-failed") when its status is not 0."""

    def stream(
        self,
        argv: Sequence[str],
        on_line: OnLine,
        *,
        timeout: float | None = None,
        stop: threading.Event | None = None,
        go: threading.Event | None = None,
    ) -> int:
        """Run a command, passing on its lines as they come, and return its status.

        When ``go`` is set the command is given an empty line, once, which it may be waiting for. When ``stop``
        is set its stdin is closed, which asks it to end by itself; its remaining lines are still read.
        Raises GuestError("guest-lost") when the connection breaks.
        """

    def put(self, source: Path | bytes, target: str, mode: int = 0o644) -> None:
        """Write a file on the guest (its directory must exist), complete or not at all."""

    def get(self, source: str, target: Path) -> None:
        """Fetch a file from the guest."""

    def close(self) -> None: ...
