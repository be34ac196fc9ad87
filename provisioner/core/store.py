"""Instances on disk: what was wanted and done. What is true now is asked of the backend."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.core.errors import InstanceError, UsageError
from provisioner.core.files import write_json
from provisioner.core.paths import Paths, ensure_dir

SCHEMA = 1


@dataclass(frozen=True)
class InstanceRecord:
    """One instance as it was made; sizes in bytes. ``golden`` is the key of the disk it stands on.

    ``network_digest`` says which proxy, mirror and CA settings the guest holds (see ``guest/network.py``).
    ``kernel`` is the setting that ``release`` answers. ``kernel_wanted`` is another one that ``up`` was asked for
    and has not finished with, else "".
    """

    name: str
    image: str
    arch: str
    backend: str
    accelerator: str
    cpus: int
    memory: int
    disk: int
    golden: str
    release: str
    network_digest: str
    created: str
    kernel: str = "default"
    kernel_wanted: str = ""


class Store:
    """The instances of one user."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def directory(self, name: str) -> Path:
        return self._paths.instance(name)

    def lock_file(self, name: str) -> Path:
        return self._paths.locks / f"instance-{name}.lock"

    def names(self) -> list[str]:
        """Every instance, also those whose record cannot be read."""
        if not self._paths.instances.is_dir():
            return []
        return sorted(path.name for path in self._paths.instances.iterdir() if path.is_dir())

    def find(self, name: str) -> InstanceRecord | None:
        """The record of ``name``, or None; raises InstanceError("record-corrupt")."""
        path = self._record_file(name)
        try:
            return _parse_record(path.read_bytes(), name)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, OSError) as exc:
            raise InstanceError(
                f"The record of instance '{name}' cannot be read",
                code="record-corrupt",
                details=f"{path}: {exc}",
                hint=f"`ebpf-dev delete {name}` removes the instance; `ebpf-dev up {name}` makes a new one.",
            ) from exc

    def load(self, name: str) -> InstanceRecord:
        """The record of an instance that must exist; raises UsageError("unknown-instance")."""
        record = self.find(name)
        if record is None:
            others = [other for other in self.names() if other != name]
            raise UsageError(
                f"There is no instance named '{name}'",
                code="unknown-instance",
                details=f"Instances: {', '.join(others)}" if others else "No instance exists yet.",
                hint=f"`ebpf-dev up{'' if name == 'default' else ' ' + name}` makes it.",
            )
        return record

    def save(self, record: InstanceRecord) -> None:
        ensure_dir(self.directory(record.name))
        write_json(self._record_file(record.name), {"schema": SCHEMA, **dataclasses.asdict(record)})

    def remove(self, name: str) -> None:
        """Remove the instance's directory, record last, so that a crash leaves something to delete again."""
        directory = self.directory(name)
        if not directory.exists():
            return
        for entry in directory.iterdir():
            if entry.name != self._record_file(name).name:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        shutil.rmtree(directory)

    def _record_file(self, name: str) -> Path:
        return self.directory(name) / "record.json"


def _parse_record(data: bytes, name: str) -> InstanceRecord:
    value: dict[str, Any] = json.loads(data)
    schema = value.pop("schema")
    if schema != SCHEMA:
        raise ValueError(f"schema {schema}, this version of ebpf-dev reads schema {SCHEMA}")
    if value.get("name") != name:
        raise ValueError(f"it belongs to {value.get('name')!r}")
    for field in dataclasses.fields(InstanceRecord):
        wanted = int if field.type == "int" else str
        # Fields with a default came later than the first records.
        given = value.get(field.name, field.default)
        if not isinstance(given, wanted):
            raise ValueError(f"{field.name} is {value.get(field.name)!r}")
    return InstanceRecord(**value)
