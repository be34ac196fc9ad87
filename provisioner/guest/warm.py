"""The warm connection: one SSH connection per instance that every command goes through once it is open.

A handshake costs a second and more under emulation. OpenSSH's own client keeps a connection open for others (a
master, reached by a Unix socket): a few megabytes, started by whoever needs it first, gone with the guest or after
ten idle minutes.

Measured with a guest under emulation on two busy processors (medians): `ssh guest true` with a handshake 3.2 s,
with curve25519 put first 2.0 s, through a master 0.27 s. A Paramiko transport held by a process of our own would
take as long for a command as a master (0.49 s both, measured in turn): what is left is the guest's, and that
process would weigh ten times as much, and have to do terminals, signals and its own end by itself.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.errors import GuestError
from provisioner.core.files import locked
from provisioner.core.paths import ensure_dir
from provisioner.core.process import CommandResult, require_tool
from provisioner.guest.base import OnLine
from provisioner.guest.commands import (
    check_status,
    connection_lost,
    key_refused,
    not_ours,
    pass_lines,
    put_command,
    quote_command,
    timed_out,
    unreachable,
)

#: Seconds between two questions whether the guest is there, and how many may stay without an answer: a guest that
#: hangs must not hold its users for ever, but a drowning host lets one wait for minutes.
_QUESTION, _UNANSWERED = 30, 5
#: What ssh(1) itself returns when it could not connect or lost the connection; a command may return it as well.
SSH_FAILED = 255

_CHUNK = 65536
#: Seconds until a command is told to stop or go that says nothing by itself.
_TICK = 0.05
# ssh closes the descriptors that it inherits, so the lock is held by a shell that waits for it.
_HOLDING_THE_LOCK = ("sh", "-c", '"$@"; :', "sh")


@dataclass(frozen=True)
class WarmConnection:
    """The guest called ``host`` in the ssh_config ``config``, and the ``socket`` of the open connection to it.

    Who opens it holds ``lock``. The configuration pins the guest's host key and lets nobody else in. Seconds:
    ``timeout`` for a handshake, ``idle`` without a user after which it ends.
    """

    host: str
    config: Path
    socket: Path
    lock: Path
    timeout: int = 30
    idle: int = 600

    def is_open(self) -> bool:
        """Whether it can be used; what a killed master left behind does not answer."""
        with socket.socket(socket.AF_UNIX) as caller:
            try:
                caller.connect(str(self.socket))
            except OSError:
                return False
        return True

    def ensure_open(self) -> None:
        """Open it unless it is open, waiting for whoever is at it.

        Raises GuestError: "guest-unreachable", "host-key-mismatch" (nothing was sent to it), "guest-refused".
        """
        if self.is_open():
            return
        with locked(self.lock):
            if not self.is_open():
                self._open()

    def open_behind(self) -> None:
        """Begin to open it, so that the next command finds it open; does not wait, and tells of no failure."""
        if self.is_open():
            return
        with contextlib.suppress(BlockingIOError), locked(self.lock, wait=False) as lock:
            self._prepare()
            subprocess.Popen(
                [*_HOLDING_THE_LOCK, *self._master()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, cwd="/", start_new_session=True, pass_fds=(lock,),
            )  # fmt: skip

    def close(self) -> None:
        """End it, and everything that goes through it; does nothing when it is not open."""
        with locked(self.lock):
            if self.is_open():
                subprocess.run(
                    self.argv("-O", "exit"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, timeout=self.timeout, check=False,
                )  # fmt: skip
            self.socket.unlink(missing_ok=True)

    def argv(self, *options: str) -> list[str]:
        """The command line of an ssh that goes through it; raises HostError("tool-missing")."""
        return [str(require_tool("ssh", "to reach the guest")), *self.options(), *options, self.host]

    def options(self) -> list[str]:
        """What ssh and scp are told so that they use it."""
        return ["-F", str(self.config), "-o", f'ControlPath="{_escaped(self.socket)}"']

    def _master(self) -> list[str]:
        settings = (
            "ControlMaster=yes", f"ControlPersist={self.idle}", f"ConnectTimeout={self.timeout}",
            f"ServerAliveInterval={_QUESTION}", f"ServerAliveCountMax={_UNANSWERED}",
            "KexAlgorithms=^curve25519-sha256",
        )  # fmt: skip
        return self.argv("-f", "-N", *(word for setting in settings for word in ("-o", setting)))

    def _prepare(self) -> None:
        ensure_dir(self.socket.parent)
        self.socket.unlink(missing_ok=True)

    def _open(self) -> None:
        self._prepare()
        # A file, because the master of an OpenSSH before 8.5 keeps stderr open and a pipe would not end.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                self._master(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, cwd="/",
                start_new_session=True, check=False,
            )  # fmt: skip
            said.seek(0)
            if done.returncode:
                raise _opening_error(said.read().decode(errors="replace").strip())


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def _opening_error(said: str) -> GuestError:
    if "Host key verification failed" in said or "no matching host key type" in said:
        return not_ours("shows an unknown SSH host key", said)
    if "Permission denied" in said:
        return key_refused(said)
    return unreachable(said)


class WarmGuest:
    """The ``Guest`` of ``base.py`` over a warm connection that is open."""

    def __init__(self, connection: WarmConnection) -> None:
        self._connection = connection

    def run(
        self, argv: Sequence[str], *, input: bytes = b"", timeout: float = 60.0, check: bool = True
    ) -> CommandResult:
        with self._started(argv) as process:
            try:
                out, err = process.communicate(input, timeout=timeout)
            except subprocess.TimeoutExpired as exc:
                raise timed_out(argv, timeout) from exc
        self._check_connection(process)
        text = [stream.decode(errors="replace") for stream in (out, err)]
        result = CommandResult(tuple(argv), process.returncode, *text)
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
        with self._started(argv) as process:
            pass_lines(_chunks(process, argv, timeout, stop, go), on_line)
            process.wait()
        self._check_connection(process)
        return process.returncode

    def put(self, source: Path | bytes, target: str, mode: int = 0o644) -> None:
        data = source if isinstance(source, bytes) else source.read_bytes()
        self.run(put_command(target, mode), input=data, timeout=600)

    def get(self, source: str, target: Path) -> None:
        partial = target.with_name(f".{target.name}.part")
        argv = ["cat", "--", source]
        with partial.open("wb") as file, self._started(argv, stdout=file.fileno()) as process:
            _, said = process.communicate()
        self._check_connection(process)
        check_status(CommandResult(tuple(argv), process.returncode, "", said.decode(errors="replace")))
        partial.replace(target)

    def close(self) -> None:
        """Nothing: the connection is others' as well."""

    @contextlib.contextmanager
    def _started(self, argv: Sequence[str], stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
        # In a session of its own, for Ctrl-C is ours: it lets a command end in good order and does not cut it off.
        process = subprocess.Popen(
            [*self._connection.argv("-T"), "--", quote_command(argv)],
            stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def _check_connection(self, process: subprocess.Popen[bytes]) -> None:
        if process.returncode == SSH_FAILED and not self._connection.is_open():
            raise connection_lost("the guest went away before the command ended")


def _chunks(
    process: subprocess.Popen[bytes],
    argv: Sequence[str],
    timeout: float | None,
    stop: threading.Event | None,
    go: threading.Event | None,
) -> Iterator[tuple[str, bytes]]:
    """Both outputs as they come; stdin takes an empty line on ``go`` and ends on ``stop``."""
    assert process.stdin and process.stdout and process.stderr
    deadline = None if timeout is None else time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, "stdout")
        selector.register(process.stderr, selectors.EVENT_READ, "stderr")
        while selector.get_map():
            if go and go.is_set():
                go = None
                os.write(process.stdin.fileno(), b"\n")
            if stop and stop.is_set():
                stop = None
                process.stdin.close()
            if timeout is not None and deadline is not None and time.monotonic() > deadline:
                raise timed_out(argv, timeout)
            for key, _ in selector.select(_TICK):
                if chunk := os.read(key.fd, _CHUNK):
                    yield key.data, chunk
                else:
                    selector.unregister(key.fileobj)
