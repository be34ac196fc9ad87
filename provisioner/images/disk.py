"""Disk images as files, and the host's space for them: asked for before, recognised when it runs out."""

from __future__ import annotations

import errno
import shutil
import struct
from pathlib import Path
from typing import IO

from provisioner.core.errors import HostError
from provisioner.core.files import copy_sparse
from provisioner.core.process import run_tool

#: The beginning of a qcow2 (QEMU's docs/interop/qcow2.rst): magic, version, offset and length of the name below.
_HEADER, _MAGIC = struct.Struct(">4sIQI"), b"QFI\xfb"
_LONGEST_NAME = 1023


def check_space(directory: Path, needed: int, purpose: str) -> None:
    """Raise HostError("disk-full") unless ``needed`` bytes are free where ``directory`` (existing) is."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise disk_full(directory, purpose, f"{needed} bytes are needed, {free} are free")


def is_disk_full(error: OSError) -> bool:
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def disk_full(directory: Path, purpose: str, details: str) -> HostError:
    return HostError(
        f"There is not enough space in {directory} {purpose}",
        code="disk-full",
        details=details,
        hint="Free some, or set EBPF_DEV_HOME to a directory on a larger disk. Nothing half-written was kept.",
    )


def disk_usage(path: Path) -> int:
    """Bytes that a file, or a directory with all in it, takes on disk."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(file.lstat().st_blocks * 512 for file in files)


def backing_file(disk: Path) -> Path | None:
    """What a qcow2 stands on; None when that is nothing, or it is no qcow2. Raises OSError."""
    with disk.open("rb") as file:
        offset, length = _read_header(file)
        if not 0 < length <= _LONGEST_NAME or offset > disk.stat().st_size:
            return None
        file.seek(offset)
        return disk.parent / file.read(length).decode(errors="surrogateescape")


def _read_header(file: IO[bytes]) -> tuple[int, int]:
    """Where the name of the backing file is and how long; (0, 0) without one, (0, -1) in what is no qcow2."""
    start = file.read(_HEADER.size)
    if len(start) < _HEADER.size:
        return 0, -1
    magic, version, offset, length = _HEADER.unpack(start)
    return (offset, length) if magic == _MAGIC and version in (2, 3) else (0, -1)


def make_qcow2(disk: Path) -> None:
    """Turn a disk image into a qcow2 of its own, unless it is one. Raises HostError("bad-image")."""
    if not _is_whole_qcow2(disk):
        other = disk.with_name(f"{disk.name}.other")
        disk.rename(other)
        copy_as_qcow2(other, disk)
        other.unlink()


def _is_whole_qcow2(disk: Path) -> bool:
    with disk.open("rb") as file:
        return _read_header(file)[1] == 0


def copy_as_qcow2(source: Path, target: Path) -> None:
    """Copy a disk image; one that is no qcow2 of its own is made one. Raises HostError("bad-image")."""
    if _is_whole_qcow2(source):
        copy_sparse(source, target)
        return
    done = run_tool(
        ["qemu-img", "convert", "-O", "qcow2", source, target],
        needed_for="to read an image of your own", timeout=3600, check=False,
    )  # fmt: skip
    if not done.ok:
        raise HostError(f"{source} cannot be read as a disk image", code="bad-image", details=done.stderr.strip())
