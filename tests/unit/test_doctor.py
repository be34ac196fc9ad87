from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.backends.qemu.accelerator import Verdict
from provisioner.backends.qemu.tools import Version
from provisioner.core.config import GIB, Settings
from provisioner.core.errors import GuestError, HostError
from provisioner.core.host import HostFacts, this_host
from provisioner.core.paths import Paths, find_paths
from provisioner.core.process import CommandResult
from provisioner.core.reporter import SilentReporter
from provisioner.workflows.checks import Check, all_well
from provisioner.workflows.doctor import examine, fix, guest_checks, host_checks
from provisioner.workflows.guest_checks import judge_guest, parse_probe
from provisioner.workflows.host_checks import judge_host, subid_command
from provisioner.workflows.host_findings import Findings, Place, look_at_host
from provisioner.workflows.host_fix import Action, carry_out, describe, plan_fix
from tests.unit import hosts

DEBIAN = HostFacts(
    system="linux", arch="x86_64", distro="debian", title="Debian GNU/Linux 13", user="kim", uid=1000, cpus=8,
    memory=16 * GIB, memory_available=12 * GIB,
)  # fmt: skip
UBUNTU = replace(DEBIAN, distro="ubuntu", distro_like=("debian",))
FEDORA = replace(DEBIAN, distro="fedora")
MAC = hosts.M3_MACOS15
ROOT = replace(DEBIAN, user="root", uid=0)
SETTINGS = Settings(arch="x86_64")

HVF = Verdict("hvf", True, "QEMU could make a machine with it")
TCG = Verdict("tcg", True, "emulation works everywhere, at a fraction of the speed")
KVM = Verdict("kvm", True, "it ran a test program")
NO_KVM = Verdict("kvm", False, "/dev/kvm may not be opened", "sudo usermod -aG kvm kim")
TOOLS = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "mke2fs", "newuidmap", "ssh", "brew")
WELL = Findings(
    facts=DEBIAN,
    tools={name: Path("/usr/bin", name) for name in TOOLS},
    qemu=(10, 0, 2),
    verdicts=(KVM, TCG),
    capabilities=frozenset({"x-ignore-shared"}),
    space={Path("/data"): 50 * GIB},
    places=(Place(Path("/data")),),
    subids=("kim:100000:65536\n", "kim:100000:65536\n"),
    sources=("http://localhost/debian",),
)


def by_name(checks: Sequence[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def judged(settings: Settings = SETTINGS, **changes: object) -> dict[str, Check]:
    return by_name(judge_host(replace(WELL, **changes), settings))  # type: ignore[arg-type]


# --- the host, from recorded facts --------------------------------------------------------------------------


def test_a_good_host_is_well() -> None:
    checks = judge_host(WELL, SETTINGS)
    assert all(check.ok for check in checks)
    assert all_well(checks)
    assert plan_fix(checks, DEBIAN) == []


@pytest.mark.parametrize("facts", [DEBIAN, UBUNTU])
def test_an_empty_debian_gets_everything_in_one_go(facts: HostFacts) -> None:
    checks = judge_host(Findings(facts=facts, tools={}), SETTINGS)
    assert not all_well(checks)
    assert by_name(checks)["accelerator"].ok is None
    update, install, subids = plan_fix(checks, facts)
    assert update.argv[-1] == "update"
    assert not update.required
    at = install.argv.index("--no-install-recommends")
    assert install.argv[at + 1 :] == (
        "e2fsprogs", "mmdebstrap", "openssh-client", "qemu-system-x86", "qemu-utils", "uidmap",
    )  # fmt: skip
    assert subids.argv[0] == "usermod"
    assert all(action.root for action in (update, install, subids))


def test_root_needs_no_subordinate_ids() -> None:
    names = by_name(judge_host(replace(WELL, facts=ROOT, subids=("", "")), SETTINGS))
    assert not {"newuidmap", "subordinate ids", "user namespaces"} & names.keys()


def test_images_of_another_architecture_take_what_runs_its_programs() -> None:
    arm = replace(SETTINGS, arch="aarch64")
    assert "aarch64 programs" not in judged()
    assert judged(arm)["aarch64 programs"].ok
    check = judged(arm, foreign_fault="arch-test is not installed")["aarch64 programs"]
    assert (check.ok, check.needed) == (False, False)
    _, install = plan_fix([check], DEBIAN)
    assert install.argv[-3:] == ("arch-test", "binfmt-support", "qemu-user-static")


def test_a_mac_gets_qemu_from_homebrew_as_itself() -> None:
    settings = replace(SETTINGS, arch="aarch64")
    found = Findings(facts=MAC, tools={"brew": Path("/opt/homebrew/bin/brew"), "ssh": Path("/usr/bin/ssh")})
    checks = judge_host(found, settings)
    install = Action(("brew", "install", "lima", "qemu"), "Installing lima qemu", root=False)
    assert plan_fix(checks, MAC) == [install]
    assert "mmdebstrap" not in by_name(checks)


def test_a_mac_without_homebrew_is_told_so() -> None:
    check = by_name(judge_host(Findings(facts=MAC), replace(SETTINGS, arch="aarch64")))["Homebrew"]
    assert (check.ok, check.cure) == (False, "Install it first: https://brew.sh")


BREWED = ("qemu-system-aarch64", "qemu-img", "brew", "limactl", "ssh")
GOOD_MAC = replace(
    WELL, facts=MAC, verdicts=(HVF, TCG), tools={name: Path("/opt/homebrew/bin", name) for name in BREWED}
)


def judged_mac(facts: HostFacts, memory: int = 2 * GIB, qemu: Version = (10, 2, 2)) -> dict[str, Check]:
    settings = replace(SETTINGS, arch="aarch64", memory=memory)
    return by_name(judge_host(replace(GOOD_MAC, facts=facts, qemu=qemu), settings))


def test_a_good_mac_is_well() -> None:
    checks = judged_mac(MAC)
    assert [check.name for check in checks.values() if not check.ok] == ["resume"]
    assert checks["Homebrew"].summary == "installed in /opt/homebrew"


def test_the_qemu_that_keeps_a_mac_busy() -> None:
    busy = judged_mac(MAC, qemu=(11, 0, 0))["QEMU 11.0.0"]
    assert (busy.ok, busy.needed) == (False, False)
    assert "brew upgrade qemu" in busy.cure
    assert "QEMU 11.0.0" not in judged_mac(MAC, qemu=(11, 0, 1))
    assert "QEMU 11.0.0" not in judged_mac(hosts.INTEL_MACOS13, qemu=(11, 0, 0))


def test_a_qemu_too_old_for_apple_silicon_is_upgraded() -> None:
    old = judged_mac(MAC, qemu=(8, 2, 0))["qemu-system-aarch64"]
    assert "8.2.0 is too old; 8.2.1" in old.summary
    assert old.packages == ("qemu",)


def test_homebrew_for_intel_on_apple_silicon() -> None:
    checks = judged_mac(hosts.M1_ROSETTA)
    assert "/opt/homebrew" in checks["Homebrew"].cure
    assert "Rosetta" in checks
    assert all_well(checks.values())


def test_an_old_macos_and_much_memory() -> None:
    old = replace(MAC, mac=replace(hosts.mac_of(MAC), version=(12, 3)))
    assert judged_mac(old, memory=4 * GIB)["memory and macOS"].needed
    assert "memory and macOS" not in judged_mac(old, memory=3 * GIB)
    assert "memory and macOS" not in judged_mac(MAC, memory=4 * GIB)


def test_an_unknown_distribution_gets_words_instead_of_commands() -> None:
    checks = judge_host(Findings(facts=FEDORA), SETTINGS)
    assert plan_fix(checks, FEDORA) == []
    assert "package manager of your system" in by_name(checks)["qemu-system-x86_64"].cure
    assert "mmdebstrap" not in by_name(checks)


def test_qemu_too_old_or_broken() -> None:
    assert "5.2.0 is too old; 6.2.0" in judged(qemu=(5, 2, 0))["qemu-system-x86_64"].summary
    broken = judged(qemu=None, qemu_fault="qemu: cannot load library")["qemu-system-x86_64"]
    assert (broken.ok, broken.details) == (False, "qemu: cannot load library")


def test_emulation_is_worth_a_note_with_its_reason_and_cure() -> None:
    check = judged(verdicts=(NO_KVM, TCG))["accelerator"]
    assert (check.ok, check.needed) == (False, False)
    assert check.details == "kvm: /dev/kvm may not be opened"
    assert check.cure == "sudo usermod -aG kvm kim"
    assert all_well([check])


def test_an_accelerator_that_was_asked_for_must_work() -> None:
    wanted = replace(SETTINGS, accelerator="kvm")
    assert judged(wanted)["accelerator"].ok
    refused = judged(wanted, verdicts=(NO_KVM, TCG))["accelerator"]
    assert (refused.ok, refused.needed) == (False, True)
    assert judged(replace(SETTINGS, accelerator="tcg"), verdicts=(KVM, TCG))["accelerator"].ok
    assert not judged(replace(SETTINGS, accelerator="hvf"))["accelerator"].ok


def test_whether_machines_go_on_from_saved_memory() -> None:
    assert judged()["resume"].ok
    plain = judged(capabilities=frozenset())["resume"]
    assert (plain.ok, plain.needed) == (False, False)
    assert "x-ignore-shared" in plain.summary
    assert "hvf" in judged(verdicts=(Verdict("hvf", True, "it works"), TCG))["resume"].summary
    assert judged(verdicts=None)["resume"].ok is None


@pytest.mark.parametrize(
    ("total", "available", "ok", "needed"),
    [(16, 12, True, True), (16, 1, False, False), (2, 2, False, True), (0, 0, None, True)],
)
def test_memory(total: int, available: int, ok: bool | None, needed: bool) -> None:
    facts = replace(DEBIAN, memory=total * GIB, memory_available=available * GIB)
    check = judged(facts=facts)["memory"]
    assert (check.ok, check.needed) == (ok, needed)


def test_a_full_disk() -> None:
    check = judged(space={Path("/data"): 100 << 20})["disk space"]
    assert not check.ok
    assert check.summary == "100M free for /data; making an image takes 4G"


@pytest.mark.parametrize(
    ("subuid", "subgid", "words"),
    [
        ("kim:100000:65536", "kim:100000:65536", None),
        ("1000:100000:65536", "kim:100000:65536", None),
        ("kim:100000:1000", "kim:100000:65536", "--add-subuids 101000-166535"),
        ("lee:100000:65536\nbroken\n:x:\n", "", "--add-subuids 165536-231071 --add-subgids 100000-165535"),
        ("kim:100000:65536", "lee:524288:65536", "--add-subgids 589824-655359"),
    ],
)
def test_subordinate_ids_never_overlap_those_of_others(subuid: str, subgid: str, words: str | None) -> None:
    expected = ("usermod", *words.split(), "kim") if words else None
    assert subid_command(DEBIAN, subuid, subgid) == expected


# --- looking at a real host ---------------------------------------------------------------------------------


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return find_paths({"EBPF_DEV_HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path)})


def test_looking_changes_nothing(paths: Paths, tmp_path: Path) -> None:
    checks = host_checks(paths, Settings(), this_host())
    assert {"qemu-img", "accelerator", "memory", "disk space", "directories"} <= by_name(checks).keys()
    assert list(tmp_path.iterdir()) == []


def test_directories_that_cannot_be_used_are_named(paths: Paths, tmp_path: Path) -> None:
    facts = this_host()
    paths.data.mkdir(parents=True, mode=0o755)
    paths.data.chmod(0o755)
    paths.cache.write_text("a file in the way")
    check = by_name(judge_host(look_at_host(paths, Settings(), facts), Settings()))["directories"]
    assert not check.ok
    assert f"{paths.data} is open to other users (mode 0755)" in check.details
    assert f"{paths.cache} is not a directory" in check.details


def test_the_guest_of_no_instance_is_not_checked(paths: Paths) -> None:
    last = examine("default", paths, Settings())[-1]
    assert (last.name, last.ok) == ("guest", None)
    assert "no instance 'default'" in last.summary


# --- putting it right, with tools that only pretend ---------------------------------------------------------


class Tools:
    """A directory of fake programs that is all there is on PATH; each call is logged."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "calls"
        self.log.touch()

    def add(self, name: str, body: str) -> None:
        path = self.directory / name
        path.write_text(f"#!/bin/sh\necho {name} \"$@\" >> '{self.log}'\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    directory = tmp_path / "bin"
    directory.mkdir()
    fake = Tools(directory)
    # `env` is how the real apt-get gets its environment; the fake one lets the log show what it was given.
    fake.add("env", 'while :; do case "$1" in *=*) shift;; *) break;; esac; done; exec "$@"')
    fake.add("apt-get", "echo '0 upgraded, 2 newly installed'; echo 'Unpacking qemu'; echo 'Setting up qemu'")
    monkeypatch.setenv("PATH", str(directory))
    return fake


INSTALL = Action(("apt-get", "install", "qemu"), "Installing qemu")


def test_root_runs_commands_directly(tools: Tools) -> None:
    carry_out([INSTALL], ROOT, SilentReporter())
    assert tools.calls == ["apt-get install qemu"]


def test_others_go_through_sudo(tools: Tools) -> None:
    tools.add("sudo", 'case "$1" in -*) exit 0;; esac; exec "$@"')
    carry_out([INSTALL], DEBIAN, SilentReporter())
    assert tools.calls == ["sudo -n true", "sudo apt-get install qemu", "apt-get install qemu"]


def test_sudo_that_refuses_leaves_the_commands_to_run_by_hand(tools: Tools) -> None:
    tools.add("sudo", "exit 1")
    with pytest.raises(HostError) as caught:
        carry_out([INSTALL], DEBIAN, SilentReporter())
    assert (caught.value.code, caught.value.details) == ("sudo-refused", "apt-get install qemu")
    assert tools.calls == ["sudo -n true", "sudo -v"]


@pytest.mark.skipif(Path("/usr/sbin/sudo").exists() or Path("/sbin/sudo").exists(), reason="sudo in sbin")
def test_without_sudo_the_commands_are_told(tools: Tools) -> None:
    with pytest.raises(HostError) as caught:
        carry_out([INSTALL], DEBIAN, SilentReporter())
    assert caught.value.code == "sudo-missing"


def test_a_command_that_fails_is_told_with_its_words(tools: Tools) -> None:
    tools.add("apt-get", "echo Reading; echo 'E: Unable to locate package qemu'; exit 100")
    with pytest.raises(HostError) as caught:
        carry_out([INSTALL], ROOT, SilentReporter())
    assert caught.value.code == "fix-failed"
    assert caught.value.details == "E: Unable to locate package qemu"
    assert "apt-get install qemu" in caught.value.hint


def test_package_lists_may_fail(tools: Tools) -> None:
    tools.add("apt-get", 'test "$1" = install')
    update = Action(("apt-get", "update"), "Fetching package lists", required=False)
    carry_out([update, INSTALL], ROOT, SilentReporter())
    assert tools.calls == ["apt-get update", "apt-get install qemu"]


def test_commands_are_shown_as_one_types_them() -> None:
    _, install, *_ = plan_fix(judge_host(Findings(facts=DEBIAN), SETTINGS), DEBIAN)
    assert describe(install, DEBIAN).startswith("sudo apt-get install --no-install-recommends e2fsprogs ")
    assert describe(install, ROOT).startswith("apt-get install ")


class Listener(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_nothing_is_run_without_consent(tools: Tools, paths: Paths) -> None:
    asked: list[str] = []

    def refuse(question: str) -> bool:
        asked.append(question)
        return False

    reporter = Listener()
    assert not fix(paths, Settings(), reporter, ask=refuse, facts=ROOT)
    assert asked == ["Run them?"]
    assert any("apt-get install" in note for note in reporter.notes)
    assert not [call for call in tools.calls if call.startswith("apt-get install")]


def test_without_asking_it_is_done(tools: Tools, paths: Paths) -> None:
    assert fix(paths, Settings(), SilentReporter(), facts=ROOT)
    assert [call for call in tools.calls if call.startswith("apt-get") and " install " in call]


def test_what_no_command_cures_is_said(tools: Tools, paths: Paths) -> None:
    with pytest.raises(HostError) as caught:
        fix(paths, Settings(), SilentReporter(), facts=FEDORA)
    assert caught.value.code == "fix-impossible"
    assert "qemu-img: missing" in caught.value.details


# --- the guest ----------------------------------------------------------------------------------------------

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
    import subprocess

    class Here(FakeGuest):
        def run(
            self, argv: Sequence[str], *, input: bytes = b"", timeout: float = 60.0, check: bool = True
        ) -> CommandResult:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
            if done.returncode:
                raise GuestError("failed", code="guest-command-failed", details=done.stderr)
            return CommandResult(tuple(argv), 0, done.stdout, done.stderr)

    checks = by_name(guest_checks(Here("")))  # type: ignore[arg-type]
    assert os.uname().release in checks["guest kernel"].summary
    assert checks["guest clock"].ok


def test_lima_is_judged_where_it_is_to_run_machines() -> None:
    assert "Lima" not in judged()
    checks = judged(driver="qemu")
    assert checks["Lima"].ok
    assert checks["qemu-system-x86_64"].ok
    assert not checks["resume"].ok
    assert not checks["resume"].needed
    fault = HostError("limactl is not installed", code="tool-missing", hint="Install it.")
    mac = judged(facts=MAC, driver="vz", lima_fault=fault)
    assert not mac["Lima"].ok
    assert mac["Lima"].packages == ("lima",)
    assert "accelerator" not in mac
    assert "qemu-img" not in mac
