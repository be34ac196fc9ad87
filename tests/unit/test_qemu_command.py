"""The QEMU command line, word by word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.backends.base import DirectBoot, FirmwareBoot, Machine
from provisioner.backends.qemu.arch import ARCHITECTURES
from provisioner.backends.qemu.command import qemu_command
from provisioner.backends.qemu.devices import Memory
from provisioner.backends.qemu.layout import SOCKET_PATH_MAX, QemuFiles

MACHINE = Machine(
    name="default",
    directory=Path("/home/a b, c/default"),
    sockets=Path("/run/user/1000/ebpf-dev"),
    arch="x86_64",
    cpus=2,
    memory=2 * 2**30,
    disk_size=10 * 2**30,
    base_disk=Path("/goldens/disk.qcow2"),
    boot=DirectBoot(Path("/boot, 1/vmlinuz"), Path("/boot, 1/initrd"), "root=LABEL=root rw"),
    seed=Path("/goldens/seed, 1.iso"),
    accelerator="auto",
)


@pytest.mark.parametrize("accelerator", ["kvm", "hvf"])
def test_a_processor_that_speculates_keeps_its_mitigations(accelerator: str) -> None:
    assert not any("mitigations" in word for word in qemu_command(MACHINE, accelerator))


def test_a_direct_boot_under_emulation() -> None:
    assert qemu_command(MACHINE, "tcg") == [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
        "-name", "guest=default",
        "-uuid", QemuFiles(MACHINE).uuid,
        "-pidfile", "/home/a b, c/default/qemu.pid",
        "-machine", "q35,memory-backend=ram", "-accel", "tcg,thread=single", "-cpu", "Nehalem,-cx16",
        "-smp", "2", "-m", "2048M",
        "-object", "memory-backend-ram,id=ram,size=2048M",
        "-kernel", "/boot, 1/vmlinuz", "-initrd", "/boot, 1/initrd",
        "-append", "root=LABEL=root rw console=ttyS0 "
                   "ebpf_dev.ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:none:10.0.2.3 mitigations=off",
        "-drive", "if=none,id=root,file=/home/a b,, c/default/overlay.qcow2,format=qcow2,"
                  "discard=unmap,detect-zeroes=unmap",
        "-device", "virtio-blk-pci,drive=root,bootindex=1",
        "-drive", "if=none,id=seed,file=/goldens/seed,, 1.iso,format=raw,readonly=on",
        "-device", "virtio-blk-pci,drive=seed",
        "-netdev", "user,id=net0,hostfwd=tcp:127.0.0.1:0-:22",
        "-device", "virtio-net-pci,netdev=net0,romfile=",
        "-device", "virtio-rng-pci",
        "-chardev", f"pipe,id=host,path={QemuFiles(MACHINE).channel}", "-device", "virtio-serial-pci",
        "-device", "virtserialport,chardev=host,name=ebpf-dev",
        "-chardev", "file,id=console,path=/home/a b,, c/default/console.log",
        "-serial", "chardev:console",
        "-chardev", f"socket,id=qmp,path={QemuFiles(MACHINE).socket},server=on,wait=off",
        "-mon", "chardev=qmp,mode=control",
    ]  # fmt: skip


def test_a_disk_with_its_own_boot_loader() -> None:
    argv = qemu_command(replace(MACHINE, boot=FirmwareBoot(), seed=None), "kvm", emulator=Path("/opt/qemu"))
    assert argv[0] == "/opt/qemu"
    assert not {"-kernel", "-initrd", "-append"} & set(argv)
    assert argv[argv.index("-accel") + 1] == "kvm"
    assert argv[argv.index("-cpu") + 1] == "host"
    assert sum(word.startswith("virtio-blk-pci") for word in argv) == 1


def test_another_architecture_is_another_row() -> None:
    machine = replace(MACHINE, arch="aarch64", boot=FirmwareBoot())
    argv = qemu_command(machine, "tcg", firmware=Path("/share/edk2.fd"))
    assert argv[0] == "qemu-system-aarch64"
    assert "virt,gic-version=max,memory-backend=ram" in argv
    assert "if=pflash,format=raw,readonly=on,file=/share/edk2.fd" in argv
    assert (ARCHITECTURES["aarch64"].console, ARCHITECTURES["x86_64"].console) == ("ttyAMA0", "ttyS0")


def test_a_kernel_is_told_of_the_console_of_its_architecture() -> None:
    argv = qemu_command(replace(MACHINE, arch="aarch64"), "tcg")
    assert "console=ttyAMA0" in argv[argv.index("-append") + 1].split()
    assert not any("pflash" in word for word in argv)


def test_memory_from_a_file_is_private_unless_it_is_being_made() -> None:
    file = Path("/a, b/memory")
    resumed = qemu_command(MACHINE, "tcg", memory=Memory(MACHINE.memory, file), incoming=True)
    words = "memory-backend-file,id=ram,size=2048M,mem-path=/a,, b/memory,share="
    assert f"{words}off" in resumed
    assert resumed[-2:] == ["-incoming", "defer"]
    assert f"{words}on" in qemu_command(MACHINE, "tcg", memory=Memory(MACHINE.memory, file, shared=True))


def test_a_port_may_be_given() -> None:
    assert "user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22" in qemu_command(MACHINE, "tcg", ssh_port=2222)


def test_the_identity_is_that_of_the_directory() -> None:
    assert QemuFiles(MACHINE).uuid == QemuFiles(replace(MACHINE, cpus=4)).uuid
    assert QemuFiles(MACHINE).uuid != QemuFiles(replace(MACHINE, directory=Path("/other/default"))).uuid


def test_the_longest_socket_directory_there_can_be_leaves_room() -> None:
    longest = Path("/" + "x" * 59) / f"ebpf-dev-{2**32 - 2}-0123456789"
    assert len(str(QemuFiles(replace(MACHINE, sockets=longest)).socket)) <= SOCKET_PATH_MAX
