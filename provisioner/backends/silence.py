"""The errors of guests that never answer, whatever runs them."""

from __future__ import annotations

from provisioner.backends.base import Machine
from provisioner.backends.console import last_lines
from provisioner.core.errors import GuestError


def guest_panic(machine: Machine, panic: str) -> GuestError:
    return GuestError(
        f"the kernel of {machine.name!r} gave up while booting: {panic}",
        code="guest-panic",
        details=last_lines(machine.console_log, 30),
        hint=f"`ebpf-dev logs {machine.name}` shows its console; try another --kernel or more --memory.",
    )


def guest_silent(machine: Machine, timeout: float) -> GuestError:
    return GuestError(
        f"the guest {machine.name!r} did not answer over SSH within {timeout:.0f} s",
        code="guest-silent",
        details=last_lines(machine.console_log) or "(its console is empty)",
        hint=f"It still runs: `ebpf-dev up {machine.name}` waits again, "
        f"`ebpf-dev logs {machine.name} --follow` shows what it is doing.",
    )
