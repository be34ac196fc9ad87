"""The seam to a distribution's package manager; the modules ``apt`` and ``dnf`` are its two implementations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from provisioner.core.errors import GuestError
from provisioner.core.reporter import Reporter
from provisioner.guest.base import Guest
from provisioner.guest.kernel_pairs import KernelPair

MANAGERS = ("apt", "dnf")


class PackageManager(Protocol):
    """What provisioning asks of a package manager. Everything can be repeated after an interruption.

    Raises GuestError with the codes of ``package_error``.
    """

    #: Where the guest looks for an administrator's CA certificates, as a prefix of our files; where it keeps all
    #: that it trusts; and what has to be run when ours have changed, with the store, the prefix and our files.
    CA_PREFIX: str
    CA_STORE: str
    TRUST: str
    #: The file in which it finds its proxy, and the template of that file.
    PROXY_FILE: str
    PROXY_TEMPLATE: str

    def find_missing(self, guest: Guest, packages: Sequence[str]) -> list[str]:
        """Those of ``packages`` that are not installed in full."""

    def find_versions(self, guest: Guest, packages: Sequence[str]) -> dict[str, str]:
        """Bare name -> version of those of ``packages`` that are installed, in their order."""

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


@dataclass(frozen=True)
class Words:
    """How a package manager says what went wrong; ``search`` is its command for finding a package."""

    unreachable: Sequence[str]
    full: Sequence[str]
    unknown: re.Pattern[str]
    search: str


def package_error(command: str, status: int, details: str, words: Words) -> GuestError:
    """What `command`, which ended with ``status`` and said ``details``, failed of.

    GuestError("mirror-unreachable"), "guest-disk-full", "unknown-package"; "packages-failed" for anything else.
    """
    if any(word in details for word in words.unreachable):
        return GuestError(
            "The guest cannot reach its package mirror",
            code="mirror-unreachable",
            details=details,
            hint="Check the network. Behind a proxy set `proxy:`, for another mirror `mirror:` in ebpf-dev.yaml "
            "(or --proxy, --mirror) and run `ebpf-dev up`; it goes on where it stopped.",
        )
    if any(word in details for word in words.full):
        return GuestError(
            "The guest's disk is full",
            code="guest-disk-full",
            details=details,
            hint="Give it more: `ebpf-dev delete`, then `ebpf-dev up --disk 40G`.",
        )
    if unknown := [name for groups in words.unknown.finditer(details) for name in groups.groups() if name]:
        return GuestError(
            f"The guest's distribution has no package called {' or '.join(dict.fromkeys(unknown))}",
            code="unknown-package",
            details=details,
            hint=f"`ebpf-dev exec -- {words.search} WORD` finds packages by what they are for.",
        )
    return GuestError(
        f"{command} failed in the guest with status {status}",
        code="packages-failed",
        details=details,
        hint="The same command again goes on from where it stopped.",
    )
