"""Both connections to a guest, of this process and warm, against a real SSH server."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.backends.base import Endpoint
from provisioner.core.errors import GuestError
from provisioner.core.paths import find_paths
from provisioner.guest.base import Guest
from provisioner.guest.commands import quote_command
from provisioner.guest.connection import Heartbeat, answers, connect
from provisioner.guest.identity import Identity, ensure_identity
from provisioner.guest.warm import WarmGuest
from tests.unit.ssh_server import SSHServer, serving, warm_connection


@pytest.fixture(params=["own", "warm"])
def guest(
    request: pytest.FixtureRequest, server: SSHServer, identity: Identity, tmp_path: Path
) -> Iterator[Guest]:
    if request.param == "own":
        with connect(server.endpoint, identity) as guest:
            yield guest
        return
    with warm_connection(server.endpoint, identity) as connection:
        connection.ensure_open()
        yield WarmGuest(connection)


def test_outputs_and_status_arrive_apart(guest: Guest) -> None:
    result = guest.run(["sh", "-c", "echo out; echo err >&2; exit 7"], check=False)
    assert (result.stdout, result.stderr, result.status) == ("out\n", "err\n", 7)


@pytest.mark.parametrize("word", ["a b", "$HOME", "'", '"', "`id`", "a\nb", "-x", "é", "*", "\\", ""])
def test_no_word_is_interpreted_by_the_remote_shell(guest: Guest, word: str) -> None:
    assert guest.run(["printf", "%s", word]).stdout == word


def test_large_input_and_both_outputs_at_once(guest: Guest) -> None:
    data = b"x" * 3_000_000
    result = guest.run(["sh", "-c", "tee /dev/stderr | wc -c; head -c 3000000 /dev/zero"], input=data)
    assert result.stdout.startswith("3000000\n")
    assert len(result.stderr) == len(data)


def test_a_failed_command_becomes_an_error_with_its_words(guest: Guest) -> None:
    with pytest.raises(GuestError) as caught:
        guest.run(["sh", "-c", "echo no such thing >&2; exit 3"])
    assert caught.value.code == "guest-command-failed"
    assert caught.value.details == "no such thing"


def test_a_command_that_hangs_is_given_up(guest: Guest) -> None:
    with pytest.raises(GuestError) as caught:
        guest.run(["sleep", "30"], timeout=0.3)
    assert caught.value.code == "guest-timeout"


def test_stream_gives_lines_and_closes_stdin_on_stop(guest: Guest) -> None:
    stop, lines = threading.Event(), list[tuple[str, str]]()

    def on_line(name: str, line: str) -> None:
        lines.append((name, line))
        stop.set()

    status = guest.stream(["sh", "-c", "echo ready; cat; echo end; exit 4"], on_line, stop=stop)
    assert status == 4
    assert lines == [("stdout", "ready"), ("stdout", "end")]


def test_stream_gives_a_line_to_a_command_that_waits_for_it(guest: Guest) -> None:
    go, stop, lines = threading.Event(), threading.Event(), list[str]()

    def on_line(_: str, line: str) -> None:
        lines.append(line)
        (go if line == "ready" else stop).set()

    script = "echo ready; read line; echo gone; cat; exit 5"
    assert guest.stream(["sh", "-c", script], on_line, stop=stop, go=go) == 5
    assert lines == ["ready", "gone"]


def test_a_guest_that_vanishes_is_told(server: SSHServer, guest: Guest) -> None:
    with pytest.raises(GuestError) as caught:
        guest.stream(["sh", "-c", "echo up; exec sleep 30"], lambda *_: server.drop_connections())
    assert caught.value.code == "guest-lost"


class _Line:
    """A transport as far as a heartbeat sees it; questions wait until they are ``answered``."""

    def __init__(self) -> None:
        self.asked, self.answered = threading.Event(), threading.Event()

    def global_request(self, kind: str, wait: bool) -> None:
        self.asked.set()
        self.answered.wait(10)

    def is_active(self) -> bool:
        return True


def test_a_guest_that_hangs_is_asked_and_then_given_up() -> None:
    now, line = [0.0], _Line()
    heartbeat = Heartbeat(line, clock=lambda: now[0])  # type: ignore[arg-type]
    now[0] = 10
    heartbeat.check()
    assert not line.asked.is_set()
    now[0] = 31
    heartbeat.check()
    assert line.asked.wait(10)
    now[0] = 151
    with pytest.raises(GuestError, match="has not answered for 151 s") as caught:
        heartbeat.check()
    assert caught.value.code == "guest-hangs"
    line.answered.set()


def test_a_silent_guest_that_answers_is_left_in_peace() -> None:
    now, line = [0.0], _Line()
    heartbeat = Heartbeat(line, clock=lambda: now[0])  # type: ignore[arg-type]
    line.answered.set()
    now[0] = 140
    heartbeat.ask()
    now[0] = 160
    heartbeat.check()


def test_whether_a_guest_answers(server: SSHServer) -> None:
    assert answers(server.endpoint, 30)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = Endpoint("127.0.0.1", mute.getsockname()[1])
        assert not answers(endpoint, 0.1)
    assert not answers(endpoint, 0.1)


def test_put_is_whole_and_has_the_mode(guest: Guest, tmp_path: Path) -> None:
    target = tmp_path / "a file"
    guest.put(b"\0binary\xff", str(target), mode=0o600)
    assert target.read_bytes() == b"\0binary\xff"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_an_impostor_on_the_port_is_refused_before_it_sees_our_key(identity: Identity, stranger: Identity) -> None:
    with serving(stranger, identity) as impostor, pytest.raises(GuestError) as caught:
        connect(impostor.endpoint, identity)
    assert caught.value.code == "host-key-mismatch"


def test_a_guest_that_refuses_our_key_is_told(identity: Identity, stranger: Identity) -> None:
    with serving(identity, stranger) as server, pytest.raises(GuestError) as caught:
        connect(server.endpoint, identity)
    assert caught.value.code == "guest-refused"


def test_nobody_listening(identity: Identity) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(GuestError) as caught:
        connect(Endpoint("127.0.0.1", port), identity, timeout=2)
    assert caught.value.code == "guest-unreachable"


def test_somebody_listening_who_is_no_sshd(identity: Identity) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(GuestError) as caught:
        connect(Endpoint(*listener.getsockname()), identity, timeout=0.5)
    assert caught.value.code == "guest-unreachable"


def test_keys_are_private_and_made_once(tmp_path: Path) -> None:
    paths = find_paths({"EBPF_DEV_HOME": str(tmp_path)})
    first = ensure_identity(paths)
    assert ensure_identity(paths).fingerprint == first.fingerprint
    assert first.client_key.stat().st_mode & 0o777 == 0o600
    assert first.host_key.stat().st_mode & 0o777 == 0o600
    assert first.directory.stat().st_mode & 0o777 == 0o700


def test_quoting_is_for_posix_shells() -> None:
    assert quote_command(["a b", "c'd"]) == "'a b' 'c'\"'\"'d'"
