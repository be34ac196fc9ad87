"""The seam to a distribution's package manager; the modules ``apt`` and ``dnf`` are its two implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from provisioner.core.reporter import Reporter
from provisioner.guest.base import Guest
from provisioner.guest.kernel_pairs import KernelPair

MANAGERS = ("apt", "dnf")


class PackageManager(Protocol):
    """What provisioning asks of a package manager. Everything can be repeated after an interruption.

    Raises GuestError("mirror-unreachable", "guest-disk-full") or an error of its own with its own words.
    """

    #: Where the guest looks for an administrator's CA certificates, as a prefix of our files; and what has to
    #: be run, with the files as arguments, when there are only new ones, and when old ones went.
    CA_PREFIX: str
    TRUST_NEW: str
    TRUST_ANEW: str
    #: The file in which it finds its proxy, and the template of that file.
    PROXY_FILE: str
    PROXY_TEMPLATE: str

    def find_missing(self, guest: Guest, packages: Sequence[str]) -> list[str]:
        """Those of ``packages`` that are not installed in full."""

    def update(self, guest: Guest, reporter: Reporter) -> None:
        """Fetch the package lists."""

    def install(self, guest: Guest, packages: Sequence[str], reporter: Reporter, title: str) -> None:
        """Install packages without recommendations; finishes first what an interrupted time began."""

    def clean(self, guest: Guest) -> None:
        """Remove what was downloaded and no instance needs."""

    def find_kernels(self, guest: Guest, backports: str, reporter: Reporter) -> list[KernelPair]:
        """What is on offer, also in the suite ``backports`` ("" for none), which the guest need not know yet."""

    def install_kernel(self, guest: Guest, pair: KernelPair, reporter: Reporter) -> None:
        """Install a pair that ``find_kernels`` found just now."""


def package_manager(name: str) -> PackageManager:
    """The package manager called so in the catalogue: one of ``MANAGERS``."""
    from provisioner.guest import apt, dnf

    if name == "dnf":
        return dnf
    return apt
