"""Everything that must be the same where a machine goes on from saved memory, as one digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from provisioner.backends.base import Machine
from provisioner.backends.qemu import tools
from provisioner.backends.qemu.command import qemu_command
from provisioner.core.host import host_processor, this_host


def machine_shape(machine: Machine, accelerator: str) -> str:
    emulator = tools.require_emulator(machine.arch)
    # What differs between two machines of one shape: names, places and where the memory begins.
    neutral = replace(machine, name="", directory=Path("/"), sockets=Path("/"))
    parts = [
        qemu_command(neutral, accelerator, traits=tools.traits(machine.arch), emulator=emulator),
        [_identity(emulator), _identity(machine.base_disk), machine.disk_size],
        [] if accelerator == "tcg" else [host_processor(), this_host().kernel],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _identity(path: Path) -> list[int | str]:
    facts = path.stat()
    return [str(path), facts.st_size, facts.st_mtime_ns]
