"""The connection that commands share: opened once, ended by whatever may end it, with nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provisioner.backends.base import Endpoint
from provisioner.core.errors import GuestError
from provisioner.core.paths import find_paths
from provisioner.guest.identity import Identity
from provisioner.guest.warm import WarmConnection, WarmGuest
from tests.unit.ssh_server import SSHServer, serving, warm_connection


@pytest.fixture
def connection(server: SSHServer, identity: Identity) -> Iterator[WarmConnection]:
    with warm_connection(server.endpoint, identity) as connection:
        yield connection


def echo(connection: WarmConnection, word: str) -> str:
    return WarmGuest(connection).run(["echo", word]).stdout.strip()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def master_of(connection: WarmConnection) -> int:
    """The process that holds the connection open."""
    done = subprocess.run(connection.argv("-O", "check"), capture_output=True, text=True, check=True)
    return int(done.stderr.split("pid=")[1].split(")")[0])


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # Nobody reaps a daemon's child where the first process of a container does not.
    state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip() in ("", "Z")


def test_all_commands_share_one_handshake(server: SSHServer, connection: WarmConnection) -> None:
    for word in ("one", "two", "three"):
        connection.ensure_open()
        assert echo(connection, word) == word
    assert server.connections == 1


def test_many_who_need_it_at_once_open_it_once(server: SSHServer, connection: WarmConnection) -> None:
    said = list[str]()

    def use(word: str) -> None:
        connection.ensure_open()
        said.append(echo(connection, word))

    threads = [threading.Thread(target=use, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["0", "1", "2", "3"]
    assert server.connections == 1


def test_a_command_waits_for_the_handshake_that_is_going_on(server: SSHServer, connection: WarmConnection) -> None:
    connection.open_behind()
    connection.open_behind()
    connection.ensure_open()
    assert echo(connection, "here") == "here"
    assert server.connections == 1


def test_nobody_is_told_when_opening_it_ahead_fails(connection: WarmConnection, server: SSHServer) -> None:
    server.close()
    connection.open_behind()
    with pytest.raises(GuestError) as caught:
        connection.ensure_open()
    assert caught.value.code == "guest-unreachable"
    assert "refused" in caught.value.details


def test_closing_ends_the_process_and_whoever_uses_it(connection: WarmConnection) -> None:
    connection.ensure_open()
    master = master_of(connection)
    with pytest.raises(GuestError) as caught:
        WarmGuest(connection).stream(["sh", "-c", "echo up; exec sleep 30"], lambda *_: connection.close())
    assert caught.value.code == "guest-lost"
    wait_until(lambda: is_gone(master))
    assert not connection.socket.exists()
    connection.close()


def test_without_users_it_ends_by_itself(server: SSHServer, identity: Identity) -> None:
    with warm_connection(server.endpoint, identity, idle=2) as connection:
        connection.ensure_open()
        master = master_of(connection)
        wait_until(lambda: is_gone(master))
        assert not connection.socket.exists()


def test_a_guest_that_is_gone_ends_it_and_the_next_is_reached(
    server: SSHServer, connection: WarmConnection
) -> None:
    connection.ensure_open()
    master = master_of(connection)
    server.drop_connections()
    wait_until(lambda: is_gone(master))
    connection.ensure_open()
    assert echo(connection, "again") == "again"


def test_what_a_killed_master_left_is_swept_away(connection: WarmConnection) -> None:
    connection.ensure_open()
    os.kill(master_of(connection), signal.SIGKILL)
    wait_until(lambda: not connection.is_open())
    assert connection.socket.exists()
    connection.ensure_open()
    assert echo(connection, "again") == "again"


def test_a_status_of_255_is_the_commands_own_while_the_guest_is_there(connection: WarmConnection) -> None:
    connection.ensure_open()
    assert WarmGuest(connection).run(["sh", "-c", "exit 255"], check=False).status == 255


def test_get_is_whole_or_not_at_all(connection: WarmConnection, tmp_path: Path) -> None:
    connection.ensure_open()
    source, target = tmp_path / "a source", tmp_path / "target"
    source.write_bytes(b"\0\xff\r\n" * 100_000)
    guest = WarmGuest(connection)
    guest.get(str(source), target)
    assert target.read_bytes() == source.read_bytes()
    with pytest.raises(GuestError) as caught:
        guest.get(str(tmp_path / "absent"), target)
    assert "No such file" in caught.value.details
    assert target.read_bytes() == source.read_bytes()


def test_an_impostor_is_refused_before_it_sees_our_key(identity: Identity, stranger: Identity) -> None:
    with serving(stranger, identity) as impostor, warm_connection(impostor.endpoint, identity) as connection:
        with pytest.raises(GuestError) as caught:
            connection.ensure_open()
        assert caught.value.code == "host-key-mismatch"
        assert not connection.is_open()


def test_a_guest_that_refuses_our_key_is_told(identity: Identity, stranger: Identity) -> None:
    with serving(identity, stranger) as server, warm_connection(server.endpoint, identity) as connection:
        with pytest.raises(GuestError) as caught:
            connection.ensure_open()
        assert caught.value.code == "guest-refused"


def test_somebody_listening_who_is_no_sshd(identity: Identity) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        warm_connection(Endpoint(*listener.getsockname()), identity, timeout=1) as connection,
        pytest.raises(GuestError) as caught,
    ):
        connection.ensure_open()
    assert caught.value.code == "guest-unreachable"


def test_the_socket_fits_wherever_sockets_are_kept() -> None:
    for home in ("/h", "/home/kim/.local/share/ebpf-dev", "/tmp/" + "x" * 30, "/tmp/" + "x" * 70):
        socket_path = find_paths({"EBPF_DEV_HOME": home}).warm_socket("a" * 40)
        assert len(os.fsencode(socket_path)) + len(".0123456789abcdef") <= 103
