"""``images prune``: what nothing stands on any more, and the space that it takes."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.core.errors import InstanceError
from provisioner.core.files import locked_if_free
from provisioner.core.paths import Paths
from provisioner.core.store import Store
from provisioner.images.base import META as BASE_META
from provisioner.images.base import PARTIAL
from provisioner.images.disk import backing_file, disk_usage
from provisioner.images.golden import META as GOLDEN_META
from provisioner.workflows.backends import all_backends
from provisioner.workflows.lifecycle import unknown_machine


@dataclass(frozen=True)
class Unused:
    """Something that can go; ``size`` in bytes, ``title`` in words."""

    path: Path
    title: str
    size: int


def find_unused(paths: Paths, *, everything: bool = False) -> list[Unused]:
    """What ``prune`` removes: leftovers, and goldens, disks and templates that newer ones have superseded.

    With ``everything`` also those that are the newest of their kind. Never anything that an instance or a snapshot
    stands on. Touches nothing.
    """
    return list(_unused(paths, everything))


def prune(paths: Paths, *, everything: bool = False) -> list[Unused]:
    """Remove what is unused and return it; raises InstanceError("busy") while another ebpf-dev is at work."""
    with _alone(paths):
        unused = find_unused(paths, everything=everything)
        for item in unused:
            _remove(item.path, paths)
        return unused


def _unused(paths: Paths, everything: bool) -> Iterator[Unused]:
    goldens, bases = _records(paths.goldens, GOLDEN_META), _records(paths.images, BASE_META)
    used = _used(paths)
    if not everything:
        used |= _closure(_newest(goldens, _golden_kind))
    for directory, record in goldens.items():
        if directory not in used:
            kind = f"golden of {record.get('image')}, Linux {record.get('release')}"
            yield _item(directory, kind)
    provisioned = {record.get("image") for record in goldens.values()}
    fresh = {path: record for path, record in bases.items() if record.get("image") not in provisioned}
    kept = used if everything else used | _newest(fresh, lambda record: (record.get("image"),))
    yield from (_item(path, f"disk of {bases[path].get('image')}") for path in bases if path not in kept)
    yield from _templates(paths, used)
    for folder in (paths.images, paths.goldens, paths.templates):
        yield from (_item(path, "left by an interruption") for path in _entries(folder) if path.suffix == PARTIAL)
    yield from (
        _item(path, "download not finished") for path in _entries(paths.downloads) if path.suffix == ".part"
    )


def _item(path: Path, title: str) -> Unused:
    return Unused(path, title, disk_usage(path))


def _templates(paths: Paths, used: set[Path]) -> Iterator[Unused]:
    for path in _entries(paths.templates):
        below = None
        with contextlib.suppress(OSError):
            below = backing_file(path / "overlay.qcow2")
        if path.suffix != PARTIAL and (below is None or below.parent not in used):
            yield _item(path, "template")


def _used(paths: Paths) -> set[Path]:
    """Directories of goldens and bases that an instance or a snapshot stands on, be its record readable or not."""
    overlays = list(paths.instances.glob("*/overlay.qcow2")) + list(paths.instances.glob("*/*/*/overlay.qcow2"))
    goldens = []
    for name in Store(paths).names():
        with contextlib.suppress(InstanceError):
            if record := Store(paths).find(name):
                goldens.append(paths.goldens / record.golden)
    return _closure([*overlays, *goldens])


def _closure(starts: Iterable[Path]) -> set[Path]:
    """The directories that these disks and goldens stand on, directly or not, and the goldens themselves."""
    found, left = set[Path](), list(starts)
    while left:
        path = left.pop()
        if path in found:
            continue
        if path.is_dir():
            found.add(path)
            left += _needs_of_golden(path)
        else:
            with contextlib.suppress(OSError):
                if below := backing_file(path):
                    left += [below, below.parent]
    return found


def _needs_of_golden(directory: Path) -> list[Path]:
    record = _read(directory / GOLDEN_META)
    needs = [Path(record[key]) for key in ("base_disk", "kernel", "initrd") if key in record]
    return [*needs, *(path.parent for path in needs)]


def _newest(records: Mapping[Path, Mapping[str, Any]], kind: Any) -> set[Path]:
    """Of each kind the entry made last."""
    newest: dict[Any, Path] = {}
    for path in sorted(records, key=lambda path: path.stat().st_mtime):
        newest[kind(records[path])] = path
    return set(newest.values())


def _golden_kind(record: Mapping[str, Any]) -> tuple[object, ...]:
    own = record.get("release") == record.get("image_release", record.get("release"))
    return record.get("image"), record.get("arch"), "" if own else record.get("release")


def _records(folder: Path, meta: str) -> dict[Path, dict[str, Any]]:
    return {path: _read(path / meta) for path in _entries(folder) if path.suffix != PARTIAL}


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


@contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """Hold every lock there is: whoever makes an instance, a golden or an image holds one of them."""
    with contextlib.ExitStack() as stack:
        for path in [*_entries(paths.locks), *paths.downloads.glob("*.lock")]:
            if not stack.enter_context(locked_if_free(path)):
                raise InstanceError(
                    "Another ebpf-dev is at work on images or instances",
                    code="busy",
                    details=str(path),
                    hint="Try again when it has finished.",
                )
        yield


def _remove(path: Path, paths: Paths) -> None:
    if path.suffix == PARTIAL and path.parent in (paths.goldens, paths.templates):
        # Its machine may have outlived whoever was killed while provisioning or saving it.
        for backend in all_backends(paths):
            backend.delete(unknown_machine(path.name, paths, path))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
        path.with_suffix(".json").unlink(missing_ok=True)
