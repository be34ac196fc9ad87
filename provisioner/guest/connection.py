"""One SSH connection to a guest through Paramiko, which is imported nowhere else."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.backends.base import Endpoint
from provisioner.core.errors import GuestError
from provisioner.core.process import CommandResult
from provisioner.guest.base import OnLine
from provisioner.guest.commands import (
    USER,
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
from provisioner.guest.identity import Identity

if TYPE_CHECKING:
    import paramiko

_CHUNK = 32768  # Paramiko's own packet size: larger reads return no more.
#: A guest that says nothing for so long is asked whether it is there, and then has this long to answer; seconds.
_ASK_AFTER, _ANSWER_WITHIN = 30.0, 120.0


def connect(endpoint: Endpoint, identity: Identity, timeout: float = 30.0) -> SSHGuest:
    """Open a connection as root with our key, to a guest that shows our pinned host key; seconds.

    Raises GuestError: "guest-unreachable", "host-key-mismatch" (nothing was sent to it), "guest-refused".
    """
    import paramiko

    transport = None
    try:
        sock = socket.create_connection((endpoint.host, endpoint.port), timeout=timeout)
        # Without it every exec waits some 40 ms for a delayed acknowledgement; Paramiko never sets it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(sock)
        transport.banner_timeout = transport.auth_timeout = timeout
        # The pinned key is ed25519, so no other kind may be offered in its place.
        transport.get_security_options().key_types = ["ssh-ed25519"]
        transport.start_client(timeout=timeout)
        _check_host_key(transport.get_remote_server_key(), identity)
        key = paramiko.Ed25519Key.from_private_key_file(str(identity.client_key))
        transport.auth_publickey(USER, key)
    except (OSError, EOFError, paramiko.SSHException, GuestError) as exc:
        if transport is not None:
            transport.close()
        raise _connection_error(exc, endpoint) from exc
    transport.set_keepalive(15)
    return SSHGuest(transport)


def answers(endpoint: Endpoint, timeout: float) -> bool:
    """Whether the guest's sshd says hello within ``timeout`` seconds."""
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=timeout) as sock:
            return sock.recv(4) == b"SSH-"
    except OSError:
        return False


def _check_host_key(shown: paramiko.PKey, identity: Identity) -> None:
    pinned = identity.host_public.split()[1]
    if shown.get_base64() != pinned:
        received = f"{shown.get_name()} {shown.get_base64()}"
        raise not_ours("shows an unknown SSH host key", f"expected ssh-ed25519 {pinned}\nreceived {received}")


def _connection_error(exc: Exception, endpoint: Endpoint) -> GuestError:
    import paramiko

    if isinstance(exc, GuestError):
        return exc
    if isinstance(exc, paramiko.AuthenticationException):
        return key_refused(str(exc))
    if isinstance(exc, paramiko.ssh_exception.IncompatiblePeer):
        return not_ours("has no ed25519 SSH host key", str(exc))
    return unreachable(f"{endpoint.host}:{endpoint.port}: {exc or type(exc).__name__}")


class SSHGuest:
    """The ``Guest`` of ``base.py`` over one Paramiko transport; use it as a context manager."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self._transport = transport

    def __enter__(self) -> SSHGuest:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def run(
        self, argv: Sequence[str], *, input: bytes = b"", timeout: float = 60.0, check: bool = True
    ) -> CommandResult:
        out: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        with self._session(argv) as channel:
            feeder = _start(_feed, channel, input)
            for name, chunk in _chunks(channel, argv, timeout):
                out[name].append(chunk)
            feeder.join(timeout=5)
            status = _exit_status(channel)
        stdout, stderr = (b"".join(out[name]).decode(errors="replace") for name in ("stdout", "stderr"))
        result = CommandResult(tuple(argv), status, stdout, stderr)
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
        with self._session(argv) as channel:
            pass_lines(_chunks(channel, argv, timeout, stop, go), on_line)
            return _exit_status(channel)

    def put(self, source: Path | bytes, target: str, mode: int = 0o644) -> None:
        data = source if isinstance(source, bytes) else source.read_bytes()
        self.run(put_command(target, mode), input=data, timeout=600)

    def get(self, source: str, target: Path) -> None:
        with self._lost_as_error(), self._transport_sftp() as sftp:
            partial = target.with_name(f".{target.name}.part")
            sftp.get(source, str(partial))
            partial.replace(target)

    def _transport_sftp(self) -> Any:
        import paramiko

        return paramiko.SFTPClient.from_transport(self._transport)

    @contextlib.contextmanager
    def _session(self, argv: Sequence[str]) -> Iterator[paramiko.Channel]:
        with self._lost_as_error():
            channel = self._transport.open_session(timeout=30)
            try:
                channel.exec_command(quote_command(argv))
                yield channel
            finally:
                channel.close()

    @contextlib.contextmanager
    def _lost_as_error(self) -> Iterator[None]:
        import paramiko

        try:
            yield
        except (OSError, EOFError, paramiko.SSHException) as exc:
            raise connection_lost(str(exc) or type(exc).__name__) from exc


class Heartbeat:
    """Notices a guest that hangs: its connection stays open for ever, because the hypervisor keeps it."""

    def __init__(self, transport: paramiko.Transport, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._clock = clock
        self._heard = clock()
        self._asker: threading.Thread | None = None

    def heard(self) -> None:
        """The guest has said something."""
        self._heard = self._clock()

    def check(self) -> None:
        """Ask when it is time to; raises GuestError("guest-hangs") when there was no answer in time."""
        silent = self._clock() - self._heard
        if silent > _ASK_AFTER + _ANSWER_WITHIN:
            raise GuestError(
                f"The guest has not answered for {silent:.0f} s: its kernel hangs, or the host is too busy",
                code="guest-hangs",
                hint="`ebpf-dev logs` shows what its kernel said last; `ebpf-dev up` starts it anew if it hangs.",
            )
        if silent > _ASK_AFTER and self._asker is None:
            self._asker = _start(self.ask)

    def ask(self) -> None:
        """Wait for an answer. Any will do: sshd does not know the request, and says so."""
        self._transport.global_request("keepalive@ebpf-dev", wait=True)
        if self._transport.is_active():
            self.heard()
        self._asker = None


def _start(function: Any, *args: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def _feed(channel: paramiko.Channel, data: bytes) -> None:
    # A command that does not read its input closes the channel under us: its status tells the story.
    with contextlib.suppress(OSError):
        channel.sendall(data)
        channel.shutdown_write()


def _chunks(
    channel: paramiko.Channel,
    argv: Sequence[str],
    timeout: float | None,
    stop: threading.Event | None = None,
    go: threading.Event | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Both outputs as they come, drained by a thread each so that neither can block the command."""
    arrived: queue.Queue[tuple[str, bytes]] = queue.Queue(maxsize=256)
    for name, receive in (("stdout", channel.recv), ("stderr", channel.recv_stderr)):
        _start(_drain, name, receive, arrived)
    deadline = None if timeout is None else time.monotonic() + timeout
    open_streams = 2
    heartbeat = Heartbeat(channel.get_transport())
    while open_streams:
        if go and go.is_set():
            go = None
            channel.sendall(b"\n")
        if stop and stop.is_set():
            stop = None
            channel.shutdown_write()
        if timeout is not None and deadline is not None and time.monotonic() > deadline:
            raise timed_out(argv, timeout)
        try:
            name, chunk = arrived.get(timeout=0.1)
        except queue.Empty:
            heartbeat.check()
            continue
        heartbeat.heard()
        if chunk:
            yield name, chunk
        else:
            open_streams -= 1


def _drain(name: str, receive: Any, arrived: queue.Queue[tuple[str, bytes]]) -> None:
    chunk = b"?"
    while chunk:
        try:
            chunk = receive(_CHUNK)
        except OSError:
            chunk = b""
        arrived.put((name, chunk))


def _exit_status(channel: paramiko.Channel) -> int:
    status = channel.recv_exit_status()
    # -1 is Paramiko's "no status was ever sent": a signal's death leaves the transport alive, a lost
    # connection does not.
    if status == -1 and not channel.get_transport().is_active():
        raise EOFError("the guest went away before the command ended")
    return 128 if status == -1 else status
