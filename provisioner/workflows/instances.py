"""What every verb about an instance needs: its record, its backend, its machine, and a connection to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from provisioner.backends.base import Backend, DirectBoot, Endpoint, Machine, State, Status
from provisioner.core.errors import EbpfDevError, GuestError, InstanceError
from provisioner.core.files import write_atomic
from provisioner.core.names import check_instance_name
from provisioner.core.paths import Paths
from provisioner.core.store import InstanceRecord, Store
from provisioner.core.templates import render
from provisioner.guest.base import Guest
from provisioner.guest.commands import USER
from provisioner.guest.identity import HOST_KEY_ALIAS, Identity
from provisioner.guest.kernels import INITRD, KERNEL
from provisioner.guest.warm import WarmConnection, WarmGuest
from provisioner.images.catalogue import Image
from provisioner.images.golden import Golden, find_golden
from provisioner.images.own import image_for
from provisioner.workflows.backends import make_backend

DEFAULT_NAME = "default"


@dataclass(frozen=True)
class Instance:
    """A recorded instance together with what runs it."""

    record: InstanceRecord
    backend: Backend
    machine: Machine
    paths: Paths

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def ssh_config(self) -> Path:
        return self.machine.directory / "ssh_config"

    @property
    def ssh_host(self) -> str:
        """The host name under which the instance stands in its ssh_config."""
        return f"ebpf-dev-{self.name}"

    @property
    def connection(self) -> WarmConnection:
        """The connection that its commands share; for an instance that runs."""
        socket, lock = self.paths.warm_socket(self.name), self.paths.warm_lock(self.name)
        return WarmConnection(self.ssh_host, self.ssh_config, socket, lock)

    def status(self) -> Status:
        return self.backend.status(self.machine)


def exchange_disk(
    instance: Instance,
    exchange: Callable[[], object],
    network_digest: str,
    kernel: str | None = None,
    release: str | None = None,
) -> None:
    """Give the instance another disk; the rest is what that disk holds (see ``InstanceRecord``).

    Whoever finishes the work of one that was killed in the middle finds that no settings of the network are known,
    and that a kernel is wanted, should it be another.
    """
    store, record = Store(instance.paths), instance.record
    kernel, release = kernel or record.kernel, release or record.release
    wanted = record.kernel_wanted if kernel == record.kernel else kernel
    store.save(replace(record, network_digest="", kernel_wanted=wanted))
    exchange()
    store.save(replace(record, network_digest=network_digest, kernel=kernel, release=release))


def open_instance(name: str, paths: Paths) -> Instance:
    """The instance ``name``; raises UsageError("unknown-instance") or InstanceError about its record."""
    check_instance_name(name)
    return bind_instance(Store(paths).load(name), paths)


def bind_instance(record: InstanceRecord, paths: Paths) -> Instance:
    """Put a record together with its golden and its backend."""
    golden = find_golden(paths, record.golden)
    machine = Machine(
        name=record.name,
        directory=paths.instance(record.name),
        sockets=paths.runtime,
        arch=record.arch,
        cpus=record.cpus,
        memory=record.memory,
        disk_size=record.disk,
        base_disk=golden.disk,
        boot=_boot(record, golden, paths),
        accelerator=record.accelerator,
    )
    return Instance(record, make_backend(record.backend, paths), machine, paths)


def distribution_of(instance: Instance) -> Image:
    """The catalogue's entry whose packages the instance's guest has."""
    return image_for(find_golden(instance.paths, instance.record.golden).like)


def own_kernel(paths: Paths, name: str, release: str) -> Path:
    """Where the files of a kernel are that is installed in this instance and not in its golden."""
    return paths.instance(name) / "kernels" / release


def _boot(record: InstanceRecord, golden: Golden, paths: Paths) -> DirectBoot:
    if record.release == golden.release:
        return golden.boot
    directory = own_kernel(paths, record.name, record.release)
    return replace(golden.boot, kernel=directory / KERNEL, initrd=directory / INITRD)


def require_running(instance: Instance) -> Endpoint:
    """Where the guest answers; raises InstanceError("not-running") or "instance-broken"."""
    status = instance.status()
    suffix = "" if instance.name == DEFAULT_NAME else f" {instance.name}"
    if status.state is State.RUNNING and status.endpoint:
        if has_ssh_config(instance, status.endpoint):
            return status.endpoint
        raise InstanceError(
            f"Instance '{instance.name}' is still booting",
            code="not-running",
            hint=f"`ebpf-dev up{suffix}` waits until it answers.",
        )
    if status.state is State.BROKEN:
        raise InstanceError(
            f"Instance '{instance.name}' is broken: {status.detail}",
            code="instance-broken",
            hint=f"`ebpf-dev down{suffix}` and `ebpf-dev up{suffix}` start it afresh.",
        )
    raise InstanceError(
        f"Instance '{instance.name}' is not running",
        code="not-running",
        hint=f"Start it with `ebpf-dev up{suffix}`.",
    )


@contextmanager
def connected(instance: Instance) -> Iterator[Guest]:
    """A running instance's warm connection. A guest that dies meanwhile is told with its last words."""
    require_running(instance)
    try:
        instance.connection.ensure_open()
        yield WarmGuest(instance.connection)
    except GuestError as exc:
        raise _death_or(exc, instance) from exc


def _death_or(error: GuestError, instance: Instance) -> EbpfDevError:
    """When the machine died under the connection, that is the news; else the error as it was."""
    if error.code not in {"guest-lost", "guest-unreachable"}:
        return error
    # QEMU's process may take a moment to be gone after its sockets are.
    deadline = time.monotonic() + 2.0
    while (status := instance.status()).state is State.RUNNING and time.monotonic() < deadline:
        time.sleep(0.1)
    if status.state is State.RUNNING:
        return error
    return InstanceError(
        f"Instance '{instance.name}' stopped running in the middle",
        code="instance-died",
        details=console_tail(instance.machine) or status.detail or error.details,
        hint=f"`ebpf-dev logs {instance.name}` shows its console; `ebpf-dev up {instance.name}` restarts it.",
    )


def console_tail(machine: Machine, lines: int = 15) -> str:
    """The last lines that the guest's console showed, or ""."""
    try:
        text = machine.console_log.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(line.rstrip() for line in text.splitlines()[-lines:])


def write_ssh_config(instance: Instance, endpoint: Endpoint) -> None:
    """Let OpenSSH reach the instance: written at every start, because the port is a new one then."""
    identity = Identity(instance.paths.identity)
    text = render(
        "ssh/config.j2",
        host=instance.ssh_host,
        endpoint=endpoint,
        user=USER,
        key=identity.client_key,
        known_hosts=identity.known_hosts,
        alias=HOST_KEY_ALIAS,
    )
    write_atomic(instance.ssh_config, text.encode())


def has_ssh_config(instance: Instance, endpoint: Endpoint) -> bool:
    """Whether it was written for the machine that answers at this endpoint."""
    try:
        text = instance.ssh_config.read_text()
    except FileNotFoundError:
        return False
    # Not rendered again to be compared: every command asks, and importing jinja2 takes longer than the answer.
    return f"  HostName {endpoint.host}\n  Port {endpoint.port}\n" in text
