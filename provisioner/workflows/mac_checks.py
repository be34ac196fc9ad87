"""What ``doctor`` looks at on a Mac only; pure, so that it can be tried on facts of Macs that are not at hand."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.backends.qemu.hvf import missing_hvf
from provisioner.core.host import BREW_PREFIXES, HostFacts, MacFacts
from provisioner.core.settings import Settings
from provisioner.core.sizes import GIB
from provisioner.workflows.checks import Check
from provisioner.workflows.host_findings import Findings

#: With it an idle guest keeps two processors of the host busy on Apple Silicon (QEMU issue 3433).
_BUSY_QEMU = (11, 0, 0)
#: Before this release a guest with more memory brought the whole Mac down (lima-vm/lima issue 795).
_SAFE_MACOS, _SAFE_MEMORY = (12, 4), 3 * GIB


def mac_checks(found: Findings, settings: Settings) -> Iterator[Check]:
    """The checks that follow from what was found on a Mac; none elsewhere."""
    mac = found.facts.mac
    if mac is None:
        return
    yield _homebrew(found, mac)
    if not found.driver and not found.tools.get("limactl"):
        yield _no_limactl()
    if mac.translated:
        yield _translated()
    if found.facts.is_apple_silicon and mac.version < _SAFE_MACOS and settings.memory > _SAFE_MEMORY:
        yield _dangerous_memory(mac)


def busy_qemu(found: Findings) -> Check | None:
    """A complaint about the QEMU that keeps a Mac busy, None when it is another."""
    if not found.facts.is_apple_silicon or found.qemu != _BUSY_QEMU:
        return None
    return Check(
        "QEMU 11.0.0",
        False,
        "an idle guest keeps some two processors of this Mac busy with it",
        cure="`brew upgrade qemu`; 10.2 and later releases than 11.0.0 are not known for it.",
        needed=False,
    )


def _homebrew(found: Findings, mac: MacFacts) -> Check:
    if not found.tools.get("brew"):
        return Check(
            "Homebrew",
            False,
            "missing; QEMU and Lima are installed through it",
            cure="Install it first: https://brew.sh",
        )
    if _is_foreign_brew(found.facts, mac):
        summary = f"the one in {mac.brew} is for Intel Macs: its QEMU is translated and cannot use HVF"
        return Check("Homebrew", False, summary, cure=missing_hvf(found.facts).cure, needed=False)
    return Check("Homebrew", True, f"installed in {mac.brew}")


def _is_foreign_brew(facts: HostFacts, mac: MacFacts) -> bool:
    return facts.is_apple_silicon and mac.brew == BREW_PREFIXES["x86_64"]


def _no_limactl() -> Check:
    return Check(
        "limactl",
        False,
        "missing; with Lima machines run on Apple's own virtualisation",
        cure="`ebpf-dev doctor --fix` installs lima.",
        needed=False,
        packages=("lima",),
    )


def _translated() -> Check:
    return Check(
        "Rosetta",
        False,
        "this Python is a program for Intel; machines run as fast, but the tool itself starts slower",
        cure="Install it with a Python for Apple Silicon, such as Homebrew's.",
        needed=False,
    )


def _dangerous_memory(mac: MacFacts) -> Check:
    return Check(
        "memory and macOS",
        False,
        f"a guest with more than 3G can crash macOS {mac.version[0]}.{mac.version[1]} itself",
        cure="Give the machine `--memory 3G` or less, or upgrade to macOS 12.4 or later.",
    )
