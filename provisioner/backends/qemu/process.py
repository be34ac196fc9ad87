"""The QEMU process of a machine: started, found again, and only ever signalled when it is ours.

QEMU inherits a descriptor of a locked file and keeps the lock for as long as it exists. So whether it
exists is a question to the kernel, no matter which process started it, whether that one was killed in the
middle, or whose process number it has by now.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from provisioner.backends.qemu.layout import QemuFiles
from provisioner.backends.qemu.qmp import Qmp, QmpError
from provisioner.core.files import write_json
from provisioner.core.process import command_line

_TICK = 0.02
#: Seconds for which somebody who only looks whether the lock is held may be in the way.
_LOCK_PATIENCE = 1.0


class StartedElsewhereError(Exception):
    """Another process started this machine between our looking and our starting it."""


class QemuProcess:
    """The process of one machine, whether or not it exists."""

    def __init__(self, files: QemuFiles) -> None:
        self.files = files

    def exists(self) -> bool:
        """Whether QEMU runs, or is being started by somebody this very moment."""
        try:
            handle = os.open(self.files.lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who look do not take each other for QEMU.
            return not _lock(handle, fcntl.LOCK_SH)
        finally:
            os.close(handle)

    def launch(
        self, argv: Sequence[str], record: Mapping[str, Any], *, go_on: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start QEMU in a session of its own, its words going to ``qemu.log``; returns at once.

        ``record`` is kept as JSON beside it. All paths in ``argv`` have to be absolute. Unless it is to
        ``go_on`` from saved memory, that is forgotten and the console begins anew.
        Raises StartedElsewhereError when it exists already.
        """
        files = self.files
        lock = self._acquire()
        try:
            files.sweep()
            for fifo in files.fifos:
                os.mkfifo(fifo, 0o600)
            if not go_on:
                files.begin_anew()
            write_json(files.record, record)
            with files.log.open("wb") as log:
                return subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                    start_new_session=True, pass_fds=(lock,),
                )  # fmt: skip
        finally:
            os.close(lock)

    def connect(self, timeout: float = 5.0) -> Qmp:
        """An open control connection to this machine's QEMU, waiting for one that is just starting.

        Raises QmpError after ``timeout`` seconds, or as soon as the process does not exist any more.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self._connect(max(0.1, deadline - time.monotonic()))
            except QmpError:
                if time.monotonic() >= deadline or not self.exists():
                    raise
                time.sleep(_TICK)

    def pid(self) -> int | None:
        """The process number, or None when there is none that is certainly ours."""
        try:
            pid = int(self.files.pid.read_text())
        except (OSError, ValueError):
            return None
        return pid if self.files.uuid in command_line(pid) else None

    def kill(self) -> None:
        """End the process without asking it; does nothing when its number is not known for certain."""
        pid = self.pid()
        if pid is not None and self.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_gone(self, timeout: float) -> bool:
        """Whether the process ended within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while self.exists():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_TICK)
        return True

    def _connect(self, timeout: float) -> Qmp:
        qmp = Qmp(self.files.socket, timeout)
        try:
            if qmp.uuid() != self.files.uuid:
                raise QmpError("the control socket belongs to another machine")
        except BaseException:
            qmp.close()
            raise
        return qmp

    def _acquire(self) -> int:
        handle = os.open(self.files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _LOCK_PATIENCE
        while not _lock(handle, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                os.close(handle)
                raise StartedElsewhereError
            time.sleep(_TICK)
        return handle


def _lock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
