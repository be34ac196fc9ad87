"""Watching a machine that Lima starts until its sshd has sent its banner."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass

from provisioner.backends.banner import BannerWatch
from provisioner.backends.base import Endpoint, Machine
from provisioner.backends.console import ConsoleWatch, last_lines
from provisioner.backends.lima.failures import find_known, last_words
from provisioner.backends.lima.layout import LimaFiles
from provisioner.backends.qemu.failures import AcceleratorFailure
from provisioner.backends.qemu.qmp import Qmp, QmpError
from provisioner.backends.silence import guest_panic, guest_silent
from provisioner.core.errors import EbpfDevError, InstanceError
from provisioner.core.process import command_line
from provisioner.core.reporter import Step

#: Seconds between two looks for the banner, and between two at Lima, the console and QEMU.
_POLL, _CHECK = 0.05, 0.25
#: Seconds until another connection is tried beside one that hangs, by what is known of the guest's network:
#: it is down, it is up, or somebody (it may be Lima) has reached sshd. See the QEMU backend.
_DOWN, _UP, _TAKEN, _UNKNOWN = 20.0, 0.4, 1.0, 2.0
#: Seconds for Lima's host agent to appear; it checks the image and makes the seed first.
_AGENT_PATIENCE = 30.0


@dataclass(frozen=True)
class Start:
    """A start under way. ``child`` is the ``limactl start`` that we began, None for one begun by somebody else."""

    machine: Machine
    files: LimaFiles
    accelerator: str
    child: subprocess.Popen[bytes] | None = None


def read_port(files: LimaFiles) -> int | None:
    """The port of this start, None until Lima has written it down."""
    try:
        found = re.search(r"^\s*Port (\d+)\s*$", files.ssh_config.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def wait_for_banner(start: Start, step: Step, timeout: float, silence: float) -> Endpoint:
    """Return the endpoint once sshd has sent its banner; Lima itself looks every three seconds only.

    ``timeout`` and ``silence`` in seconds. Raises AcceleratorFailure when the accelerator is to blame,
    InstanceError("start-failed") or the error that Lima's words stand for, GuestError("guest-panic",
    "guest-silent").
    """
    watch = _BootWatch(start, step, timeout, silence)
    while (port := read_port(start.files)) is None:
        watch.check()
        time.sleep(_POLL)
    endpoint = Endpoint("127.0.0.1", port)
    with BannerWatch(endpoint) as banner:
        while not banner.poll(_POLL):
            watch.check()
            banner.pace = watch.pace
    return endpoint


class _BootWatch:
    """Looks for everything that means the banner will never come."""

    def __init__(self, start: Start, step: Step, timeout: float, silence: float) -> None:
        self._start = start
        self._step = step
        self._timeout = timeout
        self._silence = silence
        self._begin = time.monotonic()
        self._next = self._begin + _CHECK
        self._consoles = [ConsoleWatch(path) for path in start.files.consoles]
        self.pace = _UNKNOWN

    def check(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._check_console()
        self._check_lima(now - self._begin)
        self._check_qemu()
        self._check_deadline(now - self._begin)
        self._next = time.monotonic() + _CHECK

    def _check_console(self) -> None:
        for console in self._consoles:
            before = console.last_line
            console.poll()
            if console.last_line != before:
                self._step.detail(console.last_line)
            if console.panic:
                raise guest_panic(self._start.machine, console.panic)

    def _check_lima(self, elapsed: float) -> None:
        child, files = self._start.child, self._start.files
        if child is not None and child.poll():
            raise explain_failed_start(self._start)
        if elapsed > _AGENT_PATIENCE and not any(running_pids(files)):
            raise explain_failed_start(self._start)

    def _check_qemu(self) -> None:
        socket = self._start.files.control_socket
        if not socket.exists():
            return
        try:
            with Qmp(socket, 2.0) as qmp:
                state = qmp.status()
                self.pace = _TAKEN if qmp.ssh_taken() else _UP if qmp.guest_network_up() else _DOWN
        except QmpError:
            return  # gone, which Lima notices, or at work with Lima
        if state == "internal-error" and self._start.accelerator != "tcg":
            words = last_words(last_lines(self._start.files.agent_log))
            raise AcceleratorFailure(self._start.accelerator, "it stopped in the middle (internal-error)", words)

    def _check_deadline(self, elapsed: float) -> None:
        start = self._start
        silent = all(console.silent for console in self._consoles)
        if start.accelerator == "kvm" and silent and elapsed > self._silence:
            raise AcceleratorFailure("kvm", f"the guest wrote nothing to its console for {self._silence:.0f} s")
        if elapsed > self._timeout:
            raise guest_silent(start.machine, self._timeout)


def running_pids(files: LimaFiles) -> list[int]:
    """The processes of an instance, told from strangers that have got the number of a stale file."""
    found = []
    for path in files.pid_files:
        try:
            pid = int(path.read_text())
        except (OSError, ValueError):
            continue
        if is_ours(files, pid):
            found.append(pid)
    return found


def is_ours(files: LimaFiles, pid: int) -> bool:
    """Whether a process belongs to the instance; Lima resolves links in its home's path before it uses it."""
    return f"{files.home.resolve() / files.name}/" in command_line(pid)


def explain_failed_start(start: Start) -> EbpfDevError | AcceleratorFailure:
    """The error for a start that Lima gave up."""
    files, name = start.files, start.machine.name
    words = last_words(last_lines(files.agent_log, 60), last_lines(files.log))
    if start.accelerator == "kvm" and re.search("kvm", words, re.IGNORECASE):
        return AcceleratorFailure("kvm", "QEMU could not use it", words)
    console = last_lines(start.machine.console_log)
    return find_known(words) or InstanceError(
        f"Lima could not start {name!r}",
        code="start-failed",
        details="\n".join(filter(None, (words, console))),
        hint=f"`ebpf-dev up {name}` tries again; `ebpf-dev doctor` looks at the host.",
    )
