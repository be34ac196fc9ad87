"""The parts of a QEMU machine as values; each gives the arguments that add it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol


class Device(Protocol):
    def argv(self) -> list[str]:
        """The QEMU arguments that add this part."""


def option(value: str | Path) -> str:
    """A value inside an option list: QEMU ends it at a comma unless the comma is doubled."""
    return str(value).replace(",", ",,")


@dataclass(frozen=True)
class Memory:
    """The guest's memory, always under the same name, by which saved memory finds its place again.

    With ``file`` it begins as that file's content, which stays as it is unless ``shared``: then the guest
    writes into the file. ``size`` in bytes.
    """

    size: int
    file: Path | None = None
    shared: bool = False

    def argv(self) -> list[str]:
        size = f"id=ram,size={self.size // 2**20}M"
        if self.file is None:
            return ["-object", f"memory-backend-ram,{size}"]
        share = "on" if self.shared else "off"
        return ["-object", f"memory-backend-file,{size},mem-path={option(self.file)},share={share}"]


@dataclass(frozen=True)
class RootDisk:
    """The overlay, as the guest's first disk; freed blocks are given back to the host."""

    path: Path

    def argv(self) -> list[str]:
        drive = f"if=none,id=root,file={option(self.path)},format=qcow2,discard=unmap,detect-zeroes=unmap"
        # Index 0 is what QEMU gives to a kernel that it boots directly.
        return ["-drive", drive, "-device", "virtio-blk-pci,drive=root,bootindex=1"]


@dataclass(frozen=True)
class SeedDisk:
    """The NoCloud seed, as a second disk the guest cannot write."""

    path: Path

    def argv(self) -> list[str]:
        drive = f"if=none,id=seed,file={option(self.path)},format=raw,readonly=on"
        return ["-drive", drive, "-device", "virtio-blk-pci,drive=seed"]


@dataclass(frozen=True)
class UserNetwork:
    """A network without privileges; the guest's sshd is forwarded to the loopback interface only.

    Port 0 lets the kernel pick a free one: unlike a port we choose, nobody can take it before QEMU does.
    """

    ssh_port: int = 0

    #: The guest's side, in the form of the kernel's ip=: QEMU's user network gives the first machine in it
    #: nothing else by DHCP, and forwards to this address.
    ADDRESS: ClassVar[str] = "10.0.2.15::10.0.2.2:255.255.255.0::eth0:none:10.0.2.3"

    def argv(self) -> list[str]:
        forward = f"hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22"
        # An empty romfile drops the network boot ROM, which would only cost start-up time.
        return ["-netdev", f"user,id=net0,{forward}", "-device", "virtio-net-pci,netdev=net0,romfile="]


@dataclass(frozen=True)
class Entropy:
    """The host's random numbers; without them sshd may wait for entropy at boot."""

    def argv(self) -> list[str]:
        return ["-device", "virtio-rng-pci"]


@dataclass(frozen=True)
class SerialConsole:
    """The first serial port, written to a file that QEMU empties when it starts, unless it is to ``go_on``."""

    log: Path
    go_on: bool = False

    def argv(self) -> list[str]:
        chardev = f"file,id=console,path={option(self.log)}{',append=on' if self.go_on else ''}"
        return ["-chardev", chardev, "-serial", "chardev:console"]


@dataclass(frozen=True)
class ControlSocket:
    """QMP on a Unix socket."""

    path: Path

    def argv(self) -> list[str]:
        chardev = f"socket,id=qmp,path={option(self.path)},server=on,wait=off"
        return ["-chardev", chardev, "-mon", "chardev=qmp,mode=control"]


@dataclass(frozen=True)
class HostChannel:
    """A line between host and guest beside the network: the FIFOs PATH.in (to the guest) and PATH.out.

    FIFOs and not a socket, because on a port whose host side is not connected a guest's read ends at once
    instead of waiting.
    """

    path: Path

    def argv(self) -> list[str]:
        port = "virtserialport,chardev=host,name=ebpf-dev"
        return [
            "-chardev",
            f"pipe,id=host,path={option(self.path)}",
            "-device",
            "virtio-serial-pci",
            "-device",
            port,
        ]


@dataclass(frozen=True)
class Kernel:
    """A Linux kernel started without a boot loader. These arguments are plain paths, not option lists."""

    kernel: Path
    initrd: Path
    cmdline: str

    def argv(self) -> list[str]:
        return ["-kernel", str(self.kernel), "-initrd", str(self.initrd), "-append", self.cmdline]


@dataclass(frozen=True)
class Firmware:
    """UEFI code in read-only flash; its variables are not kept, the boot loader's default path does."""

    code: Path

    def argv(self) -> list[str]:
        return ["-drive", f"if=pflash,format=raw,readonly=on,file={option(self.code)}"]
