"""A real SSH server in this process, on loopback: accepts one key and runs commands on the host."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
from paramiko import common

from provisioner.backends.base import Endpoint
from provisioner.core.templates import render
from provisioner.guest.commands import USER
from provisioner.guest.identity import HOST_KEY_ALIAS, Identity
from provisioner.guest.warm import WarmConnection


class _Session(paramiko.ServerInterface):
    def __init__(self, authorized: str) -> None:
        self._authorized = authorized

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = username == "root" and key.get_base64() == self._authorized.split()[1]
        return int(common.AUTH_SUCCESSFUL if known else common.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(common.OPEN_SUCCEEDED)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=_execute, args=(channel, command.decode()), daemon=True).start()
        return True


def _execute(channel: paramiko.Channel, command: str) -> None:
    process = subprocess.Popen(
        ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    pumps = [
        threading.Thread(target=_pump, args=(process.stdout, channel.sendall), daemon=True),
        threading.Thread(target=_pump, args=(process.stderr, channel.sendall_stderr), daemon=True),
    ]
    threading.Thread(target=_feed, args=(channel, process), daemon=True).start()
    for pump in pumps:
        pump.start()
    for pump in pumps:
        pump.join()
    with contextlib.suppress(OSError, EOFError):
        channel.send_exit_status(process.wait())
        channel.close()


def _pump(stream: Any, send: Any) -> None:
    with contextlib.suppress(OSError):
        while chunk := stream.read1(65536):
            send(chunk)


def _feed(channel: paramiko.Channel, process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        while chunk := channel.recv(65536):
            process.stdin.write(chunk)
            process.stdin.flush()
    with contextlib.suppress(OSError):
        process.stdin.close()


class SSHServer:
    """Serves until closed; ``drop_connections`` cuts everybody off, as a dying guest does.

    ``connections`` counts those that were made.
    """

    def __init__(self, host_key: Path, authorized: str) -> None:
        self._host_key = paramiko.Ed25519Key.from_private_key_file(str(host_key))
        self._authorized = authorized
        self.connections = 0
        self._transports: list[paramiko.Transport] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def endpoint(self) -> Endpoint:
        host, port = self._listener.getsockname()
        return Endpoint(host, port)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                transport = paramiko.Transport(connection)
                transport.add_server_key(self._host_key)
                self._transports.append(transport)
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=_Session(self._authorized))

    def drop_connections(self) -> None:
        for transport in self._transports:
            transport.close()

    def close(self) -> None:
        # Closing alone does not wake a thread that waits in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()


@contextlib.contextmanager
def serving(host_identity: Identity, client_identity: Identity) -> Iterator[SSHServer]:
    """A server that shows one identity's host key and admits the other's client key."""
    server = SSHServer(host_identity.host_key, client_identity.client_public)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def warm_connection(endpoint: Endpoint, identity: Identity, **options: int) -> Iterator[WarmConnection]:
    """A warm connection to be opened to ``endpoint``, with the tool's own ssh_config; closed in the end."""
    with tempfile.TemporaryDirectory(prefix="warm ") as name:  # a blank, as a home may have one
        directory = Path(name)
        config = render(
            "ssh/config.j2", host="guest", endpoint=endpoint, user=USER, key=identity.client_key,
            known_hosts=identity.known_hosts, alias=HOST_KEY_ALIAS,
        )  # fmt: skip
        (directory / "ssh_config").write_text(config)
        connection = WarmConnection(
            "guest", directory / "ssh_config", directory / "sockets" / "s", directory / "lock", **options
        )
        try:
            yield connection
        finally:
            connection.close()
