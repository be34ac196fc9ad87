"""The memory of a machine that does not run: what was saved, and whether it can still be used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.files import write_json

SCHEMA = 2
#: Accelerators of which nobody has shown that a machine goes on rightly from saved memory.
UNPROVEN = frozenset({"hvf"})
#: What reading a record raises that is missing, torn or of another time.
_DAMAGED = (OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class SavedMemory:
    """``state`` is what was written of the machine, ``memory`` what its memory is to begin with.

    ``left_out`` says that QEMU itself left the memory out of the state, and wants to be told so again; ``shape``
    is everything that it must fit (see ``Backend.shape``), ``accelerator`` the one that ran it.
    """

    state: Path
    memory: Path
    left_out: bool
    shape: str
    accelerator: str

    @property
    def size(self) -> int:
        """Bytes on disk, those included that are shared with other machines."""
        return sum(path.stat().st_blocks * 512 for path in (self.state, self.memory))


def write_saved(record: Path, saved: SavedMemory) -> None:
    """Keep it as JSON in ``record``, with what shows whether the files, which lie beside it, changed since."""
    write_json(
        record,
        {
            "schema": SCHEMA,
            "state": saved.state.name,
            "memory": saved.memory.name,
            "left_out": saved.left_out,
            "shape": saved.shape,
            "accelerator": saved.accelerator,
            "stamps": {path.name: _stamp(path) for path in (saved.state, saved.memory)},
        },
    )


def read_saved(record: Path) -> SavedMemory:
    """What was saved; raises ValueError with the reason when it cannot be used."""
    try:
        value = json.loads(record.read_bytes())
        if value["schema"] != SCHEMA:
            raise ValueError(f"schema {value['schema']}, expected {SCHEMA}")
        folder = record.parent
        for name, stamp in value["stamps"].items():
            if _stamp(folder / name) != stamp:
                raise ValueError(f"{folder / name} has changed")
        return SavedMemory(
            state=folder / value["state"],
            memory=folder / value["memory"],
            left_out=value["left_out"],
            shape=value["shape"],
            accelerator=value["accelerator"],
        )
    except _DAMAGED as exc:
        raise ValueError(str(exc)) from exc


def _stamp(path: Path) -> list[int]:
    # Reading hundreds of megabytes for a digest would take longer than the resume itself. Nothing of ours
    # writes to these files, and a time survives copies of a whole home.
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]
