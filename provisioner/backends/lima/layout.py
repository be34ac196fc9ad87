"""The files of a machine that Lima runs: its own below ``LIMA_HOME``, and ours in the machine's directory."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from provisioner.backends.base import Machine
from provisioner.core.errors import HostError

#: sun_path of macOS's <sys/un.h> holds 104 bytes, the last of them a NUL.
SOCKET_PATH_MAX = 103
#: Lima's longest one: ssh appends 16 random characters to it while it makes it (Lima's filenames.go).
_LONGEST_SOCKET = "ssh.sock.1234567890123456"
_NAME_PART, _DIGEST_PART = 12, 8


@dataclass(frozen=True)
class LimaFiles:
    """The files of one machine; ``home`` is LIMA_HOME."""

    machine: Machine
    home: Path

    @property
    def name(self) -> str:
        """What Lima calls the instance: short, and no other machine's, whatever its directory."""
        place = os.fsencode(self.machine.directory.absolute())
        readable = re.sub(r"[^a-z0-9]+", "-", self.machine.name)[:_NAME_PART].strip("-")
        return f"{readable}-{hashlib.sha256(place).hexdigest()[:_DIGEST_PART]}"

    @property
    def directory(self) -> Path:
        """Lima's own; made by ``limactl create``, removed by ``limactl delete``."""
        return self.home / self.name

    @property
    def disk(self) -> Path:
        """The guest's disk. Lima before 2.1 has another name for it."""
        old = self.directory / "diffdisk"
        return old if old.exists() else self.directory / "disk"

    @property
    def boot(self) -> tuple[Path, Path, Path]:
        """Lima's copies of kernel and initrd, and the command line; there for a machine that boots directly."""
        return self.directory / "kernel", self.directory / "initrd", self.directory / "kernel.cmdline"

    @property
    def consoles(self) -> tuple[Path, ...]:
        """Where the guest's console may be written: by QEMU's serial port, and by vz's virtio port."""
        return self.directory / "serial.log", self.directory / "serialv.log"

    @property
    def ssh_config(self) -> Path:
        """Written at every start before the machine runs; says the port."""
        return self.directory / "ssh.config"

    @property
    def control_socket(self) -> Path:
        """QEMU's, when that is the driver; Lima's host agent uses it when it shuts the machine down."""
        return self.directory / "qmp.sock"

    @property
    def seed(self) -> Path:
        """The disk from which a guest's cloud-init reads; made anew at every start."""
        return self.directory / "cidata.iso"

    @property
    def pid_files(self) -> tuple[Path, ...]:
        """Of the host agent and of the drivers; stale ones stay when the host goes down."""
        return tuple(self.directory / f"{name}.pid" for name in ("ha", "qemu", "vz"))

    @property
    def agent_log(self) -> Path:
        """What the host agent said since the last start."""
        return self.directory / "ha.stderr.log"

    @property
    def config(self) -> Path:
        """The YAML that the instance was made of; ours."""
        return self.machine.directory / "lima.yaml"

    @property
    def record(self) -> Path:
        """What was decided about the machine; there only once Lima has made all of it. Ours."""
        return self.machine.directory / "lima.json"

    @property
    def log(self) -> Path:
        """What ``limactl start`` said; ours."""
        return self.machine.directory / "limactl.log"

    @property
    def emulator(self) -> Path:
        """The program that Lima takes for QEMU where it would choose the accelerator wrongly; ours."""
        return self.machine.directory / "qemu-system"

    def own(self) -> tuple[Path, ...]:
        """Everything in the machine's directory."""
        links = (self.machine.overlay, self.machine.console_log)
        return (*links, self.record, self.config, self.log, self.emulator)


def whole_disk(base_disk: Path) -> Path:
    """The copy of a base disk that stands on nothing else, beside it; Lima refuses others as images."""
    return base_disk.with_name("whole.qcow2")


def check_home(home: Path) -> None:
    """Raise HostError("lima-home-too-long") when sockets of instances there would not fit."""
    longest = home / ("n" * (_NAME_PART + 1 + _DIGEST_PART)) / _LONGEST_SOCKET
    if (length := len(os.fsencode(longest))) > SOCKET_PATH_MAX:
        raise HostError(
            f"the path of Lima's directory is {length - SOCKET_PATH_MAX} bytes too long for its sockets",
            code="lima-home-too-long",
            details=str(home),
            hint="Set EBPF_DEV_HOME to a shorter path.",
        )
