"""The data folders that travel with the tool: templates/, vm-images/, examples/."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def data_dir(name: str) -> Path:
    """The folder ``name`` as installed by the wheel, or from the checkout when running from one.

    An editable install has no ``_data`` folder beside the package, which is why both are looked up.
    """
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def runner_sources() -> dict[str, Path]:
    """The C sources of the guest-side runner and its Makefile: name below their folder -> file, in order."""
    folder = _PACKAGE / "runner"
    files = [path for path in folder.rglob("*") if path.suffix in {".c", ".h"} or path.name == "Makefile"]
    return {path.relative_to(folder).as_posix(): path for path in sorted(files)}


def keeper_source() -> Path:
    """The C source of the keeper, the process in the guest that sets resumed machines right."""
    return _PACKAGE / "keeper" / "keeper.c"
