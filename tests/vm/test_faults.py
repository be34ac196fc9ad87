"""Saved memory on bad days: a full disk, kill -9, a host that slept for a day, and many downs and ups in a row."""

from __future__ import annotations

import email.utils
import functools
import http.server
import os
import shutil
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioner.core.paths import find_paths
from tests.vm.conftest import BOOT, Cli, machines_of

PROGRAMS = Path(__file__).parent / "programs"
DAY = 24 * 3600
#: The host as QEMU's user network shows it to the guest.
HOST = "10.0.2.2"


def directory(cli: Cli, name: str) -> Path:
    return cli.home / "data" / "instances" / name


# A full disk -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inside(Cli):
    """The command line in the mount namespace of another process."""

    pid: int = 0

    def argv(self, *words: str) -> list[str]:
        return ["nsenter", "--mount", "--target", str(self.pid), *super().argv(*words)]


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own below one instance's directory; ``cli`` sees it, we do at ``root``."""

    cli: Inside
    root: Path

    @property
    def filler(self) -> Path:
        return self.root / "filler"

    def fill(self, left: int) -> None:
        """Leave ``left`` bytes for others."""
        facts = os.statvfs(self.root)
        with self.filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, facts.f_bavail * facts.f_frsize - left)


@pytest.fixture
def small(instance: Cli, tmp_path: Path) -> Iterator[SmallDisk]:
    """An instance `small`, running, on a disk of 4 GB that nobody else sees."""
    if os.geteuid() != 0 or not shutil.which("nsenter") or not Path("/dev/loop-control").exists():
        pytest.skip("a file system of its own takes root, nsenter and a loop device")
    path, image = directory(instance, "small"), tmp_path / "disk"
    path.mkdir(mode=0o700)
    with image.open("wb") as file:
        file.truncate(4 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    mount = 'mount -o loop "$0" "$1" && rmdir "$1/lost+found" && echo && exec sleep infinity'
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", mount, image, path], stdout=subprocess.PIPE, cwd="/"
    )
    try:
        assert holder.stdout and holder.stdout.readline()
        cli = Inside(instance.home, instance.settings, holder.pid)
        cli("up", "small", timeout=BOOT)
        yield SmallDisk(cli, Path(f"/proc/{holder.pid}/root{path}"))
        cli("down", "small", "--no-save", timeout=BOOT, check=False)
    finally:
        holder.kill()
        holder.wait()
        instance("delete", "small", timeout=BOOT, check=False)
        shutil.rmtree(path, ignore_errors=True)


def test_a_disk_that_fills_up_while_memory_is_saved(small: SmallDisk) -> None:
    """Space is asked for before; here it goes while the memory is being written."""
    cli, make = small.cli, "head -c 150M /dev/urandom >file; md5sum file >sum"
    cli.guest("sh", "-c", f"cd /dev/shm; {make}", instance="small")
    process = cli.start("down", "small", "--save")
    while process.poll() is None and not (small.root / "state.part").exists():
        time.sleep(0.002)
    small.fill(left=8 << 20)
    said = process.communicate(timeout=BOOT)[0]
    small.filler.unlink()
    assert process.returncode == 3, said
    assert "space" in said or "full" in said, said
    assert cli.state("small")["state"] == "running"
    assert list(small.root.glob("*.part")) == []
    check = "cd /dev/shm; md5sum -c sum"
    assert "OK" in cli.guest("sh", "-c", check, instance="small")
    cli("down", "small", "--save", timeout=BOOT)
    assert "Booting" not in cli("up", "small", timeout=BOOT).stderr
    assert "OK" in cli.guest("sh", "-c", check, instance="small")


# kill -9 -----------------------------------------------------------------------------------------


@pytest.fixture
def one(instance: Cli, second: Callable[[str], Cli]) -> Cli:
    return second("one")


@pytest.mark.parametrize("seconds", [0.2, 0.6])
def test_a_down_that_is_killed_loses_nothing(one: Cli, seconds: float) -> None:
    """Wherever it was, the machine goes on with what was in its memory."""
    one.guest("sh", "-c", "echo kept >/dev/shm/file; touch /root/file", instance="one")
    process = one.start("down", "one", "--save")
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    one("up", "one", timeout=BOOT)
    assert one.guest("cat", "/dev/shm/file", instance="one") == "kept\n"
    assert len(machines_of(one.home)) == 2


@pytest.mark.parametrize("seconds", [0.3, 0.7])
def test_an_up_that_is_killed_loses_nothing(one: Cli, seconds: float) -> None:
    one.guest("sh", "-c", "echo kept >/dev/shm/file", instance="one")
    one("down", "one", "--save", timeout=BOOT)
    process = one.start("up", "one")
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    one("up", "one", timeout=BOOT)
    assert one.guest("cat", "/dev/shm/file", instance="one") == "kept\n"
    assert len(machines_of(one.home)) == 2


# A day later -------------------------------------------------------------------------------------


class Repository(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A repository of packages that was signed just now, over TLS with a certificate that is valid since then."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=host",
         "-addext", f"subjectAltName=IP:{HOST}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    files = tmp_path / "files"
    files.mkdir()
    made, expires = (email.utils.formatdate(time.time() + later, usegmt=True) for later in (0, DAY / 2))
    dates = f"Date: {made}\nValid-Until: {expires}\n"
    (files / "Packages").write_text("")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (files / "Release").write_text(f"Origin: test\nSuite: test\n{dates}SHA256:\n {empty} 0 Packages\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = functools.partial(Repository, directory=str(files))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield httpd.server_port, certificate
        httpd.shutdown()


def test_a_host_that_slept_for_a_day(one: Cli, server: tuple[int, Path]) -> None:
    """The guest's clock is yesterday's when it is saved, as it is when a day goes by before it goes on."""
    port, certificate = server
    one("cp", "-i", "one", str(certificate), ":/root/ca.pem")
    # Without proxies: those of this host cannot reach what only it serves.
    options = (
        "-o Dir::Etc::sourcelist=/root/test.list -o Dir::Etc::sourceparts=- -o Acquire::https::Proxy=DIRECT "
        "-o Acquire::https::CaInfo=/root/ca.pem -o APT::Update::Error-Mode=any -o APT::Sandbox::User=root"
    )
    source = f"deb [trusted=yes] https://{HOST}:{port} ./"
    ask = f"openssl s_client -connect {HOST}:{port} -CAfile /root/ca.pem -verify_return_error </dev/null"
    script = (
        f"echo '{source}' >/root/test.list; apt-get update {options} 2>&1; echo apt $?; "
        f"{ask} >/dev/null 2>&1; echo tls $?"
    )
    # All in one: every command of ours sets a clock right first that is off.
    before = one.guest("sh", "-c", f"date -s @{int(time.time()) - DAY}; {script}", instance="one")
    assert "apt 0" not in before
    assert "tls 0" not in before
    one("down", "one", "--save", timeout=BOOT)
    one("up", "one", timeout=BOOT)
    after = one.guest("sh", "-c", script, instance="one")
    assert "tls 0" in after, after
    assert "apt 0" in after, after


# Many times --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Traces:
    """What there is of an instance on the host and in the guest, that may not grow."""

    files: frozenset[str]
    sockets: frozenset[str]
    machines: int
    ports: int
    tasks: int
    descriptors: int


def traces(cli: Cli, name: str) -> Traces:
    runtime = find_paths({"EBPF_DEV_HOME": str(cli.home)}).runtime
    pid = cli.state(name)["pid"]
    listening = subprocess.run(["ss", "-Htlnp"], capture_output=True, text=True, check=True).stdout
    tasks, descriptors = cli.guest(
        "sh", "-c", "ls -d /proc/[0-9]*/exe 2>/dev/null | wc -l; cut -f1 /proc/sys/fs/file-nr", instance=name
    ).split()
    return Traces(
        frozenset(path.name for path in directory(cli, name).rglob("*")),
        frozenset(path.name for path in runtime.iterdir()),
        len(machines_of(cli.home)),
        listening.count(f"pid={pid},"),
        int(tasks),
        int(descriptors),
    )


@pytest.mark.parametrize("cycles", [3, pytest.param(50, marks=pytest.mark.nightly)])
def test_many_downs_and_ups_lose_nothing_and_leak_nothing(one: Cli, cycles: int) -> None:
    one("cp", "-i", "one", str(PROGRAMS / "survivor.bpf.c"), ":/root/")
    attach = (
        "set -e; cd /root; clang -g -O2 -target bpf -I/usr/include/$(uname -m)-linux-gnu -c survivor.bpf.c; "
        "bpftool prog loadall survivor.bpf.o /sys/fs/bpf/survivor autoattach; echo 0 >/dev/shm/count; "
        "exec setsid sleep 86399 </dev/null >/dev/null 2>&1 &"
    )
    one.guest("sh", "-c", attach, instance="one")
    one("down", "one", timeout=BOOT)
    one("up", "one", timeout=BOOT)
    step = (
        "perl -e 'getpgrp 1 for 1..5'; count=$(($(cat /dev/shm/count) + 1)); "
        "echo $count >/dev/shm/count; echo $count; pgrep -c sleep; "
        "bpftool -j map dump name $(bpftool map | grep -o '[a-z.]*bss' | head -n1) | grep -o '\"calls\":[0-9]*'"
    )
    before, calls = traces(one, "one"), 0
    for cycle in range(1, cycles + 1):
        one("down", "one", timeout=BOOT)
        assert "Booting" not in one("up", "one", timeout=BOOT).stderr
        count, sleepers, seen = one.guest("sh", "-c", step, instance="one").split()
        assert (int(count), int(sleepers)) == (cycle, 1)
        assert int(seen.partition(":")[2]) >= calls + 5
        calls = int(seen.partition(":")[2])
    after = traces(one, "one")
    print(f"{cycles} cycles: {before} -> {after}, {calls} calls")
    assert (after.files, after.machines, after.ports) == (before.files, before.machines, before.ports)
    # Shared connections that nobody has used for a while end by themselves, those of other instances too.
    assert after.sockets <= before.sockets
    # These vary by themselves; what every cycle leaves would be more.
    assert after.tasks < before.tasks + max(3, cycles // 2)
    assert after.descriptors < before.descriptors + 32 * max(3, cycles // 2)
