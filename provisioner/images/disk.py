"""Host disk space: asked for before, and recognised when it runs out in the middle."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from provisioner.core.errors import HostError


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
