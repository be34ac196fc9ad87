"""A base disk in the cache: what it is, whether it is whole, and how it gets there in one step."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioner.backends.base import DirectBoot, FirmwareBoot
from provisioner.core.files import write_json
from provisioner.core.paths import ensure_dir

SCHEMA = 1
DISK, KERNEL, INITRD, META = "base.qcow2", "vmlinuz", "initrd", "meta.json"
PARTIAL = ".partial"


@dataclass(frozen=True)
class BaseImage:
    """A root disk, not yet provisioned, and how to boot it.

    ``release`` is the kernel's when known before booting. An image that ``needs_seed`` is a foreign one; it
    must find ``seed`` at its first boot, which ``ensure_base`` makes. Images of our own are born with our keys.
    """

    key: str
    disk: Path
    boot: DirectBoot | FirmwareBoot
    release: str | None = None
    needs_seed: bool = False
    seed: Path | None = None
    source: str = ""


@dataclass
class Draft:
    """A base in the making: a source puts its files into ``directory`` and says what they are."""

    directory: Path
    source: str = ""
    release: str | None = None
    cmdline: str = ""
    needs_seed: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def disk(self) -> Path:
        return self.directory / DISK

    @property
    def kernel(self) -> Path:
        return self.directory / KERNEL

    @property
    def initrd(self) -> Path:
        return self.directory / INITRD


def find_base(directory: Path) -> BaseImage | None:
    """The complete base kept in ``directory``; None when there is none, or it is damaged.

    Damaged means: no readable ``meta.json``, or a file that is missing or not as long as recorded there.
    """
    try:
        meta = json.loads((directory / META).read_bytes())
        if meta["schema"] != SCHEMA:
            return None
        whole = all((directory / name).stat().st_size == size for name, size in meta["files"].items())
        return _from_meta(directory, meta) if whole and DISK in meta["files"] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def complete(draft: Draft, directory: Path) -> None:
    """Record what the draft holds and move it to ``directory`` in one step, replacing a damaged one there."""
    names = [path.name for path in sorted(draft.directory.iterdir())]
    for name in names:
        # Overlays stand on it: the smallest change here would corrupt every one of them.
        (draft.directory / name).chmod(0o400)
        _sync(draft.directory / name)
    meta = {
        "schema": SCHEMA,
        "source": draft.source,
        "release": draft.release,
        "cmdline": draft.cmdline,
        "needs_seed": draft.needs_seed,
        "files": {name: (draft.directory / name).stat().st_size for name in names},
        **draft.facts,
    }
    write_json(draft.directory / META, meta)
    if directory.exists():
        shutil.rmtree(directory)
    draft.directory.rename(directory)


@contextlib.contextmanager
def drafted(directory: Path) -> Iterator[Draft]:
    """A fresh draft beside ``directory``, removed afterwards unless it was completed.

    What a killed process left behind is removed first; the caller holds the lock of this key.
    """
    partial = directory.with_name(directory.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    ensure_dir(partial)
    try:
        yield Draft(partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _from_meta(directory: Path, meta: Mapping[str, Any]) -> BaseImage:
    boot: DirectBoot | FirmwareBoot = FirmwareBoot()
    if KERNEL in meta["files"]:
        boot = DirectBoot(directory / KERNEL, directory / INITRD, meta["cmdline"])
    return BaseImage(
        key=directory.name,
        disk=directory / DISK,
        boot=boot,
        release=meta["release"],
        needs_seed=meta["needs_seed"],
        source=meta["source"],
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
