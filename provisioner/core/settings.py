"""The settings that there are; `config.py` finds out what they are set to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from provisioner.core.host import default_backend, host_arch
from provisioner.core.sizes import GIB, format_size


@dataclass(frozen=True)
class Settings:
    """What the user wants, after all layers; ``memory`` and ``disk`` in bytes.

    ``kernel`` is "default", the image's own, or a word of ``guest/kernel_pairs.py``. ``arch`` is the host's
    unless told, ``mirror`` and ``proxy`` None mean its own. ``ca`` holds absolute paths of certificate files.
    ``origin`` says for each field where its value was written, in words to show.
    """

    image: str = "debian-13"
    kernel: str = "default"
    backend: str = field(default_factory=default_backend)
    arch: str = field(default_factory=host_arch)
    accelerator: str = "auto"
    cpus: int = 2
    memory: int = 2 * GIB
    disk: int = 20 * GIB
    packages: tuple[str, ...] = ()
    mirror: str | None = None
    image_mirror: str | None = None
    proxy: str | None = None
    ca: tuple[Path, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict, compare=False)


SETTINGS = tuple(item.name for item in fields(Settings) if item.name != "origin")
LIST_SETTINGS = frozenset({"packages", "ca"})
OPTIONAL_SETTINGS = frozenset({"image_mirror", "mirror", "proxy"})


@dataclass(frozen=True)
class Written:
    """One setting as somebody wrote it: text, a list of texts or nothing, and the place, in words.

    ``where`` says it in a mistake, ``base`` is the directory that relative paths start from.
    """

    name: str
    value: str | list[str] | None
    where: str
    base: Path


def describe_settings(settings: Settings) -> list[tuple[str, str, str]]:
    """Name, value and origin of every setting, as texts to show."""
    return [(name, _in_words(name, getattr(settings, name)), settings.origin.get(name, "")) for name in SETTINGS]


def _in_words(name: str, value: object) -> str:
    if name in ("memory", "disk"):
        return format_size(int(str(value)))
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "the host's" if value is None else str(value)
