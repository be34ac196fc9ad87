"""``add``: further packages for a running instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from provisioner.core.errors import GuestError
from provisioner.core.reporter import Reporter
from provisioner.guest import apt
from provisioner.guest.base import Guest
from provisioner.guest.packages import expand


@dataclass(frozen=True)
class Added:
    """Package -> version, of those installed now and of those that were there before."""

    installed: Mapping[str, str]
    already: Mapping[str, str]


def add_packages(guest: Guest, names: Sequence[str], reporter: Reporter) -> Added:
    """Install what ``names`` mean (see `packages.TOOLS`), unless it is there.

    Safe to repeat after an interruption. Raises UsageError("bad-package"), GuestError ("unknown-package",
    "mirror-unreachable", "guest-disk-full", "apt-failed").
    """
    packages = expand(names)
    missing = apt.find_missing(guest, packages)
    if missing:
        _install(guest, missing, reporter, f"Installing {' '.join(names)}")
    versions = apt.find_versions(guest, packages)
    new = {apt.bare_name(name) for name in missing}
    return Added(
        installed={name: version for name, version in versions.items() if name in new},
        already={name: version for name, version in versions.items() if name not in new},
    )


def _install(guest: Guest, packages: Sequence[str], reporter: Reporter, title: str) -> None:
    """With the package lists that are there, which may serve: fetching them takes longer than most packages."""
    try:
        apt.install(guest, packages, reporter, title)
    except GuestError as exc:
        # No lists, or lists that name versions which the mirror has replaced.
        if exc.code not in {"unknown-package", "mirror-unreachable"}:
            raise
        apt.update(guest, reporter)
        apt.install(guest, packages, reporter, title)
    apt.clean(guest)
