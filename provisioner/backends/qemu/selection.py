"""The accelerator that QEMU is to use on this host, with what was learnt from failures before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from provisioner.backends.base import Machine
from provisioner.backends.qemu import tools
from provisioner.backends.qemu.accelerator import (
    HARDWARE,
    AcceleratorFacts,
    Verdict,
    choose,
    gather_facts,
    judge,
)
from provisioner.backends.qemu.failures import AcceleratorFailure
from provisioner.backends.qemu.refusals import Circumstances, Refusals
from provisioner.core.host import this_host
from provisioner.core.reporter import Reporter, SilentReporter

GatherFacts = Callable[[str, "frozenset[str]"], AcceleratorFacts]


class Selection:
    """Chooses, and remembers in ``host_facts`` what could not boot Linux; ``gather`` looks at the host."""

    def __init__(self, host_facts: Path, gather: GatherFacts = gather_facts) -> None:
        self._refusals = Refusals(host_facts)
        self._gather = gather

    def verdicts(self, arch: str, *, remembered: bool = True) -> tuple[Verdict, ...]:
        """A verdict on every accelerator of this system for guests of ``arch``, the best first."""
        facts = self._gather(arch, tools.built_in_accelerators(arch))
        hardware = HARDWARE.get(facts.host.system)
        if remembered and hardware is not None:
            facts = replace(facts, refused=self._refusals.find(_circumstances(arch, hardware)))
        return judge(facts)

    def expect(self, machine: Machine) -> str:
        """The accelerator that a start would use; raises HostError("accelerator-unusable")."""
        return self.choose(machine, SilentReporter())

    def choose(self, machine: Machine, reporter: Reporter) -> str:
        """The accelerator for a start; one that somebody insists on is tried again after a failure."""
        if machine.accelerator == "tcg":
            return "tcg"
        verdicts = self.verdicts(machine.arch, remembered=machine.accelerator == "auto")
        for verdict in verdicts:
            reporter.debug(f"accelerator {verdict.accelerator}: {verdict.reason}")
        return choose(verdicts, machine.accelerator).accelerator

    def announce(self, failure: AcceleratorFailure, reporter: Reporter) -> None:
        """Tell that emulation takes the place of an accelerator that failed."""
        reporter.note(
            f"{failure.accelerator.upper()} cannot boot Linux on this host ({failure.reason}); using emulation, "
            f"which is slower. This is remembered until QEMU or the host's kernel changes. {failure.cure}".rstrip()
        )

    def remember(self, arch: str, failure: AcceleratorFailure) -> None:
        """Not to be tried again in these circumstances; to be said once emulation has booted the same guest."""
        self._refusals.remember(_circumstances(arch, failure.accelerator), failure.reason)

    def forget(self, machine: Machine) -> None:
        """The accelerator that was insisted on has booted Linux."""
        if machine.accelerator not in ("auto", "tcg"):
            self._refusals.forget(_circumstances(machine.arch, machine.accelerator))


def _circumstances(arch: str, accelerator: str) -> Circumstances:
    version = tools.show_version(tools.check_version(arch))
    return Circumstances(accelerator, version, this_host().kernel)
