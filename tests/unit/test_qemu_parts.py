"""The parts of the QEMU backend that need no process: decisions, parsers, the control protocol."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.backends.banner import BannerWatch
from provisioner.backends.base import Endpoint
from provisioner.backends.console import ConsoleWatch, last_lines, plain_text
from provisioner.backends.qemu import tools
from provisioner.backends.qemu.kvm import find_kvm_problem
from provisioner.backends.qemu.qmp import Qmp, QmpError, is_ssh_taken, parse_ssh_port
from provisioner.backends.qemu.refusals import Circumstances, Refusals
from tests.unit.qemu_machines import socket_dir

# What the host has -----------------------------------------------------------------------------------


def test_kvm_devices_that_are_none(tmp_path: Path) -> None:
    missing = find_kvm_problem("x86_64", tmp_path / "kvm")
    assert missing is not None
    assert "does not exist" in missing.reason
    (tmp_path / "kvm").touch()
    fake = find_kvm_problem("x86_64", tmp_path / "kvm")
    assert fake is not None
    assert "cannot run a machine" in fake.reason


def test_refusals_hold_for_their_circumstances_only(tmp_path: Path) -> None:
    refusals = Refusals(tmp_path / "host.json")
    here = Circumstances("kvm", "7.2.22", "6.1.0")
    assert refusals.find(here) is None
    refusals.remember(here, "broken")
    assert refusals.find(here) == "broken"
    assert refusals.find(replace(here, kernel="6.1.1")) is None
    assert refusals.find(replace(here, qemu="10.0.0")) is None
    refusals.forget(here)
    assert refusals.find(here) is None


# Parsers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright", (7, 2, 22)),
        ("QEMU emulator version 11.1.1\n", (11, 1, 1)),
        ("QEMU emulator version 9.2\n", (9, 2, 0)),
        ("something else", None),
    ],
)
def test_versions(text: str, version: tuple[int, int, int] | None) -> None:
    assert tools.parse_version(text) == version


# What QEMU 7.2 answers, with a connection of ours under way.
USERNET = (
    "Hub -1 (net0):\r\n"
    "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
    "  TCP[ESTABLISHED]   14       127.0.0.1 39867       10.0.2.15    22     0     0\r\n"
    "  TCP[HOST_FORWARD]  13       127.0.0.1 40483       10.0.2.15    22     0     0\r\n"
)


def test_the_forwarded_port() -> None:
    assert parse_ssh_port(USERNET) == 40483
    assert parse_ssh_port("Hub -1 (net0):\r\n") is None


def test_whether_the_guest_has_taken_a_connection() -> None:
    assert is_ssh_taken(USERNET)
    assert not is_ssh_taken(USERNET.replace("ESTABLISHED", "SYN_SENT"))


# What a Debian 13 guest and its systemd write.
CONSOLE = (
    b"\x1b[!p\x1b]104\x07\x1b[?7h[   17.654565] (sd-exec-[239]: generator failed with exit status 1.\r\n"
    b"\x1b[6n\x1b[32766;32766H\x1b[6n\r\n\x1b[0;1;31mDebian GNU/Linux 13\x1b[0m ttyS0\r\n\r\ndev login: "
)


def test_console_text_is_plain() -> None:
    text = plain_text(CONSOLE)
    assert "\x1b" not in text
    assert "\r" not in text
    assert text.startswith("[   17.654565] (sd-exec-[239]: generator failed")
    assert text.endswith("Debian GNU/Linux 13 ttyS0\n\ndev login: ")


def test_the_last_lines_of_a_console(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    assert last_lines(log) == ""
    log.write_bytes(b"lost\r\n" * 100_000 + CONSOLE)
    assert last_lines(log, 2) == "Debian GNU/Linux 13 ttyS0\ndev login:"


def test_a_console_is_followed_and_a_panic_seen_across_two_writes(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    watch = ConsoleWatch(log)
    watch.poll()
    assert watch.silent
    log.write_bytes(b"[    1.0] ok\r\n[    2.0] Kernel pan")
    watch.poll()
    assert (watch.silent, watch.panic) == (False, "")
    with log.open("ab") as file:
        file.write(b"ic - not syncing: VFS: Unable to mount root fs\r\n[    2.1] CPU: 0\r\n")
    watch.poll()
    assert watch.panic == "Kernel panic - not syncing: VFS: Unable to mount root fs"
    assert watch.last_line == "[    2.1] CPU: 0"


# The control protocol ---------------------------------------------------------------------------


@pytest.fixture
def control() -> Iterator[Path]:
    with socket_dir() as directory:
        yield directory / "q"


def serve(path: Path, *lines: bytes) -> None:
    """Answer one client: the first line is the greeting, each of the others follows one request."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def run() -> None:
        with server, server.accept()[0] as client:
            for line in lines:
                client.sendall(line)
                if not client.recv(4096):
                    return

    threading.Thread(target=run, daemon=True).start()


GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\r\n'
DONE = b'{"return": {}}\r\n'


def test_events_between_answers_are_skipped(control: Path) -> None:
    serve(control, GREETING, DONE, b'{"event": "RESET"}\r\n{"return": {"status": "running"}}\r\n')
    with Qmp(control) as qmp:
        assert qmp.status() == "running"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((b"SSH-2.0-OpenSSH\r\n",), "not a JSON object"),
        ((b'{"hello": 1}\r\n',), "is not QEMU"),
        ((GREETING, b'{"error": {"class": "GenericError", "desc": "No such thing"}}\r\n'), "No such thing"),
        ((GREETING,), "closed the connection"),
        ((GREETING, b"{"), "no answer within|timed out|closed"),
    ],
)
def test_whatever_else_answers_is_an_error(control: Path, lines: tuple[bytes, ...], said: str) -> None:
    serve(control, *lines)
    with pytest.raises(QmpError, match=said):
        Qmp(control, timeout=0.2)


def test_nobody_there(control: Path) -> None:
    with pytest.raises(QmpError):
        Qmp(control)


# The banner -------------------------------------------------------------------------------------


def banner_seen(server: socket.socket, polls: int = 100) -> bool:
    endpoint = Endpoint("127.0.0.1", server.getsockname()[1])
    with BannerWatch(endpoint) as watch:
        watch.pace = 0.01
        return any(watch.poll(0.02) for _ in range(polls))


def answer(server: socket.socket, *answers: bytes | None) -> None:
    """Give each connection its answer and close it; None keeps it open without a word."""
    kept = []

    def run() -> None:
        for reply in answers:
            client, _ = server.accept()
            if reply is None:
                kept.append(client)
                continue
            client.sendall(reply)
            client.close()

    threading.Thread(target=run, daemon=True).start()


def test_an_accepted_connection_is_no_banner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer(server, b"", b"HTTP/1.1 400\r\n")
        assert not banner_seen(server, polls=10)


def test_the_banner_comes_beside_connections_that_hang() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer(server, b"", None, None, b"SSH-2.0-OpenSSH_10.0p2\r\n")
        assert banner_seen(server)


def test_a_port_nobody_listens_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with BannerWatch(Endpoint("127.0.0.1", port)) as watch:
        assert not any(watch.poll(0.01) for _ in range(3))
