"""A client for QMP, QEMU's control protocol: one JSON object a line, over a Unix socket.

QEMU serves one client at a time, so connections are short: open one, ask, close it.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_HOST_FORWARD = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+22\s")
_TAKEN = re.compile(r"TCP\[ESTABLISHED\]\s+\d+\s+\S+\s+\d+\s+\S+\s+22\s")

#: The migration capability to leave out memory that a file holds anyway; unstable by its name, in QEMU since 4.0.
LEAVE_OUT_SHARED = "x-ignore-shared"
#: What QEMU calls the descriptor that it is given to write to.
_FD_NAME = "saved"


class QmpError(Exception):
    """QEMU is not there, did not answer in time, or refused a command."""


class Qmp:
    """An open control connection; ``timeout`` bounds the connection and every command, in seconds."""

    def __init__(self, path: Path, timeout: float = 5.0) -> None:
        self._timeout = timeout
        self._received = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connect(path)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Qmp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run one command and return what it returns; raises QmpError."""
        return self._execute(command, arguments)

    def status(self) -> str:
        """QEMU's run state, for example "running", "paused", "internal-error" or "io-error"."""
        return str(self.execute("query-status")["status"])

    def uuid(self) -> str:
        return str(self.execute("query-uuid")["UUID"])

    def ssh_port(self) -> int:
        """The host's port that QEMU forwards to the guest's port 22."""
        port = parse_ssh_port(self._monitor("info usernet"))
        if port is None:
            raise QmpError("QEMU forwards no port to the guest's sshd")
        return port

    def ssh_taken(self) -> bool:
        """Whether the guest itself, not only QEMU, has accepted a connection to its sshd."""
        return is_ssh_taken(self._monitor("info usernet"))

    def guest_network_up(self) -> bool:
        """Whether the guest's driver has configured its network card; its address may come later."""
        filters = self.execute("query-rx-filter")
        # Linux joins multicast groups when it brings an interface up.
        return any(entry["multicast-table"] for entry in filters)

    def start_saving(self, target: socket.socket, *, leave_out_shared: bool) -> None:
        """Begin to write the machine to ``target``; memory that is shared with a file can be left out."""
        self._allow(leave_out_shared)
        # Unlimited, as 0 is not in every version: what limits a migration is meant for networks.
        self.execute("migrate-set-parameters", **{"max-bandwidth": 2**40})
        self._execute("getfd", {"fdname": _FD_NAME}, [target.fileno()])
        self.execute("migrate", uri=f"fd:{_FD_NAME}")

    def start_loading(self, uri: str, *, leave_out_shared: bool) -> None:
        """Begin to read a machine from ``uri`` into one that was started to be told so."""
        self._allow(leave_out_shared)
        self.execute("migrate-incoming", uri=uri)

    def saving(self) -> str:
        """How far a save is: "setup", "active", ..., and at last "completed" or "failed"."""
        return str(self.execute("query-migrate").get("status", "none"))

    def _allow(self, leave_out_shared: bool) -> None:
        # Said both ways: a machine that was resumed with it has it still when it is saved without.
        wanted = [{"capability": LEAVE_OUT_SHARED, "state": leave_out_shared}]
        self.execute("migrate-set-capabilities", capabilities=wanted)

    def _execute(self, command: str, arguments: Mapping[str, Any], descriptors: Sequence[int] = ()) -> Any:
        request = json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
        deadline = time.monotonic() + self._timeout
        try:
            # A socket that has sent a part of so few bytes is as good as closed.
            socket.send_fds(self._socket, [request], descriptors)
            return self._answer(command, deadline)
        except OSError as exc:
            raise QmpError(f"{command}: {exc}") from exc

    def _monitor(self, command: str) -> str:
        # The only way to learn the forwarded ports: QMP itself has no command for them.
        return str(self.execute("human-monitor-command", **{"command-line": command}))

    def _connect(self, path: Path) -> None:
        deadline = time.monotonic() + self._timeout
        self._socket.settimeout(self._timeout)
        try:
            self._socket.connect(str(path))
            greeting = self._message(deadline)
        except OSError as exc:
            raise QmpError(str(exc)) from exc
        if "QMP" not in greeting:
            raise QmpError("whoever listens on the control socket is not QEMU")
        self.execute("qmp_capabilities")

    def _answer(self, command: str, deadline: float) -> Any:
        while True:
            message = self._message(deadline)
            if "error" in message:
                raise QmpError(f"{command}: {message['error'].get('desc', message['error'])}")
            if "return" in message:
                return message["return"]
            # Anything else is an event, which may come at any time.

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._received:
            left = deadline - time.monotonic()
            if left <= 0:
                raise QmpError(f"no answer within {self._timeout:.0f} s")
            self._socket.settimeout(left)
            data = self._socket.recv(65536)
            if not data:
                raise QmpError("QEMU closed the connection")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise QmpError("the answer is not a JSON object")
        return message


def parse_ssh_port(usernet: str) -> int | None:
    """The host port of the forward to port 22 in the text of ``info usernet``; None without one."""
    match = _HOST_FORWARD.search(usernet)
    return int(match.group(1)) if match else None


def is_ssh_taken(usernet: str) -> bool:
    """Whether the text of ``info usernet`` shows a connection that reached the guest's port 22."""
    return _TAKEN.search(usernet) is not None
