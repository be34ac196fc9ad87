"""Snapshots: an instance's disk, and its memory when it runs, to return to."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from provisioner.backends.base import State
from provisioner.core.errors import UsageError
from provisioner.core.files import locked, write_json
from provisioner.core.names import check_snapshot_name
from provisioner.core.paths import Paths, ensure_dir
from provisioner.core.reporter import Reporter
from provisioner.core.settings import Settings
from provisioner.core.store import Store
from provisioner.guest.keeper import write_back
from provisioner.workflows.instances import Instance, exchange_disk, open_instance
from provisioner.workflows.resume import check_saveable, require_channel
from provisioner.workflows.up import UpResult, start_instance

SCHEMA = 1
_META = "snapshot.json"
#: What of the instance's record belongs to its disk.
_KEPT = ("network_digest", "kernel", "release")


@dataclass(frozen=True)
class Snapshot:
    """``memory`` says that it goes on where it was, ``created`` is ISO 8601, ``size`` bytes on disk."""

    name: str
    memory: bool
    created: str
    size: int


def save_snapshot(name: str, instance_name: str, paths: Paths, reporter: Reporter) -> Snapshot:
    """Keep the instance as it is now; a running one goes on after a moment.

    Raises UsageError("snapshot-exists", "bad-name") and the errors of saving memory.
    """
    check_snapshot_name(name)
    with _locked(instance_name, paths, reporter) as instance:
        directory = _directory(instance, name)
        if (directory / _META).exists():
            raise UsageError(
                f"Instance '{instance.name}' has a snapshot '{name}' already",
                code="snapshot-exists",
                hint=f"`ebpf-dev snapshot delete {name} -i {instance.name}` removes it.",
            )
        with reporter.step(f"Keeping '{instance.name}' as '{name}'"), _made_whole(directory) as partial:
            if instance.status().state is State.RUNNING:
                check_saveable(instance)
                write_back(require_channel(instance))
            instance.backend.capture(instance.machine, partial)
            now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
            kept = {field: getattr(instance.record, field) for field in _KEPT}
            write_json(partial / _META, {"schema": SCHEMA, "created": now, **kept})
        return _read(instance, directory)


def restore_snapshot(
    name: str, instance_name: str, settings: Settings, paths: Paths, reporter: Reporter, env: Mapping[str, str]
) -> UpResult:
    """Put the instance back to where the snapshot was taken, and let it run; what it is now is lost."""
    with _locked(instance_name, paths, reporter) as instance:
        directory = _find(instance, name)
        with reporter.step(f"Returning '{instance.name}' to '{name}'"):
            instance.backend.stop(instance.machine, force=True)
            instance.connection.close()
            meta = json.loads((directory / _META).read_bytes())
            known = {field: meta[field] for field in _KEPT if field in meta}
            exchange_disk(instance, lambda: instance.backend.place(instance.machine, directory), **known)
        return start_instance(instance.name, settings, paths, reporter, env)


def list_snapshots(instance_name: str, paths: Paths) -> list[Snapshot]:
    """The snapshots of an instance, the oldest first."""
    instance = open_instance(instance_name, paths)
    whole = [path.parent for path in _folder(instance).glob(f"*/{_META}") if not path.parent.name.startswith(".")]
    found = [_read(instance, directory) for directory in whole]
    return sorted(found, key=lambda snapshot: snapshot.created)


def delete_snapshot(name: str, instance_name: str, paths: Paths, reporter: Reporter) -> None:
    """Remove a snapshot; raises UsageError("unknown-snapshot")."""
    with _locked(instance_name, paths, reporter) as instance:
        directory = _find(instance, name)
        # In one step: half a snapshot would be neither there nor gone.
        partial = _partial(directory)
        shutil.rmtree(partial, ignore_errors=True)
        directory.rename(partial)
        shutil.rmtree(partial)


def _folder(instance: Instance) -> Path:
    return instance.machine.directory / "snapshots"


def _directory(instance: Instance, name: str) -> Path:
    return _folder(instance) / name


def _find(instance: Instance, name: str) -> Path:
    known = [snapshot.name for snapshot in list_snapshots(instance.name, instance.paths)]
    if name in known:
        return _directory(instance, name)
    raise UsageError(
        f"Instance '{instance.name}' has no snapshot '{name}'",
        code="unknown-snapshot",
        details=f"Snapshots: {', '.join(known)}" if known else "It has none yet.",
        hint=f"`ebpf-dev snapshot save {name} -i {instance.name}` makes it.",
    )


def _read(instance: Instance, directory: Path) -> Snapshot:
    kept = replace(instance.machine, directory=directory)
    size = sum(path.stat().st_blocks * 512 for path in directory.iterdir())
    created = json.loads((directory / _META).read_bytes())["created"]
    return Snapshot(directory.name, instance.backend.status(kept).saved > 0, created, size)


@contextmanager
def _locked(name: str, paths: Paths, reporter: Reporter) -> Iterator[Instance]:
    with locked(Store(paths).lock_file(name), lambda: reporter.note("Another ebpf-dev is at it; waiting.")):
        yield open_instance(name, paths)


def _partial(directory: Path) -> Path:
    """Where a snapshot is made and removed; whatever is there is of somebody who was killed."""
    return directory.with_name(".partial")


@contextmanager
def _made_whole(directory: Path) -> Iterator[Path]:
    """A directory to fill that gets its name when it is whole; no snapshot's name begins with a dot."""
    partial = _partial(directory)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield ensure_dir(partial)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
