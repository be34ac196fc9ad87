"""Another kernel than the image's own: in a golden of its own, or in an instance that exists."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from provisioner.backends.base import Backend, DirectBoot, Machine, State
from provisioner.core.errors import EbpfDevError, UsageError
from provisioner.core.files import locked
from provisioner.core.paths import Paths, ensure_dir
from provisioner.core.reporter import Reporter
from provisioner.core.settings import Settings
from provisioner.core.store import Store
from provisioner.guest.base import HOME
from provisioner.guest.connection import connect
from provisioner.guest.identity import Identity
from provisioner.guest.kernel_pairs import DEFAULT
from provisioner.guest.kernels import INITRD, KERNEL, check_kernel, install_pair, take_out
from provisioner.guest.manager import package_manager
from provisioner.guest.network import NetworkSettings, apply_network
from provisioner.guest.vmlinux import ensure_vmlinux
from provisioner.images.catalogue import Image
from provisioner.images.golden import Golden, find_golden, golden_key
from provisioner.images.own import image_for
from provisioner.workflows.instances import Instance, bind_instance, distribution_of, own_kernel, write_ssh_config
from provisioner.workflows.provision import freeze, whole_golden


def ensure_kernel_golden(
    golden: Golden,
    settings: Settings,
    network: NetworkSettings,
    backend: Backend,
    paths: Paths,
    reporter: Reporter,
) -> Golden:
    """The golden that stands on ``golden`` and boots the kernel that the settings name, made unless it is there.

    Locks, interruptions and damage as ``ensure_golden``.
    """
    key = golden_key(golden.key, "kernel", settings.kernel)
    partial = paths.goldens / f"{key}.partial"
    machine = Machine(
        name=f"golden-{key}", directory=partial, sockets=paths.runtime, arch=settings.arch, cpus=settings.cpus,
        memory=settings.memory, disk_size=settings.disk, base_disk=golden.disk, boot=golden.boot,
        accelerator=settings.accelerator,
    )  # fmt: skip
    on_wait = lambda: reporter.note("Another ebpf-dev is installing this kernel; waiting for it.")  # noqa: E731
    with locked(paths.locks / f"golden-{key}.lock", on_wait):
        if found := whole_golden(paths.goldens / key, reporter):
            return found
        image = image_for(golden.like)
        change = _Change(image, network, golden.network_digest, Identity(paths.identity), backend, reporter)
        release = _in_golden(change, machine, settings.kernel)
        with reporter.step("Freezing the provisioned disk"):
            final = paths.goldens / key
            return freeze(
                backend,
                machine,
                {
                    "image": settings.image,
                    "like": golden.like,
                    "arch": machine.arch,
                    "release": release,
                    "image_release": golden.image_release,
                    "cmdline": golden.cmdline,
                    "kernel": str(final / KERNEL),
                    "initrd": str(final / INITRD),
                    "network_digest": network.digest,
                },
            )


def _in_golden(change: _Change, machine: Machine, word: str) -> str:
    """Install the kernel on a golden's disk; after a failure that stays for the next `up`, or goes if useless."""
    ensure_dir(machine.directory)
    try:
        return change.make(machine, word, lambda release: machine.directory)
    except EbpfDevError as exc:
        change.backend.stop(machine, timeout=90)
        if isinstance(exc, UsageError):
            change.backend.delete(machine)
            shutil.rmtree(machine.directory)
        raise
    except BaseException:
        change.backend.stop(machine, force=True)
        raise


def with_wanted_kernel(instance: Instance, network: NetworkSettings, reporter: Reporter) -> Instance:
    """The instance with the kernel that its record wants, running if it had to be installed.

    Its lock is held by the caller. Safe to repeat after an interruption anywhere: until all is done the record
    has the former kernel. A disk that was reset took its kernel with it, and gets it again.
    """
    golden = find_golden(instance.paths, instance.record.golden)
    lost = instance.record.release != golden.release and instance.status().state is State.ABSENT
    if lost:
        wanted = instance.record.kernel_wanted or instance.record.kernel
        record = replace(instance.record, kernel_wanted=wanted, release=golden.release)
        instance = bind_instance(record, instance.paths)
    word = instance.record.kernel_wanted
    if not word:
        return instance
    # Its presence would say that nothing is left to do.
    instance.ssh_config.unlink(missing_ok=True)
    if word == DEFAULT:
        word = golden.image_release
    try:
        release = golden.release if word == golden.release else _in_instance(instance, word, network, reporter)
    except UsageError as exc:
        if lost:
            exc.hint += f" `ebpf-dev up {instance.name} --kernel {DEFAULT}` goes on with the image's own."
        else:
            _forget_wish(instance)
        raise
    record = instance.record
    digest = record.network_digest if release == golden.release else network.digest
    record = replace(record, kernel=record.kernel_wanted, kernel_wanted="", release=release, network_digest=digest)
    Store(instance.paths).save(record)
    if release == golden.release:
        # Whatever runs or was saved has the former kernel.
        instance.backend.stop(instance.machine)
    return bind_instance(record, instance.paths)


def _forget_wish(instance: Instance) -> None:
    """A kernel that cannot be had is not asked for again, and the guest that looked for it may be used."""
    Store(instance.paths).save(replace(instance.record, kernel_wanted=""))
    status = instance.status()
    if status.state is State.RUNNING and status.endpoint:
        write_ssh_config(instance, status.endpoint)


def _in_instance(instance: Instance, word: str, network: NetworkSettings, reporter: Reporter) -> str:
    record, paths = instance.record, instance.paths
    change = _Change(
        distribution_of(instance),
        network,
        record.network_digest,
        Identity(paths.identity),
        instance.backend,
        reporter,
    )
    return change.make(instance.machine, word, lambda release: own_kernel(paths, record.name, release))


@dataclass(frozen=True)
class _Change:
    """What it takes to give a machine another kernel; ``network_known`` is the digest of what its guest holds."""

    image: Image
    network: NetworkSettings
    network_known: str
    identity: Identity
    backend: Backend
    reporter: Reporter

    def make(self, machine: Machine, word: str, home: Callable[[str], Path]) -> str:
        """Boot the machine, install the pair that ``word`` means, and boot it with that; it then runs.

        Kernel and initrd are kept in the directory ``home(release)``. Returns the release.
        """
        if not isinstance(machine.boot, DirectBoot):
            raise UsageError(
                "The kernel of a machine that starts through its firmware is chosen by its boot loader",
                code="kernel-fixed",
                hint="Install it in the guest: `ebpf-dev shell`.",
            )
        self.backend.create(machine)
        release = self._install(machine, word, home)
        self.backend.stop(machine, timeout=120)
        kernel, initrd = home(release) / KERNEL, home(release) / INITRD
        self._try(replace(machine, boot=replace(machine.boot, kernel=kernel, initrd=initrd)), release)
        return release

    def _install(self, machine: Machine, word: str, home: Callable[[str], Path]) -> str:
        endpoint = self.backend.start(machine, self.reporter)
        manager = package_manager(self.image.manager)
        with connect(endpoint, self.identity, timeout=120) as guest:
            if self.network_known != self.network.digest:
                with self.reporter.step("Updating mirror, proxy and certificates"):
                    apply_network(guest, self.network, manager)
            release = install_pair(guest, manager, word, self.image.backports, self.reporter)
            with self.reporter.step(f"Fetching kernel {release}"):
                take_out(guest, release, ensure_dir(home(release)))
            guest.run(["sync"], timeout=300)
        return release

    def _try(self, machine: Machine, release: str) -> None:
        endpoint = self.backend.start(machine, self.reporter)
        with connect(endpoint, self.identity, timeout=120) as guest:
            check_kernel(guest, release)
            with self.reporter.step("Precompiling vmlinux.h"):
                ensure_vmlinux(guest, HOME, machine.arch)
