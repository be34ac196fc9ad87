"""``images``: what the catalogue offers, what of it is on this disk, and getting it there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.paths import Paths
from provisioner.core.reporter import Reporter
from provisioner.core.settings import Settings
from provisioner.guest.identity import ensure_identity
from provisioner.images.base import META as BASE_META
from provisioner.images.base import BaseImage
from provisioner.images.catalogue import load_catalogue
from provisioner.images.disk import disk_usage
from provisioner.images.golden import META as GOLDEN_META
from provisioner.images.own import image_for
from provisioner.images.sources import ensure_base


@dataclass(frozen=True)
class ImageState:
    """``state`` is "golden" (provisioned), "cached" (its disk is here) or "download"; ``size`` in bytes."""

    name: str
    title: str
    arches: tuple[str, ...]
    default: bool
    state: str
    size: int


def list_images(paths: Paths) -> list[ImageState]:
    """Every image of the catalogue, the default one first, then those of the user's own that are here."""
    goldens, bases = _kept(paths.goldens, GOLDEN_META), _kept(paths.images, BASE_META)
    catalogue = load_catalogue()
    found = [
        _state(image.name, image.title, image.arches, image.default, goldens, bases)
        for image in catalogue.values()
    ]
    others = sorted(name for name in goldens | bases if name and name not in catalogue)
    return found + [_state(name, "an image of your own", (), False, goldens, bases) for name in others]


def pull_image(settings: Settings, paths: Paths, reporter: Reporter) -> BaseImage:
    """The disk of the image that the settings name, fetched or built unless it is here; nothing is provisioned.

    Raises UsageError("unknown-image") and the errors of ``ensure_base``.
    """
    return ensure_base(image_for(settings.image), settings, ensure_identity(paths), paths, reporter)


def _state(
    name: str, title: str, arches: tuple[str, ...], default: bool, goldens: dict[str, int], bases: dict[str, int]
) -> ImageState:
    state = "golden" if name in goldens else "cached" if name in bases else "download"
    return ImageState(name, title, arches, default, state, goldens.get(name, 0) + bases.get(name, 0))


def _kept(directory: Path, meta: str) -> dict[str, int]:
    """Bytes on disk by image name, read from the records in a directory of goldens or bases."""
    sizes: dict[str, int] = {}
    for record in directory.glob(f"*/{meta}"):
        try:
            name = str(json.loads(record.read_bytes()).get("image", ""))
        except (OSError, ValueError, AttributeError):
            continue
        sizes[name] = sizes.get(name, 0) + disk_usage(record.parent)
    return sizes
