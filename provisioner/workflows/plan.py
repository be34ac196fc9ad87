"""``up --dry-run``: what would be done, computed from the same pieces that do it."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.backends.base import Backend, DirectBoot, Machine, State
from provisioner.core.names import check_instance_name
from provisioner.core.paths import Paths
from provisioner.core.settings import Settings
from provisioner.core.sizes import format_size
from provisioner.core.store import Store
from provisioner.guest.kernel_pairs import DEFAULT
from provisioner.guest.recipe import Recipe
from provisioner.images.catalogue import Image
from provisioner.images.own import image_for
from provisioner.images.sources import kind_of
from provisioner.workflows.backends import make_backend
from provisioner.workflows.instances import bind_instance
from provisioner.workflows.provision import recipe_for
from provisioner.workflows.up import wanted_kernel


def plan_up(name: str, settings: Settings, paths: Paths) -> Iterator[str]:
    """The plan as lines to show; touches nothing."""
    check_instance_name(name)
    record = Store(paths).find(name)
    if record is not None:
        instance = bind_instance(record, paths)
        running = instance.status().state is State.RUNNING
        yield f"Instance '{name}' exists and {'runs: nothing to do' if running else 'would be started'}."
        if wanted := wanted_kernel(record, settings):
            yield f"  with the kernel `{wanted}` instead of Linux {record.release}"
        yield from _described(instance.backend, instance.machine)
        return
    image = image_for(settings.image)
    yield f"Instance '{name}' would be made of {image.title}:"
    yield from _sources(image, settings)
    yield from _packages(recipe_for(image, settings))
    if settings.kernel != DEFAULT:
        yield f"  then the kernel `{settings.kernel}`, with its headers, from the guest's package manager"
    if settings.packages:
        yield f"  further packages: {' '.join(settings.packages)}"
    yield f"  machine: {settings.cpus} processors, {format_size(settings.memory)} of memory"
    directory = paths.instance(name)
    boot = DirectBoot(directory / "vmlinuz", directory / "initrd", "root=/dev/vda rw")
    machine = Machine(
        name=name, directory=directory, sockets=paths.runtime, arch=settings.arch, cpus=settings.cpus,
        memory=settings.memory, disk_size=settings.disk, base_disk=directory, boot=boot,
        accelerator=settings.accelerator,
    )  # fmt: skip
    yield from _described(make_backend(settings.backend, paths), machine)


def _packages(recipe: Recipe | None) -> Iterator[str]:
    if recipe is None:
        yield "  kernel, headers and toolchain: those of the distribution that its os-release names"
    else:
        yield f"  kernel and headers: {' '.join(recipe.kernel)}"
        yield f"  toolchain: {' '.join(recipe.toolchain)}"


def _sources(image: Image, settings: Settings) -> Iterator[str]:
    for row in image.rows_for(settings.arch):
        yield f"  {kind_of(row)}: {row.disk.location}"
    if image.build is not None:
        yield f"  else built from the packages of {image.build.suite}, if the host has mmdebstrap"


def _described(backend: Backend, machine: Machine) -> Iterator[str]:
    return (f"  {line}" for line in backend.describe(machine))
