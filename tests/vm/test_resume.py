"""Going on from saved memory instead of booting: new instances, down and up, reset, snapshots."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vm.conftest import BOOT, Cli, machines_of

PROGRAMS = Path(__file__).parent / "programs"
DAY = 24 * 3600
IDENTITY = "hostname; cat /etc/hostname /etc/machine-id; getent hosts $(hostname); od -An -N16 -tx1 /dev/urandom"


@pytest.fixture
def one(instance: Cli, second: Callable[[str], Cli]) -> Cli:
    """An instance `one`, made from the template that `default` left."""
    return second("one")


def directory(cli: Cli, name: str = "one") -> Path:
    return cli.home / "data" / "instances" / name


def clock_error(cli: Cli, name: str = "one") -> float:
    """By how many seconds the guest's clock is off; the connection's time is part of it."""
    return abs(time.time() - float(cli.guest("date", "+%s", instance=name)))


def sleeper(cli: Cli) -> str:
    """The process number of a program that is still there when the connection is not."""
    return cli.guest("sh", "-c", "setsid sleep 86399 </dev/null >/dev/null 2>&1 & echo $!", instance="one").strip()


def test_a_new_instance_does_not_boot_and_is_one_of_its_own(one: Cli, second: Callable[[str], Cli]) -> None:
    second("two")
    said = one("down", "two", timeout=BOOT)
    assert "memory is saved" in said.stdout
    one("up", "two", timeout=BOOT)
    seen = []
    for name in ("one", "two"):
        script = (
            "hostname; cat /etc/hostname /etc/machine-id; getent hosts $(hostname); od -An -N16 -tx1 /dev/urandom"
        )
        lines = one.guest("sh", "-c", script, instance=name).splitlines()
        assert lines[0] == lines[1] == f"ebpf-dev-{name}"
        assert lines[3].split()[0] == "127.0.1.1"
        assert clock_error(one, name) < 60
        assert "10.0.2.15" in one.guest("ip", "-4", "-o", "address", instance=name)
        assert "Debian" in one("logs", name).stdout or "systemd" in one("logs", name).stdout
        seen.append(lines)
    assert seen[0][2] != seen[1][2]
    assert seen[0][4] != seen[1][4]


def test_templates_are_private(one: Cli) -> None:
    templates = list((one.home / "cache" / "templates").iterdir())
    assert templates
    for template in templates:
        assert template.stat().st_mode & 0o077 == 0
        assert (template / "memory").stat().st_mode & 0o077 == 0


def test_what_runs_goes_on_after_down_and_up(one: Cli) -> None:
    pid = sleeper(one)
    one.guest("sh", "-c", "echo kept >/dev/shm/file; echo kept >/root/file", instance="one")
    for _ in range(3):
        before = sorted(path.name for path in directory(one).iterdir())
        one("down", "one", timeout=BOOT)
        assert one.state("one")["state"] == "stopped"
        result = one("up", "one", timeout=BOOT)
        assert "Booting" not in result.stderr
        assert sorted(path.name for path in directory(one).iterdir()) == before
    assert one.guest("ps", "-o", "args=", "-p", pid, instance="one").strip() == "sleep 86399"
    assert one.guest("cat", "/dev/shm/file", "/root/file", instance="one") == "kept\nkept\n"
    assert len(machines_of(one.home)) == 2


def test_an_attached_program_goes_on(one: Cli) -> None:
    one("cp", "-i", "one", str(PROGRAMS / "survivor.bpf.c"), ":/root/")
    script = (
        "set -e; cd /root; clang -g -O2 -target bpf -I/usr/include/$(uname -m)-linux-gnu -c survivor.bpf.c; "
        "bpftool prog loadall survivor.bpf.o /sys/fs/bpf/survivor autoattach"
    )
    one.guest("sh", "-c", script, instance="one")
    one("down", "one", timeout=BOOT)
    one("up", "one", timeout=BOOT)
    script = (
        "perl -e 'getpgrp 1 for 1..5'; bpftool -j map dump name $(bpftool map | grep -o '[a-z.]*bss' | head -n1)"
    )
    dumped = one.guest("sh", "-c", script, instance="one")
    assert '"calls":0' not in dumped
    assert '"calls":' in dumped


def test_the_clock_is_right_after_a_day(one: Cli) -> None:
    """A guest that was saved a day ago has yesterday's clock; this one is given it before it is saved."""
    # Both in one command: the next one would find the clock late and set it.
    shown = one.guest("sh", "-c", f"date -s @{int(time.time()) - DAY} >/dev/null; date +%s", instance="one")
    assert time.time() - float(shown) > DAY / 2
    one("down", "one", timeout=BOOT)
    one("up", "one", timeout=BOOT)
    assert clock_error(one) < 60


def test_no_save_boots_the_next_time(one: Cli) -> None:
    pid = sleeper(one)
    one.guest("sh", "-c", "echo kept >/root/file", instance="one")
    assert "saved" not in one("down", "one", "--no-save", timeout=BOOT).stdout
    assert one.state("one")["state"] == "stopped"
    said = one("up", "one", timeout=BOOT).stderr
    assert "Booting" in said
    assert "Installing" not in said
    assert one.guest("cat", "/root/file", instance="one") == "kept\n"
    assert one.guest("ps", "-o", "args=", "-p", pid, instance="one", check=False).strip() != "sleep 86399"
    assert one.guest("hostname", instance="one").strip() == "ebpf-dev-one"


def test_a_machine_killed_after_a_resume_boots_from_its_disk(one: Cli) -> None:
    one.guest("sh", "-c", "echo kept >/root/file; sync", instance="one")
    one("down", "one", timeout=BOOT)
    one("up", "one", timeout=BOOT)
    os.kill(one.state("one")["pid"], signal.SIGKILL)
    result = one("up", "one", timeout=BOOT)
    assert "Booting" in result.stderr
    assert one.guest("cat", "/root/file", instance="one") == "kept\n"


def test_a_truncated_state_is_said_and_the_instance_boots(one: Cli) -> None:
    one.guest("sh", "-c", "echo kept >/root/file", instance="one")
    one("down", "one", timeout=BOOT)
    os.truncate(directory(one) / "state", 10_000)
    result = one("up", "one", timeout=BOOT)
    assert "booting instead" in result.stderr
    assert one.guest("cat", "/root/file", instance="one") == "kept\n"


def test_reset_makes_it_as_new(one: Cli) -> None:
    one.guest("touch", "/root/file", instance="one")
    result = one("reset", "one", timeout=BOOT)
    assert "Booting" not in result.stderr
    assert "file" not in one.guest("ls", "/root", instance="one")
    assert one.guest("hostname", instance="one").strip() == "ebpf-dev-one"


def test_a_snapshot_brings_back_disk_and_memory(one: Cli) -> None:
    pid = sleeper(one)
    write = "echo $0 | tee /root/file >/dev/shm/file"
    one.guest("sh", "-c", write, "first", instance="one")
    one("snapshot", "save", "here", "-i", "one", timeout=BOOT)
    one.guest("sh", "-c", write, "second", instance="one")
    one.guest("kill", pid, instance="one")
    (kept,) = one.json("snapshot", "list", "-i", "one", "--json")["snapshots"]
    assert (kept["name"], kept["memory"]) == ("here", True)
    one("snapshot", "restore", "here", "-i", "one", timeout=BOOT)
    assert one.guest("cat", "/root/file", "/dev/shm/file", instance="one") == "first\nfirst\n"
    assert one.guest("ps", "-o", "args=", "-p", pid, instance="one").strip() == "sleep 86399"
    one("snapshot", "delete", "here", "-i", "one", timeout=BOOT)
    assert one.json("snapshot", "list", "-i", "one", "--json")["snapshots"] == []


def test_two_go_on_from_the_template_at_once(instance: Cli) -> None:
    names = ("left", "right")
    try:
        started = [instance.start("up", name) for name in names]
        said = [process.communicate(timeout=BOOT)[0] for process in started]
        assert [process.returncode for process in started] == [0, 0], said
        assert not [text for text in said if "Booting" in text]
        ids = {instance.guest("cat", "/etc/machine-id", instance=name) for name in names}
        assert len(ids) == 2
    finally:
        for name in names:
            instance("delete", name, timeout=BOOT, check=False)


@pytest.fixture
def cut_short(instance: Cli) -> Iterator[Path]:
    """The directory of templates, all of which have lost their memory; they are put back afterwards."""
    templates = instance.home / "cache" / "templates"
    kept = templates.with_name("templates.aside")
    templates.rename(kept)
    shutil.copytree(kept, templates, ignore=shutil.ignore_patterns("memory"))
    for template in templates.iterdir():
        (template / "memory").write_bytes(b"short")
    yield templates
    shutil.rmtree(templates)
    kept.rename(templates)


def test_a_template_that_was_cut_short_is_made_anew(instance: Cli, cut_short: Path) -> None:
    try:
        result = instance("up", "anew", timeout=2 * BOOT)
        assert "making it anew" in result.stderr
        assert "Resuming" in result.stderr
        assert instance.guest("echo", "there", instance="anew") == "there\n"
        assert any(path.stat().st_size > 1 << 20 for path in cut_short.glob("*/memory"))
    finally:
        instance("delete", "anew", timeout=BOOT, check=False)
