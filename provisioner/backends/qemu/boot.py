"""Watching a machine from its first instruction to sshd's banner."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

from provisioner.backends.banner import BannerWatch
from provisioner.backends.base import Endpoint, Machine
from provisioner.backends.console import ConsoleWatch, last_lines
from provisioner.backends.qemu.failures import AcceleratorFailure, disk_full, explain_death
from provisioner.backends.qemu.process import QemuProcess
from provisioner.backends.qemu.qmp import QmpError
from provisioner.backends.silence import guest_panic, guest_silent
from provisioner.core.errors import EbpfDevError, InstanceError
from provisioner.core.reporter import Step

#: Seconds between two looks for the banner; the tool may be this much later than the guest.
_POLL = 0.05
#: Seconds between two looks at the process, the console and QEMU's run state.
_CHECK = 0.25
#: Seconds until another connection is tried beside one that hangs: while the guest sets up its network
#: (an attempt made too early hangs), and while more of them would only cost the guest time, because its
#: network is down still or sshd has taken one and is at work on it.
_PACE, _PACE_WAITING = 0.4, 20.0
#: Seconds after which hardware that has not let the guest print one byte is given up. Even a kernel told
#: to be quiet is past this point in a few seconds where virtualisation works.
SILENCE = 60.0


@dataclass(frozen=True)
class Started:
    """A QEMU that runs: its endpoint, its accelerator, and the child process when it is ours to wait for."""

    machine: Machine
    process: QemuProcess
    accelerator: str
    endpoint: Endpoint
    child: subprocess.Popen[bytes] | None = None


def wait_for_banner(started: Started, step: Step, timeout: float, silence: float = SILENCE) -> Endpoint:
    """Return the endpoint once sshd has sent its banner; ``timeout`` and ``silence`` in seconds.

    Raises AcceleratorFailure when the hardware accelerator is to blame, InstanceError("start-failed") or
    HostError("disk-full") when QEMU ended or stopped, GuestError("guest-panic", "guest-silent").
    """
    watch = _BootWatch(started, step, timeout, silence)
    with BannerWatch(started.endpoint) as banner:
        while not banner.poll(_POLL):
            watch.check()
            banner.pace = watch.pace
    return started.endpoint


class _BootWatch:
    """Looks for everything that means the banner will never come."""

    def __init__(self, started: Started, step: Step, timeout: float, silence: float) -> None:
        self._started = started
        self._machine = started.machine
        self._step = step
        self._timeout = timeout
        self._silence = silence
        self._begin = time.monotonic()
        self._next = self._begin + _CHECK
        self._console = ConsoleWatch(started.machine.console_log)
        self.pace = _PACE_WAITING

    def check(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._check_console()
        self._check_process()
        self._check_deadline(now - self._begin)
        self._next = time.monotonic() + _CHECK

    def _check_console(self) -> None:
        before = self._console.last_line
        self._console.poll()
        if self._console.last_line != before:
            self._step.detail(self._console.last_line)
        if self._console.panic:
            raise guest_panic(self._machine, self._console.panic)

    def _check_process(self) -> None:
        started = self._started
        if not started.process.exists():
            status = started.child.wait(5) if started.child else None
            raise explain_death(self._machine, started.accelerator, status)
        try:
            with started.process.connect(2.0) as qmp:
                state = qmp.status()
                self.pace = _PACE_WAITING if qmp.ssh_taken() or not qmp.guest_network_up() else _PACE
        except QmpError:
            return  # gone, which the next look finds, or too busy to answer
        if state != "running":
            raise explain_state(started, state)

    def _check_deadline(self, elapsed: float) -> None:
        started = self._started
        if started.accelerator != "tcg" and self._console.silent and elapsed > self._silence:
            reason = f"the guest wrote nothing to its console for {self._silence:.0f} s"
            raise AcceleratorFailure(started.accelerator, reason)
        if elapsed > self._timeout:
            raise guest_silent(self._machine, self._timeout)


def explain_state(started: Started, state: str) -> EbpfDevError | AcceleratorFailure:
    """The error for a QEMU that still exists and has stopped the guest, by its run state."""
    machine, log = started.machine, last_lines(started.process.files.log)
    if state == "internal-error" and started.accelerator != "tcg":
        return AcceleratorFailure(started.accelerator, log.partition("\n")[0] or state, log)
    if state == "io-error":
        return disk_full(machine, log)
    return InstanceError(
        f"QEMU stopped the guest {machine.name!r} while it was starting ({state})",
        code="start-failed",
        details=log or last_lines(machine.console_log),
        hint=f"`ebpf-dev down {machine.name}`, then `ebpf-dev up {machine.name}`.",
    )
