"""The images that can be used: ``vm-images/*.yaml``, read, checked and turned into values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.core.errors import InstanceError, UsageError
from provisioner.core.host import ARCHES
from provisioner.core.resources import data_dir
from provisioner.guest.manager import MANAGERS
from provisioner.images.schema import Mistakes, Section

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
#: Hex digits of each digest that hashlib and the distributions' checksum files agree on.
DIGEST_LENGTHS = {"sha256": 64, "sha512": 128}
DISTRIBUTIONS = ("debian", "ubuntu")


@dataclass(frozen=True)
class RemoteFile:
    """A file to download; ``digest`` is ``"sha256:HEX"`` or ``"sha512:HEX"``.

    Without a digest ``checksums`` names the file in the same directory that lists it.
    """

    location: str
    digest: str | None = None
    checksums: str | None = None


@dataclass(frozen=True)
class CloudRow:
    """One official cloud image. With ``kernel`` and ``initrd`` it is booted without its boot loader."""

    arch: str
    disk: RemoteFile
    kernel: RemoteFile | None = None
    initrd: RemoteFile | None = None
    root: str = ""


@dataclass(frozen=True)
class Packages:
    """What provisioning installs: ``kernel`` is image and headers of one series, as metapackages."""

    kernel: tuple[str, ...]
    toolchain: tuple[str, ...]


@dataclass(frozen=True)
class BuildRecipe:
    """How to make the disk from distribution packages; ``updates`` are suites used when they can be had."""

    distribution: str
    suite: str
    updates: tuple[str, ...]
    components: tuple[str, ...]
    keyring: str
    include: tuple[str, ...]


@dataclass(frozen=True)
class Image:
    """One catalogue entry; ``packages`` by architecture, ``rows`` in the order to try them.

    ``manager`` installs packages in its guests, ``backports`` is the suite of its distribution with newer
    kernels, "" where there is none; ``libbpf`` one whose libbpf is built in the guest, "" for the guest's own.
    """

    name: str
    title: str
    default: bool
    login_user: str
    manager: str
    backports: str
    libbpf: str
    packages: Mapping[str, Packages]
    rows: tuple[CloudRow, ...]
    build: BuildRecipe | None

    def rows_for(self, arch: str) -> tuple[CloudRow, ...]:
        return tuple(row for row in self.rows if row.arch == arch)

    @property
    def arches(self) -> tuple[str, ...]:
        """Architectures that it can be provisioned for."""
        return tuple(arch for arch in ARCHES if arch in self.packages)


def load_catalogue(directory: Path | None = None) -> dict[str, Image]:
    """Every image by name, the default one first; ``directory`` is the tool's own unless given.

    Raises InstanceError("bad-catalogue") listing each mistake with its file and field.
    """
    mistakes = Mistakes()
    images = [_load(path, mistakes) for path in sorted((directory or data_dir("vm-images")).glob("*.yaml"))]
    found = [image for image in images if image is not None]
    if not mistakes and sum(image.default for image in found) != 1:
        mistakes.add("*.yaml: default", "exactly one image must say `default: true`")
    if mistakes:
        raise InstanceError(
            f"The image catalogue has {mistakes.summary}",
            code="bad-catalogue",
            details=str(mistakes),
            hint="Correct the files named, or reinstall ebpf-dev.",
        )
    return {image.name: image for image in sorted(found, key=lambda image: (not image.default, image.name))}


def load_image(path: Path) -> Image:
    """The image that a catalogue file of the user's own describes; raises UsageError("bad-image")."""
    mistakes = Mistakes()
    image = _load(path, mistakes)
    if image is None:
        raise UsageError(f"{path} has {mistakes.summary}", code="bad-image", details=str(mistakes))
    return image


def find_image(name: str, catalogue: Mapping[str, Image] | None = None) -> Image:
    """The image called ``name``; raises UsageError("unknown-image") with the list and near names."""
    catalogue = load_catalogue() if catalogue is None else catalogue
    if name in catalogue:
        return catalogue[name]
    near = difflib.get_close_matches(name.lower(), catalogue, n=2, cutoff=0.5)
    raise UsageError(
        f"There is no image called {name!r}",
        code="unknown-image",
        details="\n".join(f"{image.name}: {image.title}" for image in catalogue.values()),
        hint=f"Did you mean {' or '.join(near)}?" if near else "Choose one of those with --image.",
    )


def default_image(catalogue: Mapping[str, Image] | None = None) -> Image:
    """The image used when nobody names one."""
    catalogue = load_catalogue() if catalogue is None else catalogue
    return next(image for image in catalogue.values() if image.default)


def parse_image(data: Any, where: str, mistakes: Mistakes) -> Image | None:
    """The image described by one catalogue file's content; None when something in it was wrong.

    ``where`` is the file's name, which must be the image's name too.
    """
    before = len(mistakes)
    top = Section(data, where, mistakes)
    name = top.text("name", pattern=_NAME)
    if name and where != f"{name}.yaml":
        mistakes.add(f"{where}: name", f"must be {where.removesuffix('.yaml')!r}, as the file is called")
    image = Image(
        name=name,
        title=top.text("title"),
        default=top.flag("default"),
        login_user=_parse_login(top.section("login")),
        manager=top.choice("manager", MANAGERS) if "manager" in top else "apt",
        backports=top.text("backports") if "backports" in top else "",
        libbpf=top.text("libbpf") if "libbpf" in top else "",
        packages=_parse_packages(top.section("packages")),
        rows=tuple(_parse_row(row) for row in top.sections("images")),
        build=_parse_build(top.section("build")) if "build" in top else None,
    )
    top.finish()
    return image if len(mistakes) == before else None


def _load(path: Path, mistakes: Mistakes) -> Image | None:
    import yaml

    try:
        data = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as exc:
        mistakes.add(path.name, str(exc))
        return None
    return parse_image(data, path.name, mistakes)


def _parse_login(section: Section) -> str:
    user = section.text("user")
    section.finish()
    return user


def _parse_packages(section: Section) -> dict[str, Packages]:
    found = {}
    for arch in ARCHES:
        if arch in section:
            part = section.section(arch)
            found[arch] = Packages(part.words("kernel"), part.words("toolchain"))
            part.finish()
    section.finish()
    return found


def _parse_row(section: Section) -> CloudRow:
    row = CloudRow(
        arch=section.choice("arch", ARCHES),
        disk=_parse_file(section),
        kernel=_parse_part(section, "kernel"),
        initrd=_parse_part(section, "initrd"),
        root=section.text("root") if "root" in section else "",
    )
    given = (row.kernel is not None, row.initrd is not None, bool(row.root))
    if any(given) and not all(given):
        section.mistake("kernel", "`kernel`, `initrd` and `root` go together: give all three or none")
    section.finish()
    return row


def _parse_part(section: Section, key: str) -> RemoteFile | None:
    if key not in section:
        return None
    part = section.section(key)
    file = _parse_file(part)
    part.finish()
    return file


def _parse_file(section: Section) -> RemoteFile:
    location = section.text("location", pattern=re.compile(r"https?://[^/\s]+/\S+"))
    digest = section.text("digest") if "digest" in section else None
    checksums = section.text("checksums") if "checksums" in section else None
    if (digest is None) == (checksums is None):
        section.mistake("digest", "give either `digest` or `checksums`, so that the file can be verified")
    if digest is not None and not is_digest(digest):
        section.mistake("digest", f"must be sha256:HEX or sha512:HEX of full length, not {digest[:40]!r}")
    return RemoteFile(location, digest, checksums)


def _parse_build(section: Section) -> BuildRecipe:
    recipe = BuildRecipe(
        distribution=section.choice("distribution", DISTRIBUTIONS),
        suite=section.text("suite"),
        updates=section.words("updates") if "updates" in section else (),
        components=section.words("components"),
        keyring=section.text("keyring"),
        include=section.words("include"),
    )
    section.finish()
    return recipe


def is_digest(text: str) -> bool:
    """Whether ``text`` is a digest in full: algorithm, colon, lower-case hex."""
    algorithm, _, value = text.partition(":")
    return len(value) == DIGEST_LENGTHS.get(algorithm) and re.fullmatch(r"[0-9a-f]+", value) is not None
