"""What `doctor` says of a guest: from a recorded one, and by its probe run here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import pytest

from provisioner.core.process import CommandResult
from provisioner.workflows.checks import all_well
from provisioner.workflows.doctor import guest_checks
from provisioner.workflows.guest_checks import judge_guest, parse_probe
from tests.unit.findings import by_name
from tests.unit.guests import HereGuest

#: Between these the guest was asked what time it is.
NOW = (1000.0, 1001.0)
# Recorded from a provisioned debian-13 guest.
TRIXIE = """\
kernel=6.12.117+deb13-cloud-amd64
arch=x86_64
btf=yes
jit=1
tracefs=yes
bpffs=/sys/fs/bpf
lsm=lockdown,capability,landlock,yama,apparmor,tomoyo,bpf,ipe,ima,evm
headers=yes
clang=Debian clang version 19.1.7 (3+b1)
bpftool=bpftool v7.5.0
config_BPF_LSM=y
config_KPROBES=y
config_FPROBE=y
kprobe_events=yes
"""


class FakeGuest:
    def __init__(self, stdout: str) -> None:
        self.stdout = stdout
        self.commands: list[tuple[str, ...]] = []

    def run(
        self, argv: Sequence[str], *, input: bytes = b"", timeout: float = 60.0, check: bool = True
    ) -> CommandResult:
        self.commands.append(tuple(argv))
        return CommandResult(tuple(argv), 0, self.stdout, "")


def test_a_debian_13_guest() -> None:
    guest = FakeGuest(TRIXIE)
    checks = guest_checks(guest)  # type: ignore[arg-type]
    assert len(guest.commands) == 1
    assert all_well(checks)
    assert [check.name for check in checks if not check.ok] == ["guest clock", "sched_ext"]
    assert by_name(checks)["clang"].summary == "Debian clang version 19.1.7 (3+b1)"


@pytest.mark.parametrize(
    ("without", "name", "needed"),
    [("btf", "BTF", True), ("tracefs", "tracefs", True), ("bpffs", "bpffs", True),
     ("headers", "kernel headers", True),
     ("clang", "clang", True), ("bpftool", "bpftool", True), ("config_FPROBE", "fprobe", False)],
)  # fmt: skip
def test_what_a_guest_lacks_has_a_cure(without: str, name: str, needed: bool) -> None:
    facts = parse_probe(TRIXIE)
    del facts[without]
    check = by_name(judge_guest(facts, NOW))[name]
    assert (check.ok, check.needed) == (False, needed)
    assert check.cure


def test_jit_kprobes_and_lsm() -> None:
    facts = parse_probe(TRIXIE)
    assert by_name(judge_guest({**facts, "jit": "0"}, NOW))["JIT"].ok is False
    assert by_name(judge_guest({**facts, "jit": ""}, NOW))["JIT"].ok is None
    inactive = by_name(judge_guest({**facts, "lsm": "lockdown,yama"}, NOW))["BPF LSM"]
    assert inactive.ok is False
    assert "lsm=lockdown,yama,bpf" in inactive.cure
    bare = by_name(judge_guest({}, NOW))
    assert bare["kprobes"].ok is False
    assert bare["BPF LSM"].summary.startswith("not in this kernel")


@pytest.mark.parametrize(
    ("clock", "ok", "summary"),
    [("1000.5", True, "as the host's"), ("999.5", True, "as the host's"), ("1005,25", False, "4 s ahead"),
     ("-85400.0", False, "1 d behind"), ("", None, "does not say")],
)  # fmt: skip
def test_a_clock_that_is_off(clock: str, ok: bool | None, summary: str) -> None:
    check = by_name(judge_guest({**parse_probe(TRIXIE), "clock": clock}, NOW))["guest clock"]
    assert (check.ok, check.needed) == (ok, ok is not False)
    assert summary in check.summary


def test_names_that_the_guest_cannot_resolve() -> None:
    facts = {**parse_probe(TRIXIE), "name": "deb.example", "resolver": "10.0.2.3"}
    lost = by_name(judge_guest(facts, NOW))["guest DNS"]
    assert (lost.ok, lost.needed) == (False, False)
    assert "cannot find the address of deb.example; it asks 10.0.2.3" in lost.summary
    assert "split DNS" in lost.cure
    assert by_name(judge_guest({**facts, "resolved": "yes"}, NOW))["guest DNS"].ok
    for none in ({"proxy": "proxy='http://10.0.2.2:3128'"}, {"name": "10.0.2.2"}):
        assert "guest DNS" not in by_name(judge_guest({**facts, **none}, NOW))


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc and /sys")
def test_the_probe_is_a_shell_script_that_runs_anywhere() -> None:
    """Here on the host: whatever is found, it ends well and speaks the form that the parser reads."""
    checks = by_name(guest_checks(HereGuest()))
    assert os.uname().release in checks["guest kernel"].summary
    assert checks["guest clock"].ok
