"""Disks with a boot loader, as those of distributions' cloud images: made of a file system, without root.

With GRUB in the gap before the first partition for a BIOS, or on a partition of its own for UEFI.
"""

from __future__ import annotations

import os
import struct
import subprocess
import uuid
import zlib
from pathlib import Path

SECTOR = 512
#: Where every partitioning tool starts the first partition; GRUB's core for a BIOS lies in the gap before it.
FIRST_SECTOR = 2048
ESP_SIZE = 64 << 20
BIOS_GRUB = Path("/usr/lib/grub/i386-pc")
_LINUX, _ACTIVE, _PROTECTIVE = 0x83, 0x80, 0xEE
#: UEFI specification, 5.3.3, and the Discoverable Partitions Specification.
_ESP_TYPE = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_LINUX_TYPE = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
_ENTRIES, _ENTRY_SIZE = 128, 128
#: Sectors before the first and behind the last partition that the table and its copy take.
_TABLE_SECTORS = 1 + _ENTRIES * _ENTRY_SIZE // SECTOR

#: What firmware starts from a disk that it has never seen (UEFI specification, 3.5.1.1).
DEFAULT_LOADERS = {"x86_64": "BOOTX64.EFI", "aarch64": "BOOTAA64.EFI"}


def make_bios_disk(raw: Path, root: Path) -> None:
    """A disk that only a BIOS can start, with the file system ``root`` as its one partition."""
    core = _grub_core(raw.with_suffix(".core"))
    if len(core) > (FIRST_SECTOR - 1) * SECTOR:
        raise ValueError(f"GRUB's core has {len(core)} bytes and does not fit before the partition")
    code = (BIOS_GRUB / "boot.img").read_bytes()[:440]
    # boot.img looks for the core in the sector after its own, and the core for its rest in the next.
    raw.write_bytes(_boot_record(code, _LINUX, FIRST_SECTOR, root.stat().st_size // SECTOR) + core)
    _place(root, raw, FIRST_SECTOR)


def make_uefi_disk(raw: Path, root: Path, loader: Path, config: str, arch: str) -> None:
    """A disk that only UEFI can start: the GRUB ``loader`` with its ``config``, and the file system ``root``.

    The root is partition 1 and last on the disk, where it can grow; needs mtools.
    """
    esp = raw.with_suffix(".esp")
    _make_esp(esp, loader, config, arch)
    root_sector = FIRST_SECTOR + ESP_SIZE // SECTOR
    sectors = root_sector + root.stat().st_size // SECTOR + _TABLE_SECTORS
    partitions = {
        1: (_LINUX_TYPE, root_sector, sectors - _TABLE_SECTORS - 1),
        15: (_ESP_TYPE, FIRST_SECTOR, root_sector - 1),
    }
    with raw.open("wb") as disk:
        disk.write(_boot_record(b"", _PROTECTIVE, 1, sectors - 1))
        disk.write(_table_header(partitions, 1, sectors) + _table(partitions))
        disk.seek((sectors - _TABLE_SECTORS) * SECTOR)
        disk.write(_table(partitions) + _table_header(partitions, sectors - 1, sectors))
    _place(esp, raw, FIRST_SECTOR)
    _place(root, raw, root_sector)
    esp.unlink()


def _grub_core(path: Path) -> bytes:
    """GRUB with the few modules that lead it to its configuration."""
    modules = ["biosdisk", "part_msdos", "ext2", "linux", "normal", "boot", "configfile"]
    subprocess.run(
        ["grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", path, *modules],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    core = path.read_bytes()
    path.unlink()
    return core


def _make_esp(esp: Path, loader: Path, config: str, arch: str) -> None:
    """A FAT file system as Debian's grub-install lays it out for removable disks."""
    text = esp.with_suffix(".cfg")
    text.write_text(config)
    sectors = str(ESP_SIZE // SECTOR)
    steps: tuple[list[str | Path], ...] = (
        ["mformat", "-C", "-i", esp, "-T", sectors, "-h", "64", "-s", "32", "::"],
        ["mmd", "-i", esp, "::/EFI", "::/EFI/BOOT", "::/EFI/debian"],
        ["mcopy", "-i", esp, loader, f"::/EFI/BOOT/{DEFAULT_LOADERS[arch]}"],
        ["mcopy", "-i", esp, text, "::/EFI/debian/grub.cfg"],
    )
    for step in steps:
        subprocess.run(step, check=True, stdin=subprocess.DEVNULL)
    text.unlink()


def _place(part: Path, disk: Path, sector: int) -> None:
    """Copy a file system into the disk; its empty parts stay holes."""
    os.truncate(disk, max(disk.stat().st_size, sector * SECTOR + part.stat().st_size))
    subprocess.run(
        ["dd", f"if={part}", f"of={disk}", "bs=1M", f"seek={sector * SECTOR >> 20}", "conv=sparse,notrunc",
         "status=none"],
        check=True,
    )  # fmt: skip


def _boot_record(code: bytes, kind: int, first: int, sectors: int) -> bytes:
    """The first sector: a program, and a partition table with one entry (UEFI specification, 5.2)."""
    entry = struct.pack(
        "<B3sB3sII", _ACTIVE if code else 0, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", first, sectors
    )
    return code.ljust(446, b"\0") + entry + bytes(3 * 16) + b"\x55\xaa"


def _table(partitions: dict[int, tuple[uuid.UUID, int, int]]) -> bytes:
    """The partition entries: number -> type, first and last sector (UEFI specification, 5.3.3)."""
    table = bytearray(_ENTRIES * _ENTRY_SIZE)
    for number, (kind, first, last) in partitions.items():
        unique = uuid.uuid5(kind, str(number))
        struct.pack_into(
            "<16s16sQQQ", table, (number - 1) * _ENTRY_SIZE, kind.bytes_le, unique.bytes_le, first, last, 0
        )
    return bytes(table)


def _table_header(partitions: dict[int, tuple[uuid.UUID, int, int]], own: int, sectors: int) -> bytes:
    """The header in sector ``own`` of a disk of so many sectors (UEFI specification, 5.3.2)."""
    last = sectors - 1
    first_of_table = 2 if own == 1 else sectors - _TABLE_SECTORS
    table = _table(partitions)

    def pack(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART", 0x10000, 92, checksum, 0, own, last if own == 1 else 1, _TABLE_SECTORS + 1,
            last - _TABLE_SECTORS, uuid.uuid5(_LINUX_TYPE, "disk").bytes_le, first_of_table, _ENTRIES, _ENTRY_SIZE,
            zlib.crc32(table),
        )  # fmt: skip

    return pack(zlib.crc32(pack(0))).ljust(SECTOR, b"\0")
