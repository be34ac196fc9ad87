"""A user's own image: a catalogue file of theirs, a disk image's path, or its address with a digest."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from provisioner.core.errors import UsageError
from provisioner.core.host import ARCHES
from provisioner.images.catalogue import (
    CloudRow,
    Image,
    RemoteFile,
    find_image,
    is_digest,
    load_catalogue,
    load_image,
)

_HINT = (
    "Give a disk image (./my.qcow2), an address with its digest (https://HOST/my.qcow2#sha256:HEX), or a file "
    "like those in vm-images (./my.yaml)."
)


def is_own(text: str) -> bool:
    """Whether the setting ``image`` names a file or an address and not an entry of the catalogue."""
    return "/" in text


def image_for(text: str) -> Image:
    """The image that the setting ``image`` means; raises UsageError("unknown-image", "bad-image").

    A disk image brings no list of packages: what is installed in it, its guest's os-release(5) decides.
    """
    if not is_own(text):
        return find_image(text)
    if text.startswith(("http://", "https://")):
        return _disk(text, _remote(text))
    path = Path(text)
    if not path.is_file():
        raise UsageError(f"The image {path} does not exist", code="bad-image", hint=_HINT)
    if path.suffix in (".yaml", ".yml"):
        return load_image(path)
    return _disk(text, RemoteFile(path.absolute().as_uri()))


def image_like(release: dict[str, str]) -> Image:
    """The catalogue's entry whose packages fit a guest with this os-release(5), best of the same version.

    Raises UsageError("unknown-distribution").
    """
    distribution, version = release.get("ID", ""), release.get("VERSION_ID", "")
    catalogue = load_catalogue()
    if found := catalogue.get(f"{distribution}-{version}"):
        return found
    kin = [image for image in catalogue.values() if image.name.startswith(f"{distribution}-")]
    if distribution and kin:
        return kin[0]
    raise UsageError(
        f"What to install in a guest with {release.get('PRETTY_NAME') or 'no os-release'} is not known",
        code="unknown-distribution",
        details=f"ID={distribution} VERSION_ID={version}; known are {', '.join(catalogue)}",
        hint="Describe the image, with its packages, in a file like those in vm-images: `image: ./my.yaml`.",
    )


def _remote(text: str) -> RemoteFile:
    location, _, digest = text.partition("#")
    if not is_digest(digest):
        raise UsageError(f"The image {location} needs a digest", code="bad-image", hint=_HINT)
    return RemoteFile(location, digest)


def _disk(text: str, file: RemoteFile) -> Image:
    stem = Path(urlsplit(file.location).path).stem.lower()
    return Image(
        name=re.sub(r"[^a-z0-9.-]+", "-", stem).strip("-.")[:40] or "own",
        title=text,
        default=False,
        login_user="root",
        manager="apt",
        backports="",
        libbpf="",
        packages={},
        rows=tuple(CloudRow(arch, file) for arch in ARCHES),
        build=None,
    )
