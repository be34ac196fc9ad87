"""Apple's hypervisor as QEMU uses it: what keeps it from working, and what would help.

A QEMU that is told to try HVF and then TCG aborts where HVF is there and refuses (QEMU issue 2981), so it has
to be judged beforehand. Nothing here looks at anything: facts of the host and words of QEMU go in.
"""

from __future__ import annotations

import re
import signal

from provisioner.backends.qemu.kvm import Problem
from provisioner.core.host import BREW_PREFIXES, HostFacts, MacFacts

#: Homebrew's formula builds QEMU for Apple Silicon without HVF below this: it takes that system's SDK.
HOMEBREW_HVF_FLOOR = (15, 0)

_REINSTALL = "`brew reinstall qemu` puts a signed one in its place"
_SIGN = f"{_REINSTALL}; your own build needs `codesign --sign - --entitlements FILE --force QEMU`."
_NO_SUPPORT = "macOS offers no hypervisor here, as in a virtual machine without nested virtualisation"

#: (what QEMU says, what that means, what helps). HV_ names are the errors of Apple's Hypervisor framework, which
#: QEMU prints as "Error: ret = HV_DENIED (...)" before it aborts.
_COMPLAINTS = (
    (r"HV_DENIED|Could not access HVF|com\.apple\.security\.hypervisor",
     "this QEMU is not signed with the entitlement com.apple.security.hypervisor", _SIGN),
    (r"invalid accelerator hvf", "this QEMU was built without it", _REINSTALL + "."),
    (r"HV_UNSUPPORTED", _NO_SUPPORT, ""),
    (r"HV_NO_RESOURCES|HV_BUSY", "other virtual machines hold what it needs", "Stop them."),
    (r"hvf_arch_init_vcpu.*[Aa]ssert|[Aa]ssert.*hvf_arch_init_vcpu",
     "this QEMU was built for an older macOS", "Use Homebrew's: `brew install qemu`."),
)  # fmt: skip


def judge_hvf(mac: MacFacts) -> Problem | None:
    """What keeps HVF from working as far as macOS itself says, None when a try is worth while."""
    if mac.hv_support:
        return None
    if mac.in_machine:
        return Problem("this Mac is a virtual machine without nested virtualisation")
    return Problem("this Mac has no hypervisor support (kern.hv_support is not 1)")


def missing_hvf(host: HostFacts) -> Problem:
    """Why the host's QEMU does not know HVF."""
    mac, reason = host.mac, "this QEMU was built without it"
    if mac is None or not host.is_apple_silicon:
        return Problem(reason, "Install Homebrew's: `brew install qemu`.")
    if mac.brew == BREW_PREFIXES["x86_64"]:
        return Problem(
            f"{reason}: Homebrew in {mac.brew} is the one for Intel Macs",
            f"Install Homebrew for Apple Silicon, which is in {BREW_PREFIXES['aarch64']}, and QEMU with it.",
        )
    if mac.version < HOMEBREW_HVF_FLOOR:
        return Problem(
            f"{reason}: Homebrew builds it for macOS {HOMEBREW_HVF_FLOOR[0]} and later",
            f"`brew install lima`, or upgrade macOS (this is {mac.version[0]}.{mac.version[1]}).",
        )
    return Problem(reason, "Install Homebrew's: `brew install qemu`.")


def explain_hvf(words: str, status: int | None) -> Problem | None:
    """What QEMU's last ``words``, or the signal it died of (``status`` as of subprocess), say about HVF."""
    for pattern, reason, cure in _COMPLAINTS:
        if re.search(pattern, words):
            return Problem(reason, cure)
    if status == -signal.SIGKILL and not words.strip():
        return Problem("macOS killed QEMU as it does with programs whose signature is not valid", _SIGN)
    return None
