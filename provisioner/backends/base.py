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
    ``accelerator`` is ``"auto"`` or the one the user insists on. ``memory_in_file`` lets a backend that saves
    memory keep it in a file of the directory from the start: slower, but then a save takes milliseconds and
    others can stand on that file.
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
    memory_in_file: bool = False

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
    """What is true now; always computed, never stored. ``detail`` says why a machine is broken.

    ``saved`` is the size in bytes of the memory that a stopped machine was saved with, 0 without.
    """

    state: State
    endpoint: Endpoint | None = None
    accelerator: str | None = None
    pid: int | None = None
    detail: str = ""
    saved: int = 0


class Backend(Protocol):
    """A way to run machines. Every method can be called twice; ``tests/`` holds the contract.

    ``host_address`` is the host as its guests see it.
    """

    name: str
    host_address: str

    def check_host(self, arch: str) -> None:
        """Raise HostError with a cure when this host cannot run a machine of ``arch``."""

    def disk_form(self, arch: str) -> str:
        """Of what form the disks that ``freeze`` makes are: backends with one form share their goldens."""

    def describe(self, machine: Machine) -> list[str]:
        """How the machine would be run, as lines to show; starts and changes nothing."""

    def create(self, machine: Machine) -> None:
        """Make the overlay and whatever else is kept on disk; leaves an existing overlay alone."""

    def start(self, machine: Machine, reporter: Reporter, timeout: float = 300.0) -> Endpoint:
        """Boot the machine unless it runs, and return once its sshd has sent a banner.

        Memory that was saved is forgotten: the disk goes on without it, and it would not fit any more.
        Raises InstanceError("start-failed") with the hypervisor's own words when it dies, and
        GuestError("guest-silent") with the console's last lines after ``timeout`` seconds.
        """

    def status(self, machine: Machine) -> Status: ...

    def stop(self, machine: Machine, *, force: bool = False, timeout: float = 60.0) -> None:
        """Ask the guest to power off, and kill the machine when it has not after ``timeout`` seconds."""

    def delete(self, machine: Machine) -> None:
        """Stop the machine and remove what ``create``, ``start``, ``save`` and ``place`` made."""

    def greeting(self, machine: Machine) -> tuple[str, ...]:
        """A command for the guest to run as root once it has booted and lets us in; empty when none is needed."""

    def freeze(self, machine: Machine, disk: Path) -> None:
        """End a machine by making its disk a base disk, read-only, for others to stand on."""

    def shape(self, machine: Machine) -> str | None:
        """A digest of everything that saved memory must fit, from the hypervisor's program to the disk below.

        None when this backend cannot save this machine's memory on this host.
        """

    def save(self, machine: Machine) -> None:
        """End a running machine and keep its memory; the guest does not notice.

        The guest should have written back what it holds, for the day when its memory cannot be used.
        Raises InstanceError("save-failed") or HostError("disk-full"); the machine then runs on.
        """

    def resume(self, machine: Machine, reporter: Reporter) -> Endpoint | None:
        """Let a machine that was saved go on where it was; whether its guest answers is not waited for.

        None when nothing was saved or it cannot be used, which is noted; ``start`` then boots.
        """

    def capture(self, machine: Machine, directory: Path) -> None:
        """Copy the disk, and the memory when there is any, into an empty directory; a running machine goes on.

        Raises as ``save`` does.
        """

    def place(self, machine: Machine, source: Path) -> None:
        """Give a stopped machine the disk and the memory that ``capture`` or ``save`` left in ``source``.

        Its own are replaced, and ``source`` may go afterwards; what both have in common takes space once.
        """

    def channel(self, machine: Machine) -> Path | None:
        """The line to the guest beside the network: two FIFOs, this path with ".in" (to it) and ".out".

        None when this backend has none, and so cannot save memory either.
        """
