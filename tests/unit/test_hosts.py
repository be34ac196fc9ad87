"""What is decided from the facts of a host; the hosts are in hosts.py."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from provisioner.backends.base import FirmwareBoot, Machine
from provisioner.backends.qemu import tools
from provisioner.backends.qemu.accelerator import AcceleratorFacts, choose, judge, judge_try
from provisioner.backends.qemu.arch import Traits
from provisioner.backends.qemu.command import processor
from provisioner.backends.qemu.firmware import firmware_candidates
from provisioner.backends.qemu.hvf import explain_hvf, judge_hvf
from provisioner.backends.qemu.kvm import Problem, find_kvm_problem
from provisioner.backends.qemu.layout import SOCKET_PATH_MAX, QemuFiles
from provisioner.core.errors import HostError
from provisioner.core.host import HostFacts, mac_facts, machine_arch, parse_sysctl, this_host
from provisioner.core.names import MAX_LENGTH
from provisioner.core.paths import find_paths
from tests.unit import hosts
from tests.unit.hosts import mac_of

BOTH = {"linux": frozenset({"kvm", "tcg"}), "macos": frozenset({"hvf", "tcg"})}
EMULATION = frozenset({"tcg"})


# What is read off a host ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "build", "arch"),
    [
        ("x86_64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)", "x86_64"),
        ("arm64", "Darwin Kernel Version 24.2.0: root:xnu-11215.61.5~2/RELEASE_ARM64_T6031", "aarch64"),
        # An Intel Python on Apple Silicon.
        ("x86_64", "Darwin Kernel Version 24.2.0: root:xnu-11215.61.5~2/RELEASE_ARM64_T6031", "aarch64"),
        ("x86_64", "Darwin Kernel Version 21.6.0: root:xnu-8020.240.18~2/RELEASE_X86_64", "x86_64"),
        ("riscv64", "#1 SMP", "riscv64"),
    ],
)
def test_the_machine_is_told_from_the_program(machine: str, build: str, arch: str) -> None:
    assert machine_arch(machine, build) == arch


def test_what_a_mac_does_not_know_it_leaves_out() -> None:
    facts = mac_facts("11.7.10", parse_sysctl("kern.hv_support: 1\n"), translated=False, brew=None)
    assert (facts.version, facts.hv_support, facts.in_machine, facts.sme) == ((11, 7), True, False, False)
    assert mac_facts("", {}, translated=False, brew=None).version == (0, 0)


def test_the_hosts_differ_as_recorded() -> None:
    assert [name for name, host in hosts.MACS.items() if mac_of(host).sme] == ["M4, macOS 15.2"]
    assert [name for name, host in hosts.MACS.items() if not host.is_apple_silicon] == [
        "Intel, macOS 12", "Intel, macOS 13",
    ]  # fmt: skip
    assert hosts.WSL.is_wsl
    assert not hosts.LINUX.is_wsl


def test_this_host_is_looked_at_once() -> None:
    assert this_host() is this_host()
    assert this_host().kernel


# Which accelerator ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """``why_not`` and ``cure`` belong to the hardware's verdict."""

    host: HostFacts
    chosen: str
    why_not: str = ""
    cure: str = ""
    built_in: frozenset[str] | None = None
    problem: Problem | None = None
    refused: str | None = None
    arch: str = ""

    @property
    def facts(self) -> AcceleratorFacts:
        problem = self.problem or (judge_hvf(self.host.mac) if self.host.mac else None)
        built_in = BOTH[self.host.system] if self.built_in is None else self.built_in
        return AcceleratorFacts(self.host, self.arch or self.host.arch, built_in, problem, self.refused)


NO_KVM = find_kvm_problem("x86_64", Path("/nonexistent/kvm"))
CASES = {
    "Linux with KVM": Case(hosts.LINUX, "kvm"),
    "Linux without": Case(hosts.LINUX, "tcg", "does not exist", "firmware setup", problem=NO_KVM),
    "Linux, locked": Case(hosts.LINUX, "tcg", "may not open", problem=Problem("you may not open it")),
    "Linux, KVM that cannot boot": Case(
        hosts.LINUX, "tcg", "could not boot Linux here: bad", "upgrade", refused="bad"
    ),
    "Linux, QEMU without KVM": Case(hosts.LINUX, "tcg", "built without", "distribution", built_in=EMULATION),
    "Linux, foreign guest": Case(hosts.LINUX, "tcg", "no aarch64 guests on a host of x86_64", arch="aarch64"),
    "arm64 Linux": Case(hosts.LINUX_ARM, "kvm"),
    "WSL": Case(hosts.WSL, "kvm"),
    "WSL without KVM": Case(hosts.WSL, "tcg", "does not exist", "nestedVirtualization=true", problem=NO_KVM),
    "WSL, locked": Case(hosts.WSL, "tcg", "may not", "group", problem=Problem("you may not", "Join the group.")),
    "M1, macOS 14": Case(hosts.M1_MACOS14, "tcg", "macOS 15 and later", "this is 14.7", built_in=EMULATION),
    # Built by somebody else than Homebrew.
    "M1, macOS 14, HVF": Case(hosts.M1_MACOS14, "hvf"),
    "M3": Case(hosts.M3_MACOS15, "hvf"),
    "M4": Case(hosts.M4_MACOS15, "hvf"),
    "M3, foreign guest": Case(hosts.M3_MACOS15, "tcg", "no x86_64 guests on a host of aarch64", arch="x86_64"),
    "Intel's Homebrew": Case(hosts.M1_ROSETTA, "tcg", "for Intel Macs", "/opt/homebrew", built_in=EMULATION),
    "Intel, macOS 12": Case(hosts.INTEL_MACOS12, "hvf"),
    "Intel, macOS 13": Case(hosts.INTEL_MACOS13, "hvf"),
    "Intel, QEMU without": Case(
        hosts.INTEL_MACOS13, "tcg", "built without", "brew install qemu", built_in=EMULATION
    ),
    "GitHub's runner": Case(hosts.GITHUB_MACOS, "tcg", "virtual machine without nested"),
    "nested Mac": Case(
        hosts.NESTED_MACOS, "tcg", "no hypervisor", problem=judge_try(-6, "Error: ret = HV_UNSUPPORTED")
    ),
    "another system": Case(replace(hosts.LINUX, system="freebsd"), "tcg", "emulation", built_in=EMULATION),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_best_usable_accelerator_is_chosen(case: Case) -> None:
    verdicts = judge(case.facts)
    assert choose(verdicts, "auto").accelerator == case.chosen
    assert case.why_not in verdicts[0].reason
    assert case.cure in verdicts[0].cure


def test_a_wanted_accelerator_is_taken_or_refused_with_its_cure() -> None:
    linux = Case(hosts.LINUX, "kvm")
    assert choose(judge(linux.facts), "tcg").accelerator == "tcg"
    locked = replace(linux, problem=Problem("you may not open it", "Join the group."))
    with pytest.raises(HostError) as caught:
        choose(judge(locked.facts), "kvm")
    assert caught.value.details == "you may not open it"
    assert caught.value.hint == "Join the group."
    with pytest.raises(HostError) as caught:
        choose(judge(linux.facts), "hvf")
    assert caught.value.details == "this system has: kvm, tcg"


@pytest.mark.parametrize(
    ("words", "status", "reason", "cure"),
    [
        ("qemu-system-aarch64: -accel hvf: Could not access HVF. Is the executable signed with "
         "com.apple.security.hypervisor entitlement?", 1, "not signed with the entitlement", "codesign --sign"),
        ("qemu-system-aarch64: Error: ret = HV_DENIED (0xfae94007, at ../accel/hvf/hvf-all.c:1)", -6,
         "not signed with the entitlement", "brew reinstall qemu"),
        ("qemu-system-aarch64: -accel hvf: invalid accelerator hvf", 1, "built without it", "brew reinstall qemu"),
        ("qemu-system-aarch64: Error: ret = HV_UNSUPPORTED (0xfae9400f, at ../target/arm/hvf/hvf.c:1)", -6,
         "no hypervisor here", ""),
        ("qemu-system-aarch64: Error: ret = HV_NO_RESOURCES (0xfae94005, at hvf.c:1)", -6, "hold what it needs",
         "Stop them"),
        ("", -9, "signature is not valid", "brew reinstall qemu"),
    ],
)  # fmt: skip
def test_what_qemu_says_of_hvf_is_explained(words: str, status: int, reason: str, cure: str) -> None:
    found = explain_hvf(words, status)
    assert found is not None
    assert reason in found.reason
    assert cure in found.cure


def test_a_complaint_about_something_else_is_shown_as_it_is() -> None:
    assert explain_hvf("qemu-system-aarch64: cannot allocate memory", 1) is None
    assert (
        judge_try(1, "qemu: warning: old\nqemu: cannot allocate memory\nmore\n").reason
        == "qemu: cannot allocate memory"
    )
    assert judge_try(-6, "").reason == "QEMU ended with status -6"


# How a machine is made --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arch", "accelerator", "traits", "board", "cpu"),
    [
        ("x86_64", "kvm", Traits(qemu=(7, 2, 22)), "q35", "host"),
        ("x86_64", "hvf", Traits(qemu=(10, 0, 2)), "q35", "host,-pdpe1gb,-avx512vl"),
        ("x86_64", "tcg", Traits(qemu=(11, 1, 3)), "q35", "Nehalem,-cx16"),
        ("aarch64", "hvf", Traits(qemu=(10, 2, 2)), "virt,gic-version=max", "host"),
        ("aarch64", "hvf", Traits(sme=True, qemu=(10, 2, 2)), "virt,gic-version=max", "max"),
        ("aarch64", "hvf", Traits(sme=True, qemu=(11, 1, 0)), "virt-11.0,gic-version=max", "max"),
        ("aarch64", "hvf", Traits(qemu=(11, 0, 2)), "virt,gic-version=max", "host"),
        ("aarch64", "kvm", Traits(qemu=(11, 1, 0)), "virt,gic-version=max", "host"),
        ("aarch64", "tcg", Traits(sme=True, qemu=(11, 1, 0)), "virt,gic-version=max", "cortex-a72"),
    ],
)
def test_machines_and_processors(arch: str, accelerator: str, traits: Traits, board: str, cpu: str) -> None:
    made = processor(arch, accelerator, traits)
    assert (made.board, made.cpu) == (board, cpu)


@pytest.mark.parametrize("host", [hosts.M1_MACOS14, hosts.M4_MACOS15])
def test_apple_silicon_needs_a_later_qemu(host: HostFacts) -> None:
    assert tools.minimum_version(host) == (8, 2, 1)
    for other in (hosts.LINUX, hosts.LINUX_ARM, hosts.INTEL_MACOS12):
        assert tools.minimum_version(other) == (6, 2, 0)


# Where its files are ----------------------------------------------------------------------------


LONG = "a-name-as-long-as-an-administrator-gives-it-to-somebody"


@pytest.mark.parametrize("temporary", ["/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T", "/Users/" + "x" * 60])
@pytest.mark.parametrize(
    ("user", "folder"),
    [
        ("kim", "/Users/kim/Library/Application Support/ebpf-dev/run"),
        (LONG[:40], f"/Users/{LONG[:40]}/.ebpf-dev/run-"),
        # Better one that macOS may tidy up than none.
        (LONG, ""),
    ],
)
def test_sockets_of_a_mac_last_and_fit(
    user: str, folder: str, temporary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.core.paths.this_host", lambda: hosts.M3_MACOS15)
    monkeypatch.setattr("tempfile.tempdir", temporary)
    monkeypatch.setattr(Path, "is_dir", lambda path: True)
    monkeypatch.setattr(Path, "home", lambda: Path("/Users", user))
    data = f"/Users/{user}/Library/Application Support/ebpf-dev"
    monkeypatch.setattr("platformdirs.user_data_dir", lambda app: data)
    paths = find_paths({})
    machine = Machine(
        name="n" * MAX_LENGTH, directory=paths.instance("n" * MAX_LENGTH), sockets=paths.runtime, arch="aarch64",
        cpus=2, memory=2 << 30, disk_size=10 << 30, base_disk=Path("/disk"), boot=FirmwareBoot(),
    )  # fmt: skip
    files = QemuFiles(machine)
    assert str(files.socket).startswith(folder)
    assert max(len(bytes(path)) for path in (files.socket, *files.fifos)) <= SOCKET_PATH_MAX


def test_the_firmware_that_homebrew_brings() -> None:
    emulator = Path("/opt/homebrew/bin/qemu-system-aarch64")
    assert firmware_candidates("aarch64", emulator)[0] == Path("/opt/homebrew/share/qemu/edk2-aarch64-code.fd")
