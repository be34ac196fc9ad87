"""What `doctor` finds on a host that is well, and on others: its checks are judged from these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from provisioner.backends.qemu.accelerator import Verdict
from provisioner.core.host import HostFacts
from provisioner.core.settings import Settings
from provisioner.core.sizes import GIB
from provisioner.workflows.checks import Check
from provisioner.workflows.host_checks import judge_host
from provisioner.workflows.host_findings import Findings, Place
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
