"""Templates: machines saved just after their first boot, on which new instances go on in no time."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

from provisioner.backends.base import Endpoint, Machine
from provisioner.core.errors import EbpfDevError
from provisioner.core.files import locked
from provisioner.core.paths import Paths, ensure_dir
from provisioner.core.reporter import Reporter
from provisioner.core.settings import Settings
from provisioner.guest.connection import connect
from provisioner.guest.identity import Identity
from provisioner.guest.keeper import keeper_digest, start_keeper, write_back
from provisioner.guest.recipe import grow_root
from provisioner.images.disk import check_space
from provisioner.workflows.instances import Instance

#: How many templates are kept; a change of processors, memory, QEMU or golden makes another.
_KEPT = 4
# sshd is up long before the rest of the boot is done, which every machine that goes on from here would have to
# do by itself. A machine that never comes to rest, because a unit hangs, is good enough.
_COME_TO_REST = "timeout 120 systemctl is-system-running --wait; timeout 60 udevadm settle; true"


def ensure_template(instance: Instance, reporter: Reporter) -> Path | None:
    """The directory of the template for machines of this instance's shape, made unless it is there.

    None when this host or its backend cannot; a failure is noted, for an instance can always boot instead.
    """
    shape = instance.backend.shape(instance.machine)
    if shape is None:
        return None
    directory = _directory(instance.paths, shape)
    if _usable(instance, directory):
        os.utime(directory)
        return directory
    on_wait = lambda: reporter.note("Another ebpf-dev is saving a started machine; waiting for it.")  # noqa: E731
    with locked(instance.paths.locks / "template.lock", on_wait):
        if _usable(instance, directory):
            return directory
        if directory.exists():
            reporter.note("The template for such machines is damaged; making it anew.")
            shutil.rmtree(directory)
        maker = _Maker(instance, reporter)
        maker.clear_abandoned()
        return maker.make(directory)


def drop_template(directory: Path, reporter: Reporter) -> None:
    """Remove one from which a machine could not go on; the next new instance makes another."""
    reporter.debug(f"removing the template {directory}")
    shutil.rmtree(directory, ignore_errors=True)


def _directory(paths: Paths, shape: str) -> Path:
    return paths.templates / hashlib.sha256(f"{shape} {keeper_digest()} {_COME_TO_REST}".encode()).hexdigest()[:16]


def _usable(instance: Instance, directory: Path) -> bool:
    return instance.backend.status(replace(instance.machine, directory=directory)).saved > 0


class _Maker:
    """Boots a machine in KEY.partial, lets it come to rest, saves it there, and renames that when whole."""

    def __init__(self, instance: Instance, reporter: Reporter) -> None:
        self._backend = instance.backend
        self._paths = instance.paths
        self._instance = instance
        self._reporter = reporter

    def make(self, directory: Path) -> Path | None:
        partial = directory.with_suffix(".partial")
        machine = replace(self._instance.machine, directory=partial, memory_in_file=True)
        try:
            check_space(ensure_dir(partial), machine.memory, "to save a started machine")
            self._backend.create(machine)
            endpoint = self._backend.start(machine, self._reporter)
            # An accelerator that turned out not to work makes it another shape than was looked for.
            shape = self._backend.shape(self._instance.machine)
            final = directory if shape is None else _directory(self._paths, shape)
            if not _usable(self._instance, final):
                self._save(machine, endpoint)
        except EbpfDevError as exc:
            self._clear(machine)
            self._reporter.note(f"Instances will boot instead of being resumed: {exc.brief}")
            return None
        except BaseException:
            self._clear(machine)
            raise
        if not _usable(self._instance, final):
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
        self._clear(machine)
        _prune(self._paths.templates)
        return final

    def clear_abandoned(self) -> None:
        """End and remove what others left who were killed: machines for which nobody waits any more."""
        for partial in self._paths.templates.glob("*.partial"):
            self._clear(replace(self._instance.machine, directory=partial))

    def _save(self, machine: Machine, endpoint: Endpoint) -> None:
        with self._reporter.step("Saving the started machine for the next time"):
            self._settle(machine, endpoint)
            self._backend.save(machine)

    def _settle(self, machine: Machine, endpoint: Endpoint) -> None:
        with connect(endpoint, Identity(self._paths.identity), timeout=120) as guest:
            guest.run(["sh", "-c", _COME_TO_REST], timeout=300)
            start_keeper(guest)
            if machine.disk_size > Settings.disk:
                grow_root(guest)
        # Without the connection, which would be dead in whoever goes on from here. The caches stay: what is
        # in them need not be read again by all that go on from here.
        channel = self._backend.channel(machine)
        assert channel is not None, "a backend that saves memory has a channel"
        write_back(channel)

    def _clear(self, machine: Machine) -> None:
        if machine.directory.exists():
            self._backend.delete(machine)
            shutil.rmtree(machine.directory)


def _prune(folder: Path) -> None:
    # Whoever runs on one that is removed keeps its memory: the file is only gone by name.
    whole = [path for path in folder.iterdir() if not path.suffix]
    for path in sorted(whole, key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(path, ignore_errors=True)
