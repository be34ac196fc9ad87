"""The QEMU backend: machines as processes of this user, on Linux and macOS."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from provisioner.backends.base import DirectBoot, Endpoint, Machine, State, Status
from provisioner.backends.qemu import tools
from provisioner.backends.qemu.accelerator import Verdict, gather_facts
from provisioner.backends.qemu.boot import SILENCE, Started, wait_for_banner
from provisioner.backends.qemu.command import qemu_command
from provisioner.backends.qemu.devices import Memory
from provisioner.backends.qemu.failures import (
    AcceleratorFailure,
    disk_full,
    explain_death,
    memory_not_shareable,
    no_control,
    no_disk,
    will_not_end,
)
from provisioner.backends.qemu.firmware import choose_firmware
from provisioner.backends.qemu.layout import QemuFiles, check_socket_dir
from provisioner.backends.qemu.process import QemuProcess, StartedElsewhereError
from provisioner.backends.qemu.qmp import LEAVE_OUT_SHARED, Qmp, QmpError
from provisioner.backends.qemu.record import recorded_accelerator
from provisioner.backends.qemu.saved import UNPROVEN, SavedMemory, read_saved, write_saved
from provisioner.backends.qemu.selection import GatherFacts, Selection
from provisioner.backends.qemu.shape import machine_shape
from provisioner.backends.qemu.suspend import explain_save, let_go_on, read_state, write_state
from provisioner.core.addresses import HOST_AS_SEEN_BY_GUEST
from provisioner.core.errors import EbpfDevError, GuestError, HostError, InstanceError
from provisioner.core.files import copy_sparse, share_file
from provisioner.core.paths import ensure_dir
from provisioner.core.process import require_tool
from provisioner.core.reporter import Reporter

SCHEMA = 1

#: Seconds for QEMU to open its disks and its control socket; milliseconds unless the host is drowning.
_LAUNCH_TIMEOUT = 30.0
#: Seconds for QEMU to write back and exit when told to, and for the kernel to clear away a killed one.
_QUIT_TIMEOUT, _KILL_TIMEOUT = 10.0, 15.0
#: Seconds between two presses of the power button; a guest that is still booting ignores the first.
_POWER_BUTTON = 5.0
#: Seconds for a QEMU that exists to answer before it counts as hung.
_ADOPT_TIMEOUT = 10.0
#: How often a guest may panic while booting under emulation, which is not as exact as a processor is.
_PANICS = 3
#: Run states from which the guest can simply go on ("io-error" is a host disk that was full, "postmigrate"
#: a save that was interrupted).
_RESUMABLE = {"paused", "io-error", "prelaunch", "postmigrate"}

_STATE_WORDS = {
    "running": "",
    "io-error": "the disk that holds it was full; `up` lets it go on once there is space",
    "internal-error": "the accelerator could not go on (internal-error)",
    "paused": "it is paused; `up` lets it go on",
    "postmigrate": "saving its memory was interrupted; `up` lets it go on",
    "inmigrate": "resuming it was interrupted; `up` does it again",
    "guest-panicked": "its kernel panicked",
}


class QemuBackend:
    """Implements ``Backend``; ``host_facts`` is where failures of accelerators are remembered.

    ``gather`` looks at the host for the choice of an accelerator; ``silence`` is for how many seconds
    a hardware accelerator may leave the console empty before it is given up.
    """

    name = "qemu"
    host_address = HOST_AS_SEEN_BY_GUEST

    def __init__(self, host_facts: Path, *, gather: GatherFacts = gather_facts, silence: float = SILENCE) -> None:
        self._selection = Selection(host_facts, gather)
        self._silence = silence
        self._children: list[subprocess.Popen[bytes]] = []

    def check_host(self, arch: str) -> None:
        """Raise HostError("unsupported-arch", "tool-missing", "qemu-too-old") when QEMU cannot be used."""
        tools.check_version(arch)
        require_tool("qemu-img", "to make the machine's disk")

    def probe_accelerators(self, arch: str) -> tuple[Verdict, ...]:
        """A verdict on every accelerator of this system for guests of ``arch``, the best first."""
        return self._selection.verdicts(arch)

    def disk_form(self, arch: str) -> str:
        return "qcow2"

    def describe(self, machine: Machine) -> list[str]:
        """The command line, with emulation where the accelerator is still to be chosen."""
        shown = "tcg" if machine.accelerator == "auto" else machine.accelerator
        command = shlex.join(qemu_command(machine, shown))
        return [f"with {machine.accelerator} acceleration, for example {shown}:", f"  {command}"]

    def create(self, machine: Machine) -> None:
        """Make the overlay unless it is there.

        Raises InstanceError("image-missing"), HostError("disk-full", "tool-missing", "tool-failed").
        """
        files = QemuFiles(machine)
        ensure_dir(machine.directory)
        if machine.memory_in_file and LEAVE_OUT_SHARED not in tools.migration_capabilities(machine.arch):
            raise memory_not_shareable()
        if files.overlay.exists():
            return
        if not machine.base_disk.is_file():
            raise InstanceError(
                f"the disk image under {machine.name!r} is missing",
                code="image-missing",
                details=str(machine.base_disk),
                hint=f"`ebpf-dev delete {machine.name}`, then `ebpf-dev up {machine.name}` makes it anew.",
            )
        try:
            size = max(machine.disk_size, tools.virtual_size(machine.base_disk))
            tools.create_overlay(files.overlay_part, machine.base_disk, size)
        except HostError as exc:
            files.overlay_part.unlink(missing_ok=True)
            if "No space left on device" in exc.details:
                raise disk_full(machine, exc.details) from exc
            raise
        files.overlay_part.replace(files.overlay)

    def start(self, machine: Machine, reporter: Reporter, timeout: float = 300.0) -> Endpoint:
        """Start the machine unless it runs, and wait for its sshd's banner; see ``Backend.start``.

        With the accelerator "auto", hardware that turns out not to boot Linux is replaced by emulation,
        which gets ``timeout`` seconds of its own, and is remembered once emulation has booted. A kernel
        that panics under emulation is given another try.
        """
        for left in reversed(range(_PANICS)):
            try:
                return self._start_once(machine, reporter, timeout)
            except GuestError as exc:
                emulated = recorded_accelerator(QemuFiles(machine)) == "tcg"
                if exc.code != "guest-panic" or not emulated or not left:
                    raise
                self._end(QemuProcess(QemuFiles(machine)))
                reporter.note(f"{exc.brief}. Emulation does that at random; starting it again.")
        raise AssertionError("unreachable")

    def _start_once(self, machine: Machine, reporter: Reporter, timeout: float) -> Endpoint:
        try:
            endpoint = self._boot(machine, None, reporter, timeout)
        except AcceleratorFailure as failure:
            return self._fall_back(machine, failure, reporter, timeout)
        self._selection.forget(machine)
        return endpoint

    def status(self, machine: Machine) -> Status:
        """What is true now; takes milliseconds, and seconds only when QEMU does not answer."""
        process = QemuProcess(QemuFiles(machine))
        if process.exists():
            try:
                with process.connect(3.0) as qmp:
                    return self._describe(machine, process, qmp)
            except QmpError as exc:
                if process.exists():
                    detail = f"QEMU runs but does not answer: {exc}"
                    return Status(State.BROKEN, pid=process.pid(), detail=detail)
        if not machine.overlay.exists():
            return Status(State.ABSENT)
        return Status(State.STOPPED, saved=_saved_size(process.files))

    def stop(self, machine: Machine, *, force: bool = False, timeout: float = 60.0) -> None:
        """Ask the guest to power off, then end QEMU; see ``Backend.stop``.

        Raises InstanceError("stop-failed") when even killing it did not help.
        """
        process = QemuProcess(QemuFiles(machine))
        if process.exists() and (force or not self._power_off(process, timeout)):
            self._end(process)
        self._reap()
        process.files.sweep()

    def delete(self, machine: Machine) -> None:
        """End the machine and remove its files; its directory stays, for it may hold others' files."""
        self.stop(machine, force=True)
        QemuFiles(machine).remove()

    def greeting(self, machine: Machine) -> tuple[str, ...]:
        return ()

    def freeze(self, machine: Machine, disk: Path) -> None:
        """The overlay becomes the base disk; what it stands on must stay."""
        self.stop(machine, timeout=120)
        machine.overlay.rename(disk)
        disk.chmod(0o400)
        self.delete(machine)

    def shape(self, machine: Machine) -> str | None:
        """See ``Backend.shape``."""
        accelerator = self._selection.expect(machine)
        saveable = isinstance(machine.boot, DirectBoot) and machine.seed is None and accelerator not in UNPROVEN
        return machine_shape(machine, accelerator) if saveable else None

    def save(self, machine: Machine) -> None:
        """End a running machine and keep its memory; see ``Backend.save``."""
        files = QemuFiles(machine)
        process = QemuProcess(files)
        with self._control(process) as qmp:
            write_state(qmp, process, files)
            try:
                write_saved(files.saved, _describe_saved(machine, files))
            except (EbpfDevError, OSError) as exc:
                files.forget_saved()
                let_go_on(qmp)
                raise explain_save(process, exc) from exc
        # From here on the guest must not run: its disk would no longer be that of the saved memory.
        self._end(process)
        files.sweep()

    def resume(self, machine: Machine, reporter: Reporter) -> Endpoint | None:
        """Let a saved machine go on; see ``Backend.resume``."""
        files = QemuFiles(machine)
        if not files.saved.exists():
            return None
        process = QemuProcess(files)
        # Somebody who was killed while saving or resuming left a QEMU whose guest has not run since.
        if process.exists():
            self._end(process)
        try:
            with reporter.step(f"Resuming {machine.name}"):
                saved = read_saved(files.saved)
                wanted = self._selection.expect(machine)
                if saved.accelerator != wanted:
                    raise ValueError(f"it ran with {saved.accelerator}, and {wanted} is to be used")
                if machine_shape(machine, saved.accelerator) != saved.shape:
                    raise ValueError("QEMU, the host or the machine's settings have changed")
                return self._resume(machine, saved)
        except (EbpfDevError, AcceleratorFailure, QmpError, StartedElsewhereError, ValueError) as exc:
            reporter.note(f"The saved memory of {machine.name!r} cannot be used ({exc}); booting instead.")
            self._end(process)
            files.forget_saved()
            return None

    def capture(self, machine: Machine, directory: Path) -> None:
        """Copy disk and memory; see ``Backend.capture``."""
        files, copy = QemuFiles(machine), QemuFiles(replace(machine, directory=directory))
        process = QemuProcess(files)
        if not process.exists():
            _copy_disk(files, copy.overlay, copy.console)
            _share_saved(files, copy)
            return
        with self._control(process) as qmp:
            write_state(qmp, process, copy)
            try:
                _copy_disk(files, copy.overlay, copy.console)
                write_saved(copy.saved, _describe_saved(machine, copy))
            finally:
                let_go_on(qmp)

    def place(self, machine: Machine, source: Path) -> None:
        """Take disk and memory from ``source``; see ``Backend.place``."""
        files, kept = QemuFiles(machine), QemuFiles(replace(machine, directory=source))
        ensure_dir(machine.directory)
        files.forget_saved()
        _copy_disk(kept, files.overlay_part, files.console)
        files.overlay_part.replace(files.overlay)
        # Last: its record says that the disk is the one of this memory.
        _share_saved(kept, files)

    def channel(self, machine: Machine) -> Path | None:
        return QemuFiles(machine).channel

    def _resume(self, machine: Machine, saved: SavedMemory) -> Endpoint:
        memory = Memory(machine.memory, saved.memory)
        started = self._launch(machine, saved.accelerator, memory, incoming=True)
        with started.process.connect(_LAUNCH_TIMEOUT) as qmp:
            read_state(qmp, saved.state, leave_out_shared=saved.left_out)
            # Before the guest runs, for its disk then leaves the saved memory behind.
            started.process.files.forget_saved()
            qmp.execute("cont")
            if (state := qmp.status()) != "running":
                raise QmpError(f"QEMU has stopped the guest ({state})")
        return started.endpoint

    def _control(self, process: QemuProcess) -> Qmp:
        try:
            return process.connect(_ADOPT_TIMEOUT)
        except QmpError as exc:
            raise no_control(process.files.machine, exc) from exc

    def _boot(self, machine: Machine, accelerator: str | None, reporter: Reporter, timeout: float) -> Endpoint:
        with reporter.step(f"Booting {machine.name}") as step:
            started = self._adopt(machine, reporter)
            if started is None:
                accelerator = accelerator or self._selection.choose(machine, reporter)
                started = self._launch_or_adopt(machine, accelerator, reporter)
            return wait_for_banner(started, step, timeout, self._silence)

    def _fall_back(
        self, machine: Machine, failure: AcceleratorFailure, reporter: Reporter, timeout: float
    ) -> Endpoint:
        self._end(QemuProcess(QemuFiles(machine)))
        name = failure.accelerator
        if machine.accelerator != "auto":
            raise InstanceError(
                f"{name.upper()} could not boot {machine.name!r}: {failure.reason}",
                code="accelerator-failed",
                details=failure.details,
                hint=failure.cure or "Set the accelerator to 'auto' to fall back to emulation.",
            ) from failure
        self._selection.announce(failure, reporter)
        endpoint = self._boot(machine, "tcg", reporter, timeout)
        self._selection.remember(machine.arch, failure)
        return endpoint

    def _adopt(self, machine: Machine, reporter: Reporter) -> Started | None:
        """The QEMU that exists already, made to go on if it can; one that cannot is ended, which is told."""
        process = QemuProcess(QemuFiles(machine))
        if not process.exists():
            return None
        try:
            with process.connect(_ADOPT_TIMEOUT) as qmp:
                if qmp.status() in _RESUMABLE:
                    process.files.forget_saved()
                    let_go_on(qmp)
                if qmp.status() == "running":
                    return _started(machine, process, qmp)
                reason = f"its guest is {qmp.status()}"
        except QmpError as exc:
            reason = str(exc)
        reporter.note(f"{machine.name!r} has a QEMU that cannot go on ({reason}); it is ended and started anew.")
        self._end(process)
        return None

    def _launch_or_adopt(self, machine: Machine, accelerator: str, reporter: Reporter) -> Started:
        memory = Memory(machine.memory)
        if machine.memory_in_file:
            files = QemuFiles(machine)
            files.memory.touch(mode=0o600)
            memory = Memory(machine.memory, files.memory, shared=True)
        try:
            return self._launch(machine, accelerator, memory)
        except StartedElsewhereError:
            started = self._adopt(machine, reporter)
            if started is not None:
                return started
            return self._launch(machine, accelerator, memory)

    def _launch(self, machine: Machine, accelerator: str, memory: Memory, *, incoming: bool = False) -> Started:
        files = QemuFiles(machine)
        if not files.overlay.exists():
            raise no_disk(machine)
        check_socket_dir(files)
        emulator = tools.require_emulator(machine.arch)
        traits = tools.traits(machine.arch)
        firmware = choose_firmware(machine, emulator)
        argv = qemu_command(
            machine, accelerator, traits=traits, emulator=emulator, firmware=firmware, memory=memory,
            incoming=incoming,
        )  # fmt: skip
        record = {"schema": SCHEMA, "accelerator": accelerator, "started": time.time(), "argv": argv}
        process = QemuProcess(files)
        child = process.launch(argv, record, go_on=incoming)
        self._children.append(child)
        return self._wait_for_control(machine, process, accelerator, child)

    def _wait_for_control(
        self, machine: Machine, process: QemuProcess, accelerator: str, child: subprocess.Popen[bytes]
    ) -> Started:
        try:
            with process.connect(_LAUNCH_TIMEOUT) as qmp:
                return replace(_started(machine, process, qmp), child=child)
        except QmpError as exc:
            if not process.exists():
                raise explain_death(machine, accelerator, child.wait(_KILL_TIMEOUT)) from None
            self._end(process)
            raise no_control(machine, exc) from exc

    def _describe(self, machine: Machine, process: QemuProcess, qmp: Qmp) -> Status:
        started = _started(machine, process, qmp)
        state = qmp.status()
        return Status(
            State.RUNNING if state == "running" else State.BROKEN,
            endpoint=started.endpoint,
            accelerator=started.accelerator,
            pid=process.pid(),
            detail=_STATE_WORDS.get(state, f"QEMU has stopped the guest ({state})"),
        )

    def _power_off(self, process: QemuProcess, timeout: float) -> bool:
        """Whether the guest switched itself off within ``timeout`` seconds after being asked to."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            try:
                with process.connect(2.0) as qmp:
                    if qmp.status() != "running":
                        return False  # a guest that does not run does not see the button
                    qmp.execute("system_powerdown")
            except QmpError:
                return not process.exists()
            if process.wait_gone(min(_POWER_BUTTON, left)):
                return True
        return False

    def _end(self, process: QemuProcess) -> None:
        """End QEMU: told to, it writes back what it holds; killed, the guest's file system has to cope."""
        try:
            with process.connect(2.0) as qmp:
                qmp.execute("quit")
            gone = process.wait_gone(_QUIT_TIMEOUT)
        except QmpError:
            gone = not process.exists()
        if not gone:
            process.kill()
            gone = process.wait_gone(_KILL_TIMEOUT)
        self._reap()
        if not gone:
            raise will_not_end(process)

    def _reap(self) -> None:
        """Take the exit statuses of ended children, which otherwise stay as zombies while we live."""
        self._children = [child for child in self._children if child.poll() is None]


def _started(machine: Machine, process: QemuProcess, qmp: Qmp) -> Started:
    endpoint = Endpoint("127.0.0.1", qmp.ssh_port())
    return Started(machine, process, recorded_accelerator(process.files), endpoint)


def _describe_saved(machine: Machine, files: QemuFiles) -> SavedMemory:
    accelerator = recorded_accelerator(QemuFiles(machine))
    shape = machine_shape(machine, accelerator)
    return SavedMemory(files.state, files.memory, machine.memory_in_file, shape, accelerator)


def _share_saved(files: QemuFiles, other: QemuFiles) -> None:
    """Let another machine go on from the saved memory of this one too, when there is any that can be used."""
    with contextlib.suppress(ValueError):
        saved = read_saved(files.saved)
        share_file(saved.state, other.state)
        share_file(saved.memory, other.memory)
        write_saved(other.saved, replace(saved, state=other.state, memory=other.memory))


def _copy_disk(files: QemuFiles, overlay: Path, console: Path) -> None:
    """The disk, and what the console said so far, which goes on there when the machine does."""
    copy_sparse(files.overlay, overlay)
    if files.console.exists():
        copy_sparse(files.console, console)


def _saved_size(files: QemuFiles) -> int:
    try:
        return read_saved(files.saved).size
    except ValueError:
        return 0
