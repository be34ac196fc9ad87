"""The QEMU command line of a machine; computed, never run here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provisioner.backends.base import DirectBoot, Machine
from provisioner.backends.qemu.arch import Traits, architecture
from provisioner.backends.qemu.devices import (
    ControlSocket,
    Device,
    Entropy,
    Firmware,
    HostChannel,
    Kernel,
    Memory,
    RootDisk,
    SeedDisk,
    SerialConsole,
    UserNetwork,
    option,
)
from provisioner.backends.qemu.layout import QemuFiles


@dataclass(frozen=True)
class Processor:
    """How a machine and its processors are made: the values of ``-machine``, ``-accel`` and ``-cpu``."""

    board: str
    accel: str
    cpu: str


def processor(arch: str, accelerator: str, traits: Traits) -> Processor:
    """The settings for ``"kvm"``, ``"hvf"`` or ``"tcg"``."""
    row = architecture(arch)
    board = row.board_for(accelerator, traits)
    if accelerator == "tcg":
        return Processor(board, f"tcg,thread={row.tcg_threads}", row.tcg_cpu)
    return Processor(board, accelerator, row.hardware_cpu(accelerator, traits))


def qemu_command(
    machine: Machine,
    accelerator: str,
    *,
    traits: Traits | None = None,
    emulator: str | Path | None = None,
    firmware: Path | None = None,
    ssh_port: int = 0,
    memory: Memory | None = None,
    incoming: bool = False,
) -> list[str]:
    """The whole command line, ready to be started.

    ``traits`` defaults to those of no host in particular, ``emulator`` to the architecture's own name for it;
    ``firmware`` is used when the machine boots from its disk; ``ssh_port`` 0 lets the kernel pick one, to be
    asked for with ``Qmp.ssh_port``; ``memory`` defaults to empty one of the machine's size. With ``incoming``
    QEMU waits to be told what to resume.
    """
    row = architecture(machine.arch)
    files = QemuFiles(machine)
    made = processor(machine.arch, accelerator, traits or Traits())
    argv = [str(emulator or row.emulator), "-nodefaults", "-no-user-config", "-display", "none"]
    argv += ["-name", f"guest={option(machine.name)}", "-uuid", files.uuid, "-pidfile", str(files.pid)]
    argv += ["-machine", f"{made.board},memory-backend=ram", "-accel", made.accel, "-cpu", made.cpu]
    argv += ["-smp", str(machine.cpus), "-m", f"{machine.memory // 2**20}M"]
    argv += (memory or Memory(machine.memory)).argv()
    for device in _devices(machine, files, accelerator, firmware, ssh_port, incoming):
        argv += device.argv()
    return [*argv, "-incoming", "defer"] if incoming else argv


def _devices(
    machine: Machine, files: QemuFiles, accelerator: str, firmware: Path | None, ssh_port: int, incoming: bool
) -> list[Device]:
    devices: list[Device] = []
    if isinstance(machine.boot, DirectBoot):
        # Ours to say, because it is we who chose the serial port and the network; the second word is read by
        # the initramfs of images that we build, and means nothing to others.
        ours = f"console={architecture(machine.arch).console} ebpf_dev.ip={UserNetwork.ADDRESS}"
        # An emulated processor does not speculate, and every change of page tables that PTI makes at a system call
        # empties its TLB: measured with QEMU 7.2, a system call takes 37 us with it.
        spared = " mitigations=off" if accelerator == "tcg" else ""
        devices.append(Kernel(machine.boot.kernel, machine.boot.initrd, f"{machine.boot.cmdline} {ours}{spared}"))
    elif firmware is not None:
        devices.append(Firmware(firmware))
    devices.append(RootDisk(files.overlay))
    if machine.seed is not None:
        devices.append(SeedDisk(machine.seed))
    return [
        *devices,
        UserNetwork(ssh_port),
        Entropy(),
        HostChannel(files.channel),
        SerialConsole(files.console, go_on=incoming),
        ControlSocket(files.socket),
    ]
