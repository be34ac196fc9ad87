"""``kernels``: the pairs that an instance's distribution offers, and what each would bring."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.core.paths import Paths
from provisioner.core.reporter import Reporter
from provisioner.guest.kernel_features import FEATURES, features_of
from provisioner.guest.kernel_pairs import KernelPair, flavour
from provisioner.guest.kernels import find_pairs
from provisioner.guest.manager import package_manager
from provisioner.workflows.instances import connected, distribution_of, open_instance


@dataclass(frozen=True)
class KernelOffer:
    """One kernel release. ``state`` is "running", "installed", "offered" or "incomplete".

    ``features`` are read off its configuration when it is installed, else told from its version (``certain``
    False). ``missing`` names the packages that the distribution has no more of an incomplete one.
    """

    release: str
    origin: str
    state: str
    features: tuple[str, ...]
    certain: bool
    missing: tuple[str, ...]


@dataclass(frozen=True)
class KernelList:
    """``offers`` are of the flavour that runs, the newest first."""

    running: str
    offers: tuple[KernelOffer, ...]

    @property
    def running_features(self) -> tuple[str, ...]:
        return next((offer.features for offer in self.offers if offer.state == "running"), ())

    def gained(self, offer: KernelOffer) -> list[str]:
        """What the offer has and the running kernel has not ("+name"), and the other way round ("-name")."""
        has = self.running_features
        signs = [(f.name, f.name in offer.features, f.name in has) for f in FEATURES]
        return [f"{'+' if there else '-'}{name}" for name, there, here in signs if there != here]


def list_kernels(name: str, paths: Paths, reporter: Reporter) -> KernelList:
    """Ask a running instance's package manager; the instance is left as it is.

    Raises InstanceError("not-running") and the errors of fetching package lists.
    """
    instance = open_instance(name, paths)
    image = distribution_of(instance)
    with connected(instance) as guest:
        running = guest.run(["uname", "-r"]).stdout.strip()
        pairs = find_pairs(guest, package_manager(image.manager), image.backports, reporter)
    kin = [pair for pair in pairs if flavour(pair.release) == flavour(running)]
    return KernelList(running, tuple(_offer(pair, running, instance.record.arch) for pair in kin))


def _offer(pair: KernelPair, running: str, arch: str) -> KernelOffer:
    if pair.release == running:
        state = "running"
    elif pair.installed:
        state = "installed"
    else:
        state = "offered" if pair.whole else "incomplete"
    features = tuple(features_of(pair, arch))
    return KernelOffer(pair.release, pair.origin, state, features, bool(pair.config), pair.missing)
