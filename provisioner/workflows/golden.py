"""From a base image to a golden: boot it once, provision it over SSH, freeze it."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from provisioner.backends.base import Backend, DirectBoot, Machine
from provisioner.core.config import Settings
from provisioner.core.errors import EbpfDevError, InstanceError
from provisioner.core.files import locked, write_json
from provisioner.core.paths import Paths, ensure_dir
from provisioner.core.reporter import Reporter
from provisioner.guest.connection import SSHGuest, connect
from provisioner.guest.identity import Identity
from provisioner.guest.network import NetworkSettings, apply_network
from provisioner.guest.recipe import Recipe, ensure_vmlinux, provision
from provisioner.images.base import BaseImage
from provisioner.images.catalogue import Image
from provisioner.images.sources import ensure_base

SCHEMA = 1
_META = "golden.json"


@dataclass(frozen=True)
class Golden:
    """A provisioned, read-only disk and how to boot it."""

    key: str
    directory: Path
    release: str
    kernel: Path
    initrd: Path
    root: str
    network_digest: str

    @property
    def disk(self) -> Path:
        return self.directory / "disk.qcow2"

    def boot(self, console: str) -> DirectBoot:
        """How to start it; ``console`` is the architecture's serial port."""
        return DirectBoot(self.kernel, self.initrd, kernel_cmdline(self.root, console))


def kernel_cmdline(root: str, console: str) -> str:
    """The command line of a directly booted kernel.

    ``net.ifnames=0`` keeps the one interface eth0 whatever the machine type; ``panic=-1`` with QEMU's
    -no-reboot turns a panic into an exit that is noticed at once.
    """
    return f"root={root} rw console={console} net.ifnames=0 quiet loglevel=4 panic=-1"


def golden_key(base: BaseImage, recipe: Recipe, identity: Identity) -> str:
    """A digest of everything that went into a golden, so that a change of any makes another."""
    text = "\n".join((str(SCHEMA), base.key, recipe.digest, identity.fingerprint))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_golden(paths: Paths, key: str) -> Golden:
    """The golden named by an instance's record; raises InstanceError("golden-missing")."""
    try:
        return _read_golden(paths.goldens / key)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InstanceError(
            f"The provisioned disk {key} that the instance stands on is gone or damaged",
            code="golden-missing",
            details=str(exc),
            hint="`ebpf-dev delete` removes the instance; `ebpf-dev up` provisions a new one.",
        ) from exc


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
    key = golden_key(base, recipe, identity)
    directory = paths.goldens / key
    on_wait = lambda: reporter.note("Another ebpf-dev is provisioning this image; waiting for it.")  # noqa: E731
    with locked(paths.locks / f"golden-{key}.lock", on_wait):
        try:
            return _read_golden(directory)
        except (OSError, ValueError, KeyError, TypeError) as exc:
            if directory.exists():
                reporter.warn(f"The provisioned disk {key} is damaged ({exc}); making it anew.")
                shutil.rmtree(directory)
        maker = _GoldenMaker(base, settings, network, identity, backend, paths, reporter)
        return maker.make(key, recipe)


def recipe_for(image: Image, settings: Settings) -> Recipe:
    packages = image.packages[settings.arch]
    return Recipe(kernel=packages.kernel, toolchain=packages.toolchain, extra=settings.packages)


def _read_golden(directory: Path) -> Golden:
    meta = json.loads((directory / _META).read_bytes())
    if meta["schema"] != SCHEMA:
        raise ValueError(f"schema {meta['schema']}, expected {SCHEMA}")
    golden = Golden(
        key=directory.name,
        directory=directory,
        release=meta["release"],
        kernel=Path(meta["kernel"]),
        initrd=Path(meta["initrd"]),
        root=meta["root"],
        network_digest=meta["network_digest"],
    )
    if golden.disk.stat().st_size != meta["disk_size"]:
        raise ValueError(f"{golden.disk} has changed its size")
    for path in (golden.kernel, golden.initrd, Path(meta["base_disk"])):
        path.stat()
    return golden


class _GoldenMaker:
    """Provisions one golden in KEY.partial and renames it when whole."""

    def __init__(
        self,
        base: BaseImage,
        settings: Settings,
        network: NetworkSettings,
        identity: Identity,
        backend: Backend,
        paths: Paths,
        reporter: Reporter,
    ) -> None:
        self._base = base
        self._settings = settings
        self._network = network
        self._identity = identity
        self._backend = backend
        self._paths = paths
        self._reporter = reporter

    def make(self, key: str, recipe: Recipe) -> Golden:
        partial = ensure_dir(self._paths.goldens / f"{key}.partial")
        machine = self._machine(key, partial)
        try:
            meta = self._provision(machine, partial, recipe)
        except EbpfDevError:
            # Its disk stays for the next `up`; powered off cleanly so that nothing in it is torn.
            self._backend.stop(machine, timeout=90)
            raise
        except BaseException:
            self._backend.stop(machine, force=True)
            raise
        with self._reporter.step("Freezing the provisioned disk"):
            self._backend.stop(machine, timeout=120)
            return self._freeze(machine, partial, key, meta)

    def _machine(self, key: str, partial: Path) -> Machine:
        return Machine(
            name=f"golden-{key}",
            directory=partial,
            sockets=self._paths.runtime,
            arch=self._settings.arch,
            cpus=self._settings.cpus,
            memory=self._settings.memory,
            disk_size=self._settings.disk,
            base_disk=self._base.disk,
            boot=self._base.boot,
            seed=self._base.seed,
            accelerator=self._settings.accelerator,
        )

    def _provision(self, machine: Machine, partial: Path, recipe: Recipe) -> dict[str, str]:
        self._backend.create(machine)
        endpoint = self._backend.start(machine, self._reporter)
        with connect(endpoint, self._identity) as guest:
            apply_network(guest, self._network)
            release = provision(guest, recipe, self._reporter)
            root = guest.run(["findmnt", "-no", "UUID", "/"]).stdout.strip()
            kernel, initrd = self._fetch_kernel(guest, release, partial)
            self._settle(guest, release)
        return {"release": release, "root": f"UUID={root}", "kernel": kernel, "initrd": initrd}

    def _fetch_kernel(self, guest: SSHGuest, release: str, partial: Path) -> tuple[str, str]:
        """Host paths of the kernel to boot: the base's own when it is that release, else taken out."""
        boot = self._base.boot
        if isinstance(boot, DirectBoot) and self._base.release == release:
            return str(boot.kernel), str(boot.initrd)
        with self._reporter.step(f"Fetching kernel {release}"):
            guest.get(f"/boot/vmlinuz-{release}", partial / "vmlinuz")
            guest.get(f"/boot/initrd.img-{release}", partial / "initrd")
        final = partial.with_suffix("")
        return str(final / "vmlinuz"), str(final / "initrd")

    def _settle(self, guest: SSHGuest, release: str) -> None:
        if guest.run(["uname", "-r"]).stdout.strip() == release:
            ensure_vmlinux(guest)
        # A foreign image must not run cloud-init again: it would cost seconds at every boot.
        guest.run(["sh", "-c", "[ ! -d /etc/cloud ] || touch /etc/cloud/cloud-init.disabled; sync"])

    def _freeze(self, machine: Machine, partial: Path, key: str, meta: dict[str, str]) -> Golden:
        disk = partial / "disk.qcow2"
        machine.overlay.rename(disk)
        disk.chmod(0o400)
        for entry in partial.iterdir():
            if entry.name not in {"disk.qcow2", "vmlinuz", "initrd"}:
                entry.unlink()
        write_json(
            partial / _META,
            {
                "schema": SCHEMA,
                **meta,
                "network_digest": self._network.digest,
                "disk_size": disk.stat().st_size,
                "base_disk": str(machine.base_disk),
            },
        )
        final = self._paths.goldens / key
        partial.rename(final)
        return _read_golden(final)
