"""Guests that are no machines, for what only runs commands in one."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from provisioner.core.process import CommandResult
from provisioner.guest.base import OnLine
from provisioner.guest.commands import check_status, put_command


class HereGuest:
    """Runs commands on this machine, with stdin as a pipe, as sshd gives it."""

    def run(
        self, argv: Sequence[str], *, input: bytes = b"", timeout: float = 60.0, check: bool = True
    ) -> CommandResult:
        done = subprocess.run(argv, input=input, capture_output=True, timeout=timeout, check=False)
        result = CommandResult(tuple(argv), done.returncode, done.stdout.decode(), done.stderr.decode())
        return check_status(result) if check else result

    def stream(
        self,
        argv: Sequence[str],
        on_line: OnLine,
        *,
        timeout: float | None = None,
        stop: threading.Event | None = None,
        go: threading.Event | None = None,
    ) -> int:
        result = self.run(argv, timeout=timeout or 60.0, check=False)
        for line in result.stdout.splitlines():
            on_line("stdout", line)
        for line in result.stderr.splitlines():
            on_line("stderr", line)
        return result.status

    def put(self, source: Path | bytes, target: str, mode: int = 0o644) -> None:
        self.run(put_command(target, mode), input=source if isinstance(source, bytes) else source.read_bytes())

    def get(self, source: str, target: Path) -> None:
        shutil.copyfile(source, target)

    def close(self) -> None:
        pass
