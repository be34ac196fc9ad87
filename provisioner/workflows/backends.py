"""Every backend by its name: what makes one for a user's directories."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from provisioner.backends.base import Backend
from provisioner.core.errors import UsageError
from provisioner.core.paths import Paths
from provisioner.guest.identity import Identity


def make_backend(name: str, paths: Paths) -> Backend:
    """The backend called ``name``; raises UsageError("unknown-backend")."""
    try:
        make = _MAKERS[name]
    except KeyError:
        raise UsageError(
            f"There is no backend named '{name}'",
            code="unknown-backend",
            hint=f"There are: {', '.join(_MAKERS)}.",
        ) from None
    return make(paths)


def all_backends(paths: Paths) -> list[Backend]:
    """One of each, for what may have been made by any."""
    return [make(paths) for make in _MAKERS.values()]


def _qemu(paths: Paths) -> Backend:
    from provisioner.backends.qemu.backend import QemuBackend

    return QemuBackend(paths.host_facts)


def _lima(paths: Paths) -> Backend:
    from provisioner.backends.lima.backend import LimaBackend

    return LimaBackend(paths.lima, paths.host_facts, Identity(paths.identity))


_MAKERS: Mapping[str, Callable[[Paths], Backend]] = {"qemu": _qemu, "lima": _lima}
