"""Which accelerator a machine gets: facts are gathered first, the decision is a pure function of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace

from provisioner.backends.qemu import tools
from provisioner.backends.qemu.command import processor
from provisioner.backends.qemu.hvf import explain_hvf, judge_hvf, missing_hvf
from provisioner.backends.qemu.kvm import FIRMWARE_CURES, Problem, find_kvm_problem
from provisioner.core.errors import HostError
from provisioner.core.host import HostFacts, this_host

#: The hardware accelerator of each system that has one.
HARDWARE = {"linux": "kvm", "macos": "hvf"}


@dataclass(frozen=True)
class AcceleratorFacts:
    """What the decision depends on. ``arch`` is the guest's.

    ``problem`` is what a probe of the hardware accelerator found, ``refused`` why it failed to boot Linux
    here before; ``built_in`` are the accelerators the QEMU binary knows.
    """

    host: HostFacts
    arch: str
    built_in: frozenset[str]
    problem: Problem | None = None
    refused: str | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether an accelerator can be used for a machine, why or why not, and what would help."""

    accelerator: str
    usable: bool
    reason: str
    cure: str = field(default="", compare=False)


def gather_facts(arch: str, built_in: frozenset[str]) -> AcceleratorFacts:
    """Look at this host: a tiny KVM machine is run on Linux, and a machine made with HVF on macOS."""
    host, problem = this_host(), None
    if arch == host.arch and host.system == "linux":
        problem = find_kvm_problem(arch)
    elif arch == host.arch and host.mac and "hvf" in built_in:
        problem = judge_hvf(host.mac) or _try_hvf(arch)
    return AcceleratorFacts(host, arch, built_in, problem)


@functools.cache
def _try_hvf(arch: str) -> Problem | None:
    """What QEMU has to say against a machine with HVF, which macOS may still refuse it; a tenth of a second."""
    made = processor(arch, "hvf", tools.traits(arch))
    try:
        done = tools.try_start(arch, made.board, made.accel, made.cpu)
    except HostError as exc:
        return Problem(exc.brief)
    return None if done.ok else judge_try(done.status, done.stderr)


def judge_try(status: int, words: str) -> Problem:
    """The problem of a machine that could not be made; ``status`` as of subprocess."""
    if known := explain_hvf(words, status):
        return known
    complaints = [line for line in words.splitlines() if line.strip() and "warning:" not in line]
    return Problem(complaints[0] if complaints else f"QEMU ended with status {status}")


def judge(facts: AcceleratorFacts) -> tuple[Verdict, ...]:
    """A verdict on every accelerator of this system, the best first; the last is TCG, which always works."""
    hardware = HARDWARE.get(facts.host.system)
    emulation = Verdict("tcg", True, "emulation works everywhere, at a fraction of the speed")
    return (_judge_hardware(hardware, facts), emulation) if hardware else (emulation,)


def _judge_hardware(name: str, facts: AcceleratorFacts) -> Verdict:
    if facts.arch != facts.host.arch:
        return Verdict(name, False, f"it runs no {facts.arch} guests on a host of {facts.host.arch}")
    if name not in facts.built_in:
        problem: Problem | None = missing_hvf(facts.host) if name == "hvf" else _MISSING_KVM
    else:
        problem = _kvm_in_wsl(facts) if name == "kvm" else facts.problem
    if problem is not None:
        return Verdict(name, False, problem.reason, problem.cure)
    if facts.refused is not None:
        cure = f"It is tried again after an upgrade of QEMU or the host's kernel, or with accelerator {name!r}."
        return Verdict(name, False, f"it could not boot Linux here: {facts.refused}", cure)
    return Verdict(name, True, "it ran a test program" if name == "kvm" else "QEMU could make a machine with it")


_MISSING_KVM = Problem("this QEMU was built without it", "Install the distribution's own QEMU.")
_WSL_CURE = (
    "Windows 11 gives WSL 2 a /dev/kvm: `nestedVirtualization=true` below [wsl2] in %UserProfile%\\.wslconfig, "
    "then `wsl --shutdown`."
)


def _kvm_in_wsl(facts: AcceleratorFacts) -> Problem | None:
    """The problem with KVM; inside Windows the firmware setup is not the place to look."""
    if facts.host.is_wsl and facts.problem and facts.problem.cure in FIRMWARE_CURES:
        return replace(facts.problem, cure=_WSL_CURE)
    return facts.problem


def choose(verdicts: tuple[Verdict, ...], wanted: str) -> Verdict:
    """The accelerator to use: the best usable one for ``"auto"``, else the one that is wanted.

    Raises HostError("accelerator-unusable") when the wanted one cannot be used.
    """
    if wanted == "auto":
        return next(verdict for verdict in verdicts if verdict.usable)
    for verdict in verdicts:
        if verdict.accelerator == wanted and verdict.usable:
            return verdict
    found = next((verdict for verdict in verdicts if verdict.accelerator == wanted), None)
    known = ", ".join(verdict.accelerator for verdict in verdicts)
    raise HostError(
        f"the accelerator {wanted!r} cannot be used on this host",
        code="accelerator-unusable",
        details=found.reason if found else f"this system has: {known}",
        hint=(found.cure if found else "") or "Leave the accelerator at 'auto' to use the best one there is.",
    )
