"""The files that make a bare package tree ours: ``templates/guest/`` as tar archives with exact owners."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from provisioner.core.resources import data_dir
from provisioner.core.templates import render

_TEMPLATES = "guest"


def make_overlay(stage: str, values: Mapping[str, object]) -> bytes:
    """A tar archive of ``templates/guest/STAGE``, everything owned by root.

    ``*.j2`` files are rendered with ``values`` and lose that ending. The stage ``final`` also carries the
    links: the resolver's file that the initramfs writes, and to /dev/null every unit and generator that a
    development machine does without.
    """
    root = data_dir("templates") / _TEMPLATES / stage
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                name = path.relative_to(root).as_posix()
                _add_file(
                    archive, name.removesuffix(".j2"), _content(path, f"{_TEMPLATES}/{stage}/{name}", values)
                )
        if stage == "final":
            for name, target in _links().items():
                _add_link(archive, name, target)
    return buffer.getvalue()


def guest_templates() -> bytes:
    """The content of everything below ``templates/guest``, to tell when an image must be built anew."""
    root = data_dir("templates") / _TEMPLATES
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return b"".join(path.relative_to(root).as_posix().encode() + path.read_bytes() for path in files)


def masks() -> list[str]:
    """Paths, relative to the root, of the units and generators to switch off."""
    return [
        *(f"etc/systemd/system/{unit}" for unit in _words("masked-units.txt")),
        *(f"etc/systemd/system-generators/{name}" for name in _words("masked-generators.txt")),
    ]


def _links() -> dict[str, str]:
    return {"etc/resolv.conf": "/run/ebpf-dev/resolv.conf", **dict.fromkeys(masks(), "/dev/null")}


def _words(name: str) -> Iterator[str]:
    for line in (data_dir("templates") / _TEMPLATES / name).read_text().splitlines():
        if line and not line.startswith("#"):
            yield line


def _content(path: Path, template: str, values: Mapping[str, object]) -> bytes:
    return render(template, **values).encode() if path.suffix == ".j2" else path.read_bytes()


def _add_file(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(f"./{name}")
    info.size, info.mode = len(data), _mode(name)
    archive.addfile(info, io.BytesIO(data))


def _add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    info = tarfile.TarInfo(f"./{name}")
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    archive.addfile(info)


def _mode(name: str) -> int:
    # Not taken from the files: a wheel does not keep modes, and sshd refuses keys that others may read.
    if name.startswith("root/.ssh/") or name.endswith("_key"):
        return 0o600
    return 0o755 if "/hooks/" in name else 0o644
