"""From a base image to a golden: boot it once, provision it over SSH, freeze it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.backends.base import Backend, DirectBoot, Endpoint, Machine
from provisioner.core.errors import EbpfDevError, GuestError, UsageError
from provisioner.core.files import locked, write_json
from provisioner.core.paths import Paths, ensure_dir
from provisioner.core.reporter import Reporter
from provisioner.core.settings import Settings
from provisioner.guest.base import HOME
from provisioner.guest.connection import SSHGuest, connect
from provisioner.guest.identity import Identity
from provisioner.guest.keeper import build_keeper
from provisioner.guest.kernels import INITRD, KERNEL, take_out
from provisioner.guest.manager import package_manager
from provisioner.guest.network import NetworkSettings, apply_network
from provisioner.guest.packages import expand
from provisioner.guest.recipe import Recipe, provision, read_os_release
from provisioner.guest.vmlinux import ensure_vmlinux
from provisioner.images.base import BaseImage
from provisioner.images.catalogue import Image
from provisioner.images.golden import DAMAGED, META, SCHEMA, Golden, foreign_cmdline, golden_key, read_golden
from provisioner.images.own import image_like
from provisioner.images.sources import ensure_base

#: Seconds from power-on to sshd's banner, on a slow and busy host that emulates; an image of our own, and a
#: foreign one, which starts through firmware and a boot loader and sets itself up.
_BOOT, _FOREIGN_BOOT = 400.0, 900.0
#: Seconds from the banner until cloud-init has written root's authorized_keys.
_ADMISSION = 300.0


def ensure_golden(
    image: Image,
    settings: Settings,
    network: NetworkSettings,
    identity: Identity,
    backend: Backend,
    paths: Paths,
    reporter: Reporter,
) -> Golden:
    """The golden for an image and settings, provisioned unless it is there.

    One process at a time provisions a key; a second one waits and then finds it done. Whatever an
    interrupted time left in KEY.partial is taken up again.
    """
    recipe = recipe_for(image, settings)
    base = ensure_base(image, settings, identity, paths, reporter)
    wanted = recipe.digest if recipe else f"as os-release says, and {sorted(settings.packages)}"
    form = backend.disk_form(settings.arch)
    key = golden_key(base.key, wanted, identity.fingerprint, *([] if form == "qcow2" else [form]))
    directory = paths.goldens / key
    on_wait = lambda: reporter.note("Another ebpf-dev is provisioning this image; waiting for it.")  # noqa: E731
    with locked(paths.locks / f"golden-{key}.lock", on_wait):
        maker = _GoldenMaker(image, base, settings, network, identity, backend, paths, reporter)
        return whole_golden(directory, reporter) or maker.make(key)


def whole_golden(directory: Path, reporter: Reporter) -> Golden | None:
    """The golden in ``directory``; one that is damaged is removed, to be made anew."""
    try:
        return read_golden(directory)
    except DAMAGED as exc:
        if directory.exists():
            reporter.warn(f"The provisioned disk {directory.name} is damaged ({exc}); making it anew.")
            shutil.rmtree(directory)
        return None


def recipe_for(image: Image, settings: Settings) -> Recipe | None:
    """What to install; None for a disk image of the user's own, before its guest has said what it is.

    Raises UsageError("unknown-arch") for an image that is not described for this architecture.
    """
    if not image.packages:
        return None
    if settings.arch not in image.packages:
        raise UsageError(f"The image {image.name} is not described for {settings.arch}", code="unknown-arch")
    packages = image.packages[settings.arch]
    extra = tuple(expand(settings.packages, image.manager))
    return Recipe(packages.kernel, packages.toolchain, extra, image.manager, image.libbpf)


@dataclass(frozen=True)
class _GoldenMaker:
    """Provisions one golden in KEY.partial and renames it when whole."""

    image: Image
    base: BaseImage
    settings: Settings
    network: NetworkSettings
    identity: Identity
    backend: Backend
    paths: Paths
    reporter: Reporter

    def make(self, key: str) -> Golden:
        partial = ensure_dir(self.paths.goldens / f"{key}.partial")
        machine = self._machine(key, partial)
        try:
            meta = self._provision(machine, partial)
        except EbpfDevError:
            # Its disk stays for the next `up`; powered off cleanly so that nothing in it is torn.
            self.backend.stop(machine, timeout=90)
            raise
        except BaseException:
            self.backend.stop(machine, force=True)
            raise
        with self.reporter.step("Freezing the provisioned disk"):
            return freeze(self.backend, machine, {**meta, "network_digest": self.network.digest})

    def _machine(self, key: str, partial: Path) -> Machine:
        return Machine(
            name=f"golden-{key}",
            directory=partial,
            sockets=self.paths.runtime,
            arch=self.settings.arch,
            cpus=self.settings.cpus,
            memory=self.settings.memory,
            disk_size=self.settings.disk,
            base_disk=self.base.disk,
            boot=self.base.boot,
            seed=self.base.seed,
            accelerator=self.settings.accelerator,
        )

    def _provision(self, machine: Machine, partial: Path) -> dict[str, str]:
        self.backend.create(machine)
        foreign = machine.seed is not None
        endpoint = self.backend.start(machine, self.reporter, _FOREIGN_BOOT if foreign else _BOOT)
        with self._admitted(endpoint) if foreign else connect(endpoint, self.identity) as guest:
            if greeting := self.backend.greeting(machine):
                guest.run(greeting)
            like = self.image if self.image.packages else image_like(read_os_release(guest))
            recipe = recipe_for(like, self.settings)
            assert recipe is not None
            with self.reporter.step("Carrying over proxy and certificates"):
                apply_network(guest, self.network, package_manager(recipe.manager))
            release = provision(guest, recipe, self.reporter)
            kernel, initrd = self._fetch_kernel(guest, release, partial)
            cmdline = self._cmdline(guest)
            self._settle(guest, release, machine.arch)
        return {
            "image": self.settings.image,
            "like": self.settings.image if like is self.image else like.name,
            "arch": machine.arch,
            "release": release,
            "image_release": release,
            "cmdline": cmdline,
            "kernel": kernel,
            "initrd": initrd,
        }

    def _admitted(self, endpoint: Endpoint) -> SSHGuest:
        """A connection to a foreign image, whose sshd may answer before cloud-init has planted our keys."""
        with self.reporter.step("Waiting for cloud-init to let us in") as step:
            deadline = time.monotonic() + _ADMISSION
            while True:
                try:
                    return connect(endpoint, self.identity)
                except GuestError as exc:
                    if time.monotonic() > deadline:
                        raise
                    step.detail(exc.brief)
                    time.sleep(1)

    def _fetch_kernel(self, guest: SSHGuest, release: str, partial: Path) -> tuple[str, str]:
        """Host paths of the kernel to boot: the base's own when it is that release, else taken out."""
        boot = self.base.boot
        if isinstance(boot, DirectBoot) and self.base.release == release:
            return str(boot.kernel), str(boot.initrd)
        with self.reporter.step(f"Fetching kernel {release}"):
            take_out(guest, release, partial)
        final = partial.with_suffix("")
        return str(final / KERNEL), str(final / INITRD)

    def _cmdline(self, guest: SSHGuest) -> str:
        if isinstance(self.base.boot, DirectBoot):
            return self.base.boot.cmdline
        uuid, subvolume = guest.run(["findmnt", "-no", "UUID,FSROOT", "/"]).stdout.split()
        return foreign_cmdline(f"UUID={uuid}", subvolume.strip("/"))

    def _settle(self, guest: SSHGuest, release: str, arch: str) -> None:
        if guest.run(["uname", "-r"]).stdout.strip() == release:
            with self.reporter.step("Precompiling vmlinux.h"):
                ensure_vmlinux(guest, HOME, arch)
        build_keeper(guest)
        # A foreign image must not run cloud-init again: it would cost seconds at every boot.
        guest.run(["sh", "-c", "[ ! -d /etc/cloud ] || touch /etc/cloud/cloud-init.disabled; sync"])


def freeze(backend: Backend, machine: Machine, meta: Mapping[str, str]) -> Golden:
    """End a provisioned machine, whose directory is KEY.partial, by making a golden of it."""
    partial = machine.directory
    disk = partial / "disk.qcow2"
    backend.freeze(machine, disk)
    for entry in partial.iterdir():
        if entry.name not in {"disk.qcow2", KERNEL, INITRD}:
            entry.unlink()
    size = disk.stat().st_size
    record = {"schema": SCHEMA, **meta, "disk_size": size, "base_disk": str(machine.base_disk)}
    write_json(partial / META, record)
    final = partial.with_suffix("")
    partial.rename(final)
    return read_golden(final)
