"""Every file the QEMU backend keeps for a machine: who writes it, and when it may go."""

from __future__ import annotations

import os
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path

from provisioner.backends.base import Machine
from provisioner.core.errors import HostError
from provisioner.core.paths import ensure_dir

#: sun_path of macOS's <sys/un.h> holds 104 bytes, the last of them a NUL; Linux has four more.
SOCKET_PATH_MAX = 103


@dataclass(frozen=True)
class QemuFiles:
    """The files of one machine, all of them removed by ``delete``."""

    machine: Machine

    @property
    def uuid(self) -> str:
        """The machine's identity as QEMU and its command line carry it; the same at every start."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.machine.directory.absolute().as_uri()))

    @property
    def overlay(self) -> Path:
        """The guest's writes; made by ``create``, written by QEMU."""
        return self.machine.overlay

    @property
    def overlay_part(self) -> Path:
        """An overlay being made; worthless after a crash."""
        return self.overlay.with_suffix(".part")

    @property
    def console(self) -> Path:
        """The serial console since the last start; written by QEMU."""
        return self.machine.console_log

    @property
    def console_before(self) -> Path:
        """The serial console of the start before; nobody reads it but people."""
        return self.console.with_name(self.console.name + ".1")

    @property
    def log(self) -> Path:
        """What QEMU itself said since the last start."""
        return self.machine.directory / "qemu.log"

    @property
    def record(self) -> Path:
        """What the last start decided (accelerator, QEMU version, time); never says whether it runs."""
        return self.machine.directory / "qemu.json"

    @property
    def pid(self) -> Path:
        """Written by QEMU before it does anything else, removed by it on a clean exit."""
        return self.machine.directory / "qemu.pid"

    @property
    def lock(self) -> Path:
        """Locked by QEMU itself, through a descriptor it inherits, for as long as the process exists."""
        return self.machine.directory / "qemu.lock"

    @property
    def socket(self) -> Path:
        """QEMU's control socket; left behind when QEMU is killed."""
        return self.machine.sockets / f"{self.uuid[:8]}.q"

    @property
    def channel(self) -> Path:
        """The line to the guest, without the endings ".in" and ".out" of its two FIFOs; made at a start."""
        return self.machine.sockets / f"{self.uuid[:8]}.g"

    @property
    def fifos(self) -> tuple[Path, Path]:
        """To the guest, and from it."""
        return self.channel.with_suffix(".g.in"), self.channel.with_suffix(".g.out")

    @property
    def saved(self) -> Path:
        """What a resume needs to know; there only while the guest has not run since it was saved."""
        return self.machine.directory / "saved.json"

    @property
    def state(self) -> Path:
        """The machine as it was when saved: its devices, and of its memory what differs from ``memory``."""
        return self.machine.directory / "state"

    @property
    def state_part(self) -> Path:
        """A state being written; worthless after a crash."""
        return self.state.with_suffix(".part")

    @property
    def memory(self) -> Path:
        """Memory to begin with: what a resume maps first, never written to while others may stand on it.

        It stays for the next save; with ``Machine.memory_in_file`` it is the machine's own memory.
        """
        return self.machine.directory / "memory"

    @property
    def memory_part(self) -> Path:
        """A memory being written; worthless after a crash."""
        return self.memory.with_suffix(".part")

    def sweep(self) -> None:
        """Remove what somebody who was killed left; only for a machine that does not run."""
        for path in (self.socket, self.pid, *self.fifos, self.overlay_part):
            path.unlink(missing_ok=True)

    def forget_saved(self) -> None:
        """Remove what was saved. The record goes first: without it the rest means nothing."""
        for path in (self.saved, self.state, self.state_part, self.memory_part):
            path.unlink(missing_ok=True)

    def begin_anew(self) -> None:
        """Forget what was saved, and put the former console aside."""
        self.forget_saved()
        if self.console.exists():
            self.console.replace(self.console_before)

    def remove(self) -> None:
        """Remove everything; only for a machine that does not run."""
        self.sweep()
        self.forget_saved()
        disks, logs = (self.overlay, self.overlay_part), (self.console, self.console_before, self.log)
        for path in (*disks, *logs, self.memory, self.record, self.lock):
            path.unlink(missing_ok=True)


def check_socket_dir(files: QemuFiles) -> None:
    """Make the directory for the control socket, and see that nobody else can reach into it.

    It may lie in /tmp, where another user could have made it first. Raises HostError
    ("unsafe-socket-dir", "socket-path-too-long").
    """
    directory = ensure_dir(files.socket.parent)
    facts = directory.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise HostError(
            f"{directory} is not a private directory of yours; QEMU's control socket would be open to others",
            code="unsafe-socket-dir",
            details=f"owner {facts.st_uid}, mode {stat.S_IMODE(facts.st_mode):04o}",
            hint=f"Remove it, or `chmod 700` it when it is yours: {directory}",
        )
    if (length := len(os.fsencode(files.socket))) > SOCKET_PATH_MAX:
        raise HostError(
            f"the path of the control socket has {length} bytes; the system allows {SOCKET_PATH_MAX}",
            code="socket-path-too-long",
            details=str(files.socket),
            hint="Set EBPF_DEV_HOME to a directory with a shorter path.",
        )
