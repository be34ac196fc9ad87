"""Machines for the tests of the QEMU backend."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from provisioner.backends.base import DirectBoot, Machine


@contextmanager
def socket_dir() -> Iterator[Path]:
    """A directory with a path short enough for a socket, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="q", dir="/tmp") as directory:
        yield Path(directory)


def make_machine(root: Path, sockets: Path, **changes: Any) -> Machine:
    """A small machine below ``root``, in paths with a space and a comma."""
    base = root / "golden, first" / "disk.qcow2"
    base.parent.mkdir(parents=True, exist_ok=True)
    base.touch()
    machine = Machine(
        name="default",
        directory=root / "my, instances" / "default",
        sockets=sockets,
        arch="x86_64",
        cpus=2,
        memory=2 * 2**30,
        disk_size=10 * 2**30,
        base_disk=base,
        boot=DirectBoot(root / "vmlinuz", root / "initrd", "root=LABEL=root console=ttyS0"),
    )
    return replace(machine, **changes)
