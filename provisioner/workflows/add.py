"""``add``: further packages for a running instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from provisioner.core.errors import GuestError
from provisioner.core.reporter import Reporter
from provisioner.guest.base import Guest
from provisioner.guest.manager import PackageManager, package_manager
from provisioner.guest.packages import expand


@dataclass(frozen=True)
class Added:
    """Package -> version, of those installed now and of those that were there before."""

    installed: Mapping[str, str]
    already: Mapping[str, str]


def add_packages(guest: Guest, names: Sequence[str], manager: str, reporter: Reporter) -> Added:
    """Install what ``names`` mean to the guest's ``manager`` (see `packages.TOOLS`), unless it is there.

    Safe to repeat after an interruption. Raises UsageError("bad-package"), GuestError as ``package_error``.
    """
    packages, installer = expand(names, manager), package_manager(manager)
    already = installer.find_versions(guest, packages)
    missing = installer.find_missing(guest, packages)
    if not missing:
        return Added({}, already)
    _install(guest, installer, missing, reporter, f"Installing {' '.join(names)}")
    there = installer.find_versions(guest, packages)
    installed = {name: version for name, version in there.items() if already.get(name) != version}
    return Added(installed, {name: version for name, version in there.items() if name not in installed})


def _install(
    guest: Guest, installer: PackageManager, packages: Sequence[str], reporter: Reporter, title: str
) -> None:
    """With the package lists that are there, which may serve: fetching them takes longer than most packages."""
    try:
        installer.install(guest, packages, reporter, title)
    except GuestError as exc:
        # No lists, or lists that name versions which the mirror has replaced.
        if exc.code not in {"unknown-package", "mirror-unreachable"}:
            raise
        installer.update(guest, reporter)
        installer.install(guest, packages, reporter, title)
    installer.clean(guest)
