"""Hosts as they were recorded, or as their vendors describe them: what decisions are tried on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from provisioner.core.host import HostFacts, MacFacts, mac_facts, parse_sysctl

GIB = 1 << 30


def _mac(arch: str, version: str, sysctl: str, brew: str, **more: bool) -> HostFacts:
    mac = mac_facts(version, parse_sysctl(sysctl), translated=more.get("translated", False), brew=Path(brew))
    return HostFacts(
        system="macos", arch=arch, kernel="24.2.0", title=f"Darwin {version}", user="kim", uid=501, cpus=8,
        memory=16 * GIB, memory_available=16 * GIB, mac=mac,
    )  # fmt: skip


_SILICON, _INTEL = "/opt/homebrew", "/usr/local"
_PLAIN = "kern.hv_support: 1\nkern.hv_vmm_present: 0\n"

M1_MACOS14 = _mac("aarch64", "14.7.1", _PLAIN + "hw.optional.arm.FEAT_SME: 0\n", _SILICON)
M3_MACOS15 = _mac("aarch64", "15.1", _PLAIN + "hw.optional.arm.FEAT_SME: 0\n", _SILICON)
M4_MACOS15 = _mac("aarch64", "15.2", _PLAIN + "hw.optional.arm.FEAT_SME: 1\n", _SILICON)
#: An Intel Python and the Intel Homebrew, moved over from the Mac before.
M1_ROSETTA = _mac("aarch64", "15.1", _PLAIN, _INTEL, translated=True)
#: Does not know the third name.
INTEL_MACOS12 = _mac("x86_64", "12.7.6", _PLAIN, _INTEL)
INTEL_MACOS13 = _mac("x86_64", "13.6", _PLAIN, _INTEL)
GITHUB_MACOS = _mac("aarch64", "14.7.6", "kern.hv_support: 0\nkern.hv_vmm_present: 1\n", _SILICON)
#: A Mac in a virtual machine that says it could nest: found out by trying only.
NESTED_MACOS = _mac("aarch64", "15.5", "kern.hv_support: 1\nkern.hv_vmm_present: 1\n", _SILICON)

LINUX = HostFacts(
    system="linux", arch="x86_64", kernel="6.1.0-28-amd64", distro="debian", title="Debian GNU/Linux 12",
    user="kim", uid=1000, cpus=8, memory=16 * GIB, memory_available=12 * GIB,
)  # fmt: skip
LINUX_ARM = replace(LINUX, arch="aarch64", kernel="6.1.0-28-arm64")
WSL = replace(LINUX, kernel="5.15.167.4-microsoft-standard-WSL2", distro="ubuntu", distro_like=("debian",))

MACS: dict[str, HostFacts] = {
    "M1, macOS 14": M1_MACOS14, "M3, macOS 15": M3_MACOS15, "M4, macOS 15.2": M4_MACOS15,
    "M1, Rosetta": M1_ROSETTA, "Intel, macOS 12": INTEL_MACOS12, "Intel, macOS 13": INTEL_MACOS13,
    "GitHub's runner": GITHUB_MACOS, "nested": NESTED_MACOS,
}  # fmt: skip


def mac_of(host: HostFacts) -> MacFacts:
    assert host.mac is not None
    return host.mac
