"""``up``: from nothing, or from wherever an earlier ``up`` stopped, to a guest that answers over SSH."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from provisioner.backends.base import Backend, Endpoint, State
from provisioner.core.addresses import HOST_AS_SEEN_BY_GUEST
from provisioner.core.errors import UsageError
from provisioner.core.files import locked
from provisioner.core.names import check_instance_name
from provisioner.core.paths import Paths
from provisioner.core.reporter import Reporter
from provisioner.core.settings import Settings, describe_settings
from provisioner.core.store import InstanceRecord, Store
from provisioner.guest.connection import answers, connect
from provisioner.guest.identity import ensure_identity
from provisioner.guest.keeper import is_awake
from provisioner.guest.kernel_pairs import DEFAULT
from provisioner.guest.manager import package_manager
from provisioner.guest.network import NetworkSettings, apply_network, network_settings
from provisioner.workflows.backends import make_backend
from provisioner.workflows.instances import (
    Instance,
    bind_instance,
    distribution_of,
    has_ssh_config,
    write_ssh_config,
)
from provisioner.workflows.resume import boot, resume
from provisioner.workflows.template import drop_template, ensure_template

#: Seconds that the sshd of a running machine may take for its first word: a busy host emulates slowly.
HANGS_AFTER = 30.0
#: Seconds for the keeper, which needs a few milliseconds; where it says nothing, sshd is asked.
PING_PATIENCE = 2.0
#: Settings that an existing instance keeps: they are built into its disk or belong to another machine.
_FIXED = ("image", "backend", "arch", "disk")
#: Settings that an existing instance takes up at its next start.
_CHANGEABLE = ("cpus", "memory", "accelerator")


@dataclass(frozen=True)
class UpResult:
    """``already`` says that it was running before; sizes in bytes."""

    instance: Instance
    endpoint: Endpoint
    already: bool


def bring_up(
    name: str,
    settings: Settings,
    paths: Paths,
    reporter: Reporter,
    env: Mapping[str, str] | None = None,
    *,
    cold: bool = False,
) -> UpResult:
    """Make the instance run, doing only what is not done yet; ``cold`` boots where it could be resumed.

    Two calls at once: the second waits for the first and then finds it done. Raises the errors of images,
    backends and provisioning; whatever was finished before stays for the next call.
    """
    check_instance_name(name)
    store, env = Store(paths), os.environ if env is None else env
    running = _find_running(store, name, settings, paths)
    if running and not _network_change(running.instance, settings, env):
        running.instance.connection.open_behind()
        return running
    with locked(store.lock_file(name), lambda: reporter.note("Another `ebpf-dev up` is at it; waiting.")):
        if running := _find_running(store, name, settings, paths):
            if network := _network_change(running.instance, settings, env):
                # Sessions of a connection that is open would keep the former proxy.
                running.instance.connection.close()
                _tell_network(running.instance, running.endpoint, network, reporter)
                running.instance.connection.open_behind()
            return running
        _end_hanging(store, name, paths, reporter)
        return start_instance(name, settings, paths, reporter, env, cold=cold)


def _find_running(store: Store, name: str, settings: Settings, paths: Paths) -> UpResult | None:
    record = store.find(name)
    if record is None:
        return None
    _check_fixed(record, settings)
    instance = bind_instance(record, paths)
    if (endpoint := _was_up(instance)) and _answers(instance, endpoint):
        _check_restart(record, settings)
        _check_packages(record, settings)
        return UpResult(instance, endpoint, already=True)
    return None


def _answers(instance: Instance, endpoint: Endpoint) -> bool:
    channel = instance.backend.channel(instance.machine)
    if channel is not None and is_awake(channel, PING_PATIENCE):
        return True
    return answers(endpoint, HANGS_AFTER)


def _was_up(instance: Instance) -> Endpoint | None:
    """Where a machine that runs has answered; while it is booting its ssh_config is not written yet."""
    status = instance.status()
    up = status.state is State.RUNNING and status.endpoint and has_ssh_config(instance, status.endpoint)
    return status.endpoint if up else None


def _end_hanging(store: Store, name: str, paths: Paths, reporter: Reporter) -> None:
    """Kill a machine that was up, but answers no more."""
    record = store.find(name)
    instance = bind_instance(record, paths) if record else None
    if instance and _was_up(instance):
        reporter.warn(f"'{name}' runs, but its guest does not answer any more; it is started anew.")
        instance.backend.stop(instance.machine, force=True)


def start_instance(
    name: str, settings: Settings, paths: Paths, reporter: Reporter, env: Mapping[str, str], *, cold: bool = False
) -> UpResult:
    """Make and start an instance that does not run; its lock is held by the caller."""
    from provisioner.workflows.kernel import with_wanted_kernel

    store = Store(paths)
    record = store.find(name)
    backend = make_backend(record.backend if record else settings.backend, paths)
    network = wanted_network(settings, env, backend.host_address, bind_instance(record, paths) if record else None)
    if settings.mirror and not network.sources:
        reporter.warn("`mirror` is for images of Debian and Ubuntu; this one keeps the mirrors that it has.")
    known, record = record, record or _make_record(name, settings, network, backend, paths, reporter)
    record = _apply_changes(record, settings)
    instance = bind_instance(record, paths)
    if known and instance.ssh_config.exists():  # else the first `up` is being finished
        _check_packages(record, settings)
    instance.backend.check_host(record.arch)
    store.save(record)
    instance = with_wanted_kernel(instance, network, reporter)
    # Saved memory, its own or the template's, holds the kernel that it was saved with.
    cold = cold or instance.record != record
    record = instance.record
    endpoint = None if cold else _resume(instance, reporter)
    instance.backend.create(instance.machine)
    endpoint = endpoint or boot(instance, reporter)
    if record.network_digest != network.digest:
        _tell_network(instance, endpoint, network, reporter)
    # Last, because its presence says that nothing is left to do.
    write_ssh_config(instance, endpoint)
    instance.connection.open_behind()
    return UpResult(instance, endpoint, already=False)


def _network_change(instance: Instance, settings: Settings, env: Mapping[str, str]) -> NetworkSettings | None:
    """What the guest should be told now; None when it knows."""
    network = wanted_network(settings, env, instance.backend.host_address, instance)
    return None if instance.record.network_digest == network.digest else network


def _tell_network(instance: Instance, endpoint: Endpoint, network: NetworkSettings, reporter: Reporter) -> None:
    with reporter.step("Updating mirror, proxy and certificates"):
        with connect(endpoint, ensure_identity(instance.paths)) as guest:
            apply_network(guest, network, package_manager(distribution_of(instance).manager))
        Store(instance.paths).save(replace(instance.record, network_digest=network.digest))


def _resume(instance: Instance, reporter: Reporter) -> Endpoint | None:
    """Go on where the instance was saved, or, when it is new, where the template for its kind was."""
    if instance.status().state is not State.ABSENT:
        return resume(instance, reporter)
    template = ensure_template(instance, reporter)
    if template is None:
        return None
    instance.backend.place(instance.machine, template)
    endpoint = resume(instance, reporter)
    if endpoint is None:
        drop_template(template, reporter)
    return endpoint


def _make_record(
    name: str, settings: Settings, network: NetworkSettings, backend: Backend, paths: Paths, reporter: Reporter
) -> InstanceRecord:
    if name in Store(paths).names():
        reporter.note(f"Finishing instance '{name}', whose first `up` was interrupted.")
    # All that makes images is imported for those that are made: an instance that runs is told of at once.
    from provisioner.images.own import image_for
    from provisioner.workflows.kernel import ensure_kernel_golden
    from provisioner.workflows.provision import ensure_golden

    image = image_for(settings.image)
    backend.check_host(settings.arch)
    identity = ensure_identity(paths)
    golden = ensure_golden(image, settings, network, identity, backend, paths, reporter)
    if settings.kernel != DEFAULT:
        golden = ensure_kernel_golden(golden, settings, network, backend, paths, reporter)
    return InstanceRecord(
        name=name,
        image=settings.image,
        arch=settings.arch,
        backend=backend.name,
        accelerator=settings.accelerator,
        cpus=settings.cpus,
        memory=settings.memory,
        disk=settings.disk,
        kernel=settings.kernel,
        golden=golden.key,
        release=golden.release,
        network_digest=golden.network_digest,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def _asked_for(settings: Settings, field: str) -> bool:
    """Whether the user named it on this command line; files describe new instances, not existing ones."""
    return settings.origin.get(field, "").startswith("--")


def _check_fixed(record: InstanceRecord, settings: Settings) -> None:
    for field in _FIXED:
        wanted, has = getattr(settings, field), getattr(record, field)
        if _asked_for(settings, field) and wanted != has:
            raise UsageError(
                f"Instance '{record.name}' has {field} {has}, and that cannot be changed to {wanted}",
                code="instance-differs",
                hint=f"Use another name (`ebpf-dev up NAME --{field} {wanted}`), "
                f"or `ebpf-dev delete {record.name}` first.",
            )


def _check_restart(record: InstanceRecord, settings: Settings) -> None:
    """Raises UsageError("instance-differs") for what a running instance can only have from its next start."""
    changed = {field for field in _CHANGEABLE if _asked_for(settings, field)}
    changed = {field for field in changed if getattr(settings, field) != getattr(record, field)}
    if wanted_kernel(record, settings):
        changed.add("kernel")
    if changed:
        options = [f"--{name} {value}" for name, value, _ in describe_settings(settings) if name in changed]
        raise UsageError(
            f"Instance '{record.name}' is running; {' and '.join(options)} takes a restart",
            code="instance-differs",
            hint=f"`ebpf-dev down {record.name}`, then `ebpf-dev up {record.name} {' '.join(options)}`.",
        )


def _check_packages(record: InstanceRecord, settings: Settings) -> None:
    if _asked_for(settings, "packages"):
        raise UsageError(
            f"Instance '{record.name}' exists already; --package is for new ones",
            code="instance-differs",
            hint=f"`ebpf-dev add {' '.join(settings.packages)} -i {record.name}` installs in it.",
        )


def _apply_changes(record: InstanceRecord, settings: Settings) -> InstanceRecord:
    changes = {field: getattr(settings, field) for field in _CHANGEABLE if _asked_for(settings, field)}
    return replace(record, **changes, kernel_wanted=wanted_kernel(record, settings))


def wanted_kernel(record: InstanceRecord, settings: Settings) -> str:
    """The kernel that an existing instance is to get: asked for now, or before and not finished; "" for none."""
    if not _asked_for(settings, "kernel"):
        return record.kernel_wanted
    return "" if settings.kernel == record.kernel else settings.kernel


def wanted_network(
    settings: Settings, env: Mapping[str, str], host: str = HOST_AS_SEEN_BY_GUEST, instance: Instance | None = None
) -> NetworkSettings:
    """The mirror, proxy and certificates that the settings and this host, seen as ``host``, ask for.

    The mirror is that of the distribution which the ``instance`` has, of the settings' image where there is none.
    """
    return network_settings(
        sources=_guest_sources(settings, host, instance) if settings.mirror else "",
        proxy=settings.proxy or "",
        ca_files=settings.ca,
        env=env,
        host=host,
    )


def _guest_sources(settings: Settings, host: str, instance: Instance | None) -> str:
    from provisioner.images.own import image_for
    from provisioner.images.sources import guest_sources

    image = distribution_of(instance) if instance else image_for(settings.image)
    return guest_sources(image, settings.mirror, host)
