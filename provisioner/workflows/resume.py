"""A running instance's memory saved, and a guest that answers made of it again; or else booted."""

from __future__ import annotations

import hashlib
from pathlib import Path

from provisioner.backends.base import Endpoint
from provisioner.core.errors import GuestError, InstanceError
from provisioner.core.reporter import Reporter
from provisioner.core.settings import Settings
from provisioner.guest.connection import connect
from provisioner.guest.identity import Identity
from provisioner.guest.keeper import Names, introduce, start_keeper, wake, write_back
from provisioner.guest.recipe import grow_root
from provisioner.images.disk import check_space
from provisioner.workflows.instances import DEFAULT_NAME, Instance, require_running

#: Seconds for a resumed guest to take on time and names; a tenth of a second but on a drowning host.
WAKE_TIMEOUT = 30.0


def resume(instance: Instance, reporter: Reporter) -> Endpoint | None:
    """Let a saved instance go on, with the time of today and its own names; None when it has to boot."""
    backend, machine = instance.backend, instance.machine
    endpoint = backend.resume(machine, reporter)
    if endpoint is None:
        return None
    try:
        wake(require_channel(instance), names_of(instance), WAKE_TIMEOUT)
    except GuestError as exc:
        reporter.note(f"'{instance.name}' was resumed and does not answer ({exc.details}); booting it instead.")
        backend.stop(machine, force=True)
        return None
    return endpoint


def boot(instance: Instance, reporter: Reporter) -> Endpoint:
    """Boot an instance, or wait for one that is booting, and give it its own names."""
    backend, machine = instance.backend, instance.machine
    endpoint = backend.start(machine, reporter)
    identity = Identity(instance.paths.identity)
    with reporter.step("Setting clock and names"), connect(endpoint, identity, timeout=120) as guest:
        if greeting := backend.greeting(machine):
            guest.run(greeting)
        channel = backend.channel(machine)
        if channel is None:
            introduce(guest, names_of(instance))
        else:
            start_keeper(guest)
        # Every image's file system fits the default disk; what a larger one has more is empty at first.
        if machine.disk_size > Settings.disk:
            grow_root(guest)
        if channel is not None:
            wake(channel, names_of(instance), timeout=120)
    return endpoint


def require_channel(instance: Instance) -> Path:
    """The line to the guest beside the network; raises InstanceError("save-unsupported") without one."""
    channel = instance.backend.channel(instance.machine)
    if channel is None:
        raise _unsaveable(instance, f"the backend {instance.backend.name} cannot save a machine's memory")
    return channel


def save_memory(instance: Instance, reporter: Reporter) -> None:
    """End a running instance with its memory kept.

    Raises InstanceError("save-unsupported", "save-failed", "not-running"), HostError("disk-full") or
    GuestError("guest-silent"); it then runs on.
    """
    backend, machine = instance.backend, instance.machine
    check_saveable(instance)
    with reporter.step(f"Saving the memory of '{instance.name}'"):
        # Ended from here: in whoever goes on from that memory sshd would wait for us.
        instance.connection.close()
        write_back(require_channel(instance))
        backend.save(machine)


def check_saveable(instance: Instance) -> None:
    """Raise InstanceError("save-unsupported", "not-running") or HostError("disk-full") when it cannot be saved."""
    require_running(instance)
    require_channel(instance)
    if instance.backend.shape(instance.machine) is None:
        raise _unsaveable(instance, "firmware-booted machines and HVF cannot be saved")
    check_space(instance.machine.directory, instance.machine.memory, "to save the memory of an instance")


def _unsaveable(instance: Instance, details: str) -> InstanceError:
    return InstanceError(
        f"The memory of '{instance.name}' cannot be saved here",
        code="save-unsupported",
        details=details,
        hint=f"`ebpf-dev down {instance.name} --no-save` shuts it down.",
    )


def names_of(instance: Instance) -> Names:
    """The host name by which ssh_config knows the instance, and a machine id that no other one has."""
    name = "ebpf-dev" if instance.name == DEFAULT_NAME else f"ebpf-dev-{instance.name}"
    origin = f"{instance.machine.directory} {instance.record.created}"
    return Names(name, hashlib.sha256(origin.encode()).hexdigest()[:32])
