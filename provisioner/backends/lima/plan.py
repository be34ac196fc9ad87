"""What a machine is to Lima: its driver, its YAML, and what stands in for QEMU; computed, never run."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from provisioner.backends.base import DirectBoot, Machine
from provisioner.backends.qemu.arch import Traits, architecture
from provisioner.backends.qemu.command import processor
from provisioner.core.host import HostFacts
from provisioner.core.templates import render

#: Lima's user network (pkg/networks/const.go): the host, the guest, and who answers its DNS queries.
HOST = "192.168.5.2"
_ADDRESS = f"192.168.5.15::{HOST}:255.255.255.0::eth0:none:192.168.5.3"
_NAMESERVERS = {"qemu": "192.168.5.3", "vz": HOST}
#: The user that Lima's host agent logs in as; it may not be root.
USER = "lima"
#: Of macOS: earlier ones cannot boot Linux kernels of today with Virtualization.framework (Lima's vmtype/vz.md).
VZ_FLOOR = (13, 5)


class Keys(Protocol):
    """The keys that let us in, and that a guest must show."""

    @property
    def client_key(self) -> Path: ...
    @property
    def client_public(self) -> str: ...
    @property
    def host_public(self) -> str: ...
    @property
    def host_private(self) -> str: ...


def choose_driver(host: HostFacts, arch: str, accelerator: str) -> str:
    """ "vz" where a Mac's own virtualisation does, "qemu" elsewhere and where emulation is asked for."""
    mac = host.mac
    native = mac is not None and mac.hv_support and mac.version >= VZ_FLOOR and host.arch == arch
    return "vz" if native and accelerator in ("auto", "hvf") else "qemu"


def render_config(machine: Machine, driver: str, disk: Path, keys: Keys, *, uefi: bool = False) -> str:
    """Lima's YAML for a machine made of the image ``disk``, which may need UEFI to start.

    A foreign image is told to let us in.
    """
    boot = machine.boot if isinstance(machine.boot, DirectBoot) else None
    return render(
        "lima/instance.yaml.j2",
        machine=machine,
        driver=driver,
        disk=str(disk),
        kernel=str(boot.kernel) if boot else "",
        initrd=str(boot.initrd) if boot else "",
        cmdline=kernel_cmdline(boot, machine.arch, driver) if boot else "",
        bios=driver == "qemu" and architecture(machine.arch).has_bios and not uefi,
        memory=machine.memory >> 20,
        nameserver=_NAMESERVERS[driver],
        user=USER,
        plant=_render_plant(keys) if machine.seed else "",
    )


def kernel_cmdline(boot: DirectBoot, arch: str, driver: str) -> str:
    """With what only whoever chose the serial port and the network can say; see the QEMU backend's command."""
    if driver == "vz":
        return f"{boot.cmdline} console=hvc0"
    return f"{boot.cmdline} console={architecture(arch).console} ebpf_dev.ip={_ADDRESS}"


def _render_plant(keys: Keys) -> str:
    return render(
        "lima/plant.sh.j2",
        authorized_key=keys.client_public,
        host_private=keys.host_private.strip(),
        host_public=keys.host_public,
        sshd_config=render("guest/final/etc/ssh/sshd_config.d/10-ebpf-dev.conf"),
    )


def render_emulator(arch: str, emulator: Path) -> str:
    """A program to be taken for QEMU that emulates, and as exactly as the QEMU backend does."""
    made = processor(arch, "tcg", Traits())
    return render("lima/qemu.sh.j2", emulator=str(emulator), accel=made.accel, cpu=made.cpu)
