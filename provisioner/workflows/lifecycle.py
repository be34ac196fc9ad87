"""The rest of an instance's life: down, reset, delete, status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.backends.base import FirmwareBoot, Machine, State, Status
from provisioner.core.errors import EbpfDevError, InstanceError, UsageError
from provisioner.core.files import locked
from provisioner.core.host import host_arch
from provisioner.core.names import check_instance_name
from provisioner.core.paths import Paths
from provisioner.core.reporter import Reporter
from provisioner.core.settings import Settings
from provisioner.core.store import InstanceRecord, Store
from provisioner.images.golden import find_golden
from provisioner.workflows.backends import all_backends
from provisioner.workflows.instances import bind_instance, exchange_disk, open_instance
from provisioner.workflows.resume import save_memory
from provisioner.workflows.up import UpResult, start_instance


@dataclass(frozen=True)
class InstanceStatus:
    """``record`` is None and ``problem`` says why when the instance cannot be understood."""

    name: str
    status: Status
    record: InstanceRecord | None = None
    problem: str = ""


@dataclass(frozen=True)
class DownResult:
    """``already`` says that it was not running before, ``saved`` that its memory is kept."""

    already: bool
    saved: bool


def bring_down(
    name: str, paths: Paths, reporter: Reporter, *, force: bool = False, save: bool | None = None
) -> DownResult:
    """End the instance with its memory saved, or shut it down.

    ``save`` None saves where that is possible and else shuts down; True raises what stands in the way.
    """
    with locked(Store(paths).lock_file(name), lambda: reporter.note("Another ebpf-dev is at it; waiting.")):
        instance = open_instance(name, paths)
        status = instance.status()
        if status.state is State.STOPPED:
            return DownResult(already=True, saved=status.saved > 0)
        if not force and save is not False and status.state is State.RUNNING:
            try:
                save_memory(instance, reporter)
                return DownResult(already=False, saved=True)
            except EbpfDevError as exc:
                if save:
                    raise
                reporter.note(f"Its memory is not saved: {exc.brief}")
        with reporter.step(f"Shutting down '{name}'"):
            instance.backend.stop(instance.machine, force=force)
            instance.connection.close()
        return DownResult(already=False, saved=False)


def reset_instance(
    name: str, settings: Settings, paths: Paths, reporter: Reporter, env: Mapping[str, str]
) -> UpResult:
    """Make the instance as new and let it run: its disk and memory are lost, its settings and snapshots stay."""
    with locked(Store(paths).lock_file(name), lambda: reporter.note("Another ebpf-dev is at it; waiting.")):
        instance = open_instance(name, paths)
        with reporter.step(f"Resetting '{name}'"):
            exchange_disk(
                instance,
                lambda: instance.backend.delete(instance.machine),
                network_digest=find_golden(paths, instance.record.golden).network_digest,
            )
            instance.connection.close()
        return start_instance(name, settings, paths, reporter, env)


def delete_instance(name: str, paths: Paths, reporter: Reporter) -> None:
    """Remove the instance and its disk, also when its record or golden is damaged; goldens stay."""
    check_instance_name(name)
    store = Store(paths)
    with locked(store.lock_file(name), lambda: reporter.note("Another ebpf-dev is at it; waiting.")):
        if name not in store.names():
            store.load(name)
        with reporter.step(f"Deleting '{name}'"):
            _delete_machine(name, paths, reporter)
            store.remove(name)


def _delete_machine(name: str, paths: Paths, reporter: Reporter) -> None:
    try:
        instance = open_instance(name, paths)
    except (InstanceError, UsageError) as exc:
        # Nothing says how it was run; every backend finds what is its own by what is on disk.
        reporter.debug(exc.brief)
        for backend in all_backends(paths):
            backend.delete(unknown_machine(name, paths))
    else:
        instance.backend.delete(instance.machine)
        instance.connection.close()


def unknown_machine(name: str, paths: Paths, directory: Path | None = None) -> Machine:
    """A stand-in for the machine of an instance whose record or golden is lost: enough to stop and remove it."""
    directory = directory or paths.instance(name)
    return Machine(
        name=name, directory=directory, sockets=paths.runtime, arch=host_arch(), cpus=1, memory=0,
        disk_size=0, base_disk=directory, boot=FirmwareBoot(),
    )  # fmt: skip


def list_statuses(paths: Paths) -> list[InstanceStatus]:
    """Every instance as it is now, damaged ones too."""
    return [_status_of(name, paths) for name in Store(paths).names()]


def _status_of(name: str, paths: Paths) -> InstanceStatus:
    record = None
    try:
        record = Store(paths).load(name)
        return InstanceStatus(name, bind_instance(record, paths).status(), record)
    except (InstanceError, UsageError) as exc:
        problem = exc.brief if record or isinstance(exc, InstanceError) else "its first `up` did not finish"
        return InstanceStatus(name, Status(State.BROKEN, detail=problem), record, problem)
