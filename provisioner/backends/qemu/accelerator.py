"""Which accelerator a machine gets: facts are gathered first, the decision is a pure function of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from provisioner.backends.qemu.kvm import Problem, find_kvm_problem
from provisioner.core.errors import HostError
from provisioner.core.host import host_arch, host_system
from provisioner.core.process import run_tool

#: The hardware accelerator of each system that has one.
HARDWARE = {"linux": "kvm", "macos": "hvf"}


@dataclass(frozen=True)
class AcceleratorFacts:
    """What the decision depends on. ``arch`` is the guest's.

    ``problem`` is what a probe of the hardware accelerator found, ``refused`` why it failed to boot Linux
    here before; ``built_in`` are the accelerators the QEMU binary knows.
    """

    system: str
    host_arch: str
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
    """Look at this host; runs a tiny KVM machine on Linux and two ``sysctl`` on macOS."""
    system, host = host_system(), host_arch()
    problem = None
    if arch == host and system == "linux":
        problem = find_kvm_problem(arch)
    elif arch == host and system == "macos":
        problem = judge_hvf(_sysctl("kern.hv_support"), _sysctl("kern.hv_vmm_present"))
    return AcceleratorFacts(system, host, arch, built_in, problem)


def judge_hvf(support: str, inside_machine: str) -> Problem | None:
    """What keeps HVF from working, from the values of two sysctls ("" when they do not exist).

    HVF must be judged beforehand: a QEMU told to try HVF and then TCG aborts on a Mac without it.
    """
    if support == "1":
        return None
    if inside_machine == "1":
        return Problem("this Mac is a virtual machine without nested virtualisation")
    return Problem("this Mac has no hypervisor support (kern.hv_support is not 1)")


def judge(facts: AcceleratorFacts) -> tuple[Verdict, ...]:
    """A verdict on every accelerator of this system, the best first; the last is TCG, which always works."""
    hardware = HARDWARE.get(facts.system)
    emulation = Verdict("tcg", True, "emulation works everywhere, at a fraction of the speed")
    return (_judge_hardware(hardware, facts), emulation) if hardware else (emulation,)


def _judge_hardware(name: str, facts: AcceleratorFacts) -> Verdict:
    if facts.arch != facts.host_arch:
        reason = f"it cannot run a {facts.arch} guest on a {facts.host_arch} host"
        return Verdict(name, False, reason)
    if name not in facts.built_in:
        return Verdict(name, False, "this QEMU was built without it", "Install the distribution's own QEMU.")
    if facts.problem is not None:
        return Verdict(name, False, facts.problem.reason, facts.problem.cure)
    if facts.refused is not None:
        cure = f"It is tried again after an upgrade of QEMU or the host's kernel, or with accelerator {name!r}."
        return Verdict(name, False, f"it could not boot Linux here: {facts.refused}", cure)
    return Verdict(name, True, "it ran a test program")


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


def _sysctl(name: str) -> str:
    return run_tool(["sysctl", "-n", name], needed_for="to look for HVF", check=False).stdout.strip()
