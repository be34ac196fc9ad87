"""The seam between workflows and whatever runs the virtual machine."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from provisioner.core.reporter import Reporter


@dataclass(frozen=True)
class DirectBoot:
    """Start a kernel without a boot loader: paths on the host and the kernel command line."""

    kernel: Path
    initrd: Path
    cmdline: str


@dataclass(frozen=True)
class FirmwareBoot:
    """Let the machine's firmware start the boot loader on the disk; how a foreign cloud image boots first."""


@dataclass(frozen=True)
class Machine:
    """Everything a backend needs to know about one virtual machine; sizes in bytes.

    ``directory`` is the instance's own (0700); the backend keeps its overlay, logs and pid there, and its
    sockets in ``sockets``, which is short. ``base_disk`` is a read-only qcow2 that the overlay stands on.
    ``accelerator`` is ``"auto"`` or the one the user insists on.
    """

    name: str
    directory: Path
    sockets: Path
    arch: str
    cpus: int
    memory: int
    disk_size: int
    base_disk: Path
    boot: DirectBoot | FirmwareBoot
    seed: Path | None = None
    accelerator: str = "auto"

    @property
    def overlay(self) -> Path:
        """The qcow2 that takes the guest's writes; its backing file is ``base_disk``."""
        return self.directory / "overlay.qcow2"

    @property
    def console_log(self) -> Path:
        """What the guest wrote to its serial console since the last start."""
        return self.directory / "console.log"


@dataclass(frozen=True)
class Endpoint:
    """Where the guest's sshd answers, as seen from the host; valid until the machine stops."""

    host: str
    port: int


class State(enum.Enum):
    ABSENT = "absent"
    STOPPED = "stopped"
    RUNNING = "running"
    BROKEN = "broken"


@dataclass(frozen=True)
class Status:
    """What is true now; always computed, never stored. ``detail`` says why a machine is broken."""

    state: State
    endpoint: Endpoint | None = None
    accelerator: str | None = None
    pid: int | None = None
    detail: str = ""


class Backend(Protocol):
    """A way to run machines. Every method can be called twice; ``tests/`` holds the contract."""

    name: str

    def check_host(self, arch: str) -> None:
        """Raise HostError with a cure when this host cannot run a machine of ``arch``."""

    def create(self, machine: Machine) -> None:
        """Make the overlay and whatever else is kept on disk; leaves an existing overlay alone."""

    def start(self, machine: Machine, reporter: Reporter, timeout: float = 300.0) -> Endpoint:
        """Start the machine unless it runs, and return once its sshd has sent a banner.

        Raises InstanceError("start-failed") with the hypervisor's own words when it dies, and
        GuestError("guest-silent") with the console's last lines after ``timeout`` seconds.
        """

    def status(self, machine: Machine) -> Status: ...

    def stop(self, machine: Machine, *, force: bool = False, timeout: float = 60.0) -> None:
        """Ask the guest to power off, and kill the machine when it has not after ``timeout`` seconds."""

    def delete(self, machine: Machine) -> None:
        """Stop the machine and remove what ``create`` and ``start`` made."""
