"""``images``: what the catalogue offers and what of it is on this disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.paths import Paths
from provisioner.images.catalogue import load_catalogue


@dataclass(frozen=True)
class ImageState:
    """``state`` is "provisioned", "fetched" or "no"; ``size`` is what it takes on disk, in bytes."""

    name: str
    title: str
    arches: tuple[str, ...]
    default: bool
    state: str
    size: int


def list_images(paths: Paths) -> list[ImageState]:
    """Every image of the catalogue, the default one first."""
    goldens, bases = _kept(paths.goldens, "golden.json"), _kept(paths.images, "meta.json")
    found = []
    for image in load_catalogue().values():
        golden, base = goldens.get(image.name, 0), bases.get(image.name, 0)
        state = "provisioned" if golden else "fetched" if base else "no"
        found.append(ImageState(image.name, image.title, image.arches, image.default, state, golden + base))
    return found


def _kept(directory: Path, meta: str) -> dict[str, int]:
    """Bytes on disk by image name, read from the records in a directory of goldens or bases."""
    sizes: dict[str, int] = {}
    for record in directory.glob(f"*/{meta}"):
        try:
            name = json.loads(record.read_bytes()).get("image", "")
        except (OSError, ValueError, AttributeError):
            continue
        files = [path.stat() for path in record.parent.iterdir()]
        sizes[name] = sizes.get(name, 0) + sum(file.st_blocks * 512 for file in files)
    return sizes
