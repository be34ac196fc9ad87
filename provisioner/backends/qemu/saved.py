"""The memory of a machine that does not run: what was saved, and whether it can still be used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.files import write_json

SCHEMA = 1
#: Accelerators of which nobody has shown that a machine goes on rightly from saved memory.
UNPROVEN = frozenset({"hvf"})
#: What reading a record raises that is missing, torn or of another time.
_DAMAGED = (OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class SavedMemory:
    """``state`` is what QEMU wrote, ``memory`` a file with the guest's memory when that is not part of it.

    ``shape`` is everything that it must fit (see ``Backend.shape``), ``accelerator`` the one that ran it.
    """

    state: Path
    memory: Path | None
    shape: str
    accelerator: str

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_blocks * 512 for path in (self.state, self.memory) if path)


def write_saved(record: Path, saved: SavedMemory) -> None:
    """Keep it as JSON in ``record``, with what shows whether the files changed since.

    Files in the record's own directory are named relative to it, so that it can be renamed.
    """
    stamps = {_name(path, record): _stamp(path) for path in (saved.state, saved.memory) if path}
    write_json(
        record,
        {
            "schema": SCHEMA,
            "state": _name(saved.state, record),
            "memory": saved.memory and _name(saved.memory, record),
            "shape": saved.shape,
            "accelerator": saved.accelerator,
            "stamps": stamps,
        },
    )


def read_saved(record: Path) -> SavedMemory:
    """What was saved; raises ValueError with the reason when it cannot be used."""
    try:
        value = json.loads(record.read_bytes())
        if value["schema"] != SCHEMA:
            raise ValueError(f"schema {value['schema']}, expected {SCHEMA}")
        folder, memory = record.parent, value["memory"]
        for name, stamp in value["stamps"].items():
            if _stamp(folder / name) != stamp:
                raise ValueError(f"{folder / name} has changed")
        return SavedMemory(
            folder / value["state"], folder / memory if memory else None, value["shape"], value["accelerator"]
        )
    except _DAMAGED as exc:
        raise ValueError(str(exc)) from exc


def _name(path: Path, record: Path) -> str:
    return path.name if path.parent == record.parent else str(path)


def _stamp(path: Path) -> list[int]:
    # Reading hundreds of megabytes for a digest would take longer than the resume itself. Nothing of ours
    # writes to these files, and a time survives copies of a whole home.
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]
