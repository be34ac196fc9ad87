"""What every backend must do. Subclass one of these, with ``backend`` and ``machine`` fixtures, to try one."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.backends.base import Backend, Endpoint, Machine, State
from provisioner.core.errors import InstanceError
from provisioner.core.reporter import SilentReporter


class BackendContract:
    """``machine`` is one that was not created yet; the fixture deletes it afterwards."""

    #: Seconds a start may take; a backend with a real guest sets more.
    timeout = 20.0

    def start(self, backend: Backend, machine: Machine) -> Endpoint:
        backend.create(machine)
        return backend.start(machine, SilentReporter(), self.timeout)

    def test_the_host_can_run_it(self, backend: Backend, machine: Machine) -> None:
        backend.check_host(machine.arch)

    def test_a_machine_is_absent_until_it_is_created(self, backend: Backend, machine: Machine) -> None:
        assert backend.status(machine).state is State.ABSENT
        backend.create(machine)
        assert backend.status(machine).state is State.STOPPED

    def test_creating_twice_leaves_the_disk_alone(self, backend: Backend, machine: Machine) -> None:
        backend.create(machine)
        before = machine.overlay.stat()
        backend.create(machine)
        after = machine.overlay.stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert after.st_mode & 0o077 == 0

    def test_a_life(self, backend: Backend, machine: Machine) -> None:
        """In one test, for a start may be slow: start twice, look, stop twice, delete twice."""
        endpoint = self.start(backend, machine)
        assert endpoint.host == "127.0.0.1"
        self.see_that_it_runs(backend, machine, endpoint)
        assert backend.start(machine, SilentReporter(), self.timeout) == endpoint
        for _ in range(2):
            backend.stop(machine)
            self.see_that_it_stands_still(backend, machine, endpoint)
        for _ in range(2):
            backend.delete(machine)
            assert backend.status(machine).state is State.ABSENT
        assert not machine.overlay.exists()
        assert not machine.console_log.exists()

    def see_that_it_runs(self, backend: Backend, machine: Machine, endpoint: Endpoint) -> None:
        status = backend.status(machine)
        assert status.state is State.RUNNING
        assert status.endpoint == endpoint
        assert status.accelerator
        with socket.create_connection((endpoint.host, endpoint.port), 10) as connection:
            assert connection.recv(4) == b"SSH-"

    def see_that_it_stands_still(self, backend: Backend, machine: Machine, endpoint: Endpoint) -> None:
        status = backend.status(machine)
        assert (status.state, status.endpoint, status.pid) == (State.STOPPED, None, None)
        with socket.socket() as client:
            assert client.connect_ex((endpoint.host, endpoint.port)) != 0

    def test_a_machine_can_be_described_before_it_is_made(self, backend: Backend, machine: Machine) -> None:
        assert machine.name in "\n".join(backend.describe(machine))
        assert not machine.directory.exists()

    def test_a_disk_becomes_a_base_disk_for_others(
        self, backend: Backend, machine: Machine, tmp_path: Path
    ) -> None:
        disk = tmp_path / "frozen.qcow2"
        backend.create(machine)
        backend.freeze(machine, disk)
        assert disk.stat().st_mode & 0o777 == 0o400
        assert backend.status(machine).state is State.ABSENT
        backend.create(replace(machine, base_disk=disk))
        assert backend.status(machine).state is State.STOPPED

    def test_what_is_not_there_can_be_stopped_and_deleted(self, backend: Backend, machine: Machine) -> None:
        backend.stop(machine)
        backend.stop(machine, force=True)
        backend.delete(machine)
        assert backend.status(machine).state is State.ABSENT

    def test_a_running_machine_can_be_deleted(self, backend: Backend, machine: Machine) -> None:
        endpoint = self.start(backend, machine)
        backend.delete(machine)
        assert backend.status(machine).state is State.ABSENT
        with socket.socket() as client:
            assert client.connect_ex((endpoint.host, endpoint.port)) != 0

    def test_the_disk_of_a_machine_at_rest_can_be_kept_and_returned_to(
        self, backend: Backend, machine: Machine, tmp_path: Path
    ) -> None:
        kept = tmp_path / "kept"
        kept.mkdir()
        backend.create(machine)
        backend.capture(machine, kept)
        before = machine.overlay.read_bytes()
        machine.overlay.write_bytes(b"something else")
        backend.place(machine, kept)
        assert machine.overlay.read_bytes() == before
        assert backend.status(machine).state is State.STOPPED


class MemoryContract(BackendContract):
    """What a backend must do besides when it can save memory."""

    def test_memory_is_saved_and_resumed_once(self, backend: Backend, machine: Machine) -> None:
        assert backend.shape(machine) is not None
        self.start(backend, machine)
        backend.save(machine)
        status = backend.status(machine)
        assert (status.state, status.saved > 0) == (State.STOPPED, True)
        endpoint = backend.resume(machine, SilentReporter())
        assert endpoint
        assert backend.status(machine).endpoint == endpoint
        # The guest runs and changes its disk: what was saved must never be used again.
        backend.stop(machine, force=True)
        assert backend.status(machine).saved == 0
        assert backend.resume(machine, SilentReporter()) is None

    def test_a_boot_forgets_saved_memory(self, backend: Backend, machine: Machine) -> None:
        self.start(backend, machine)
        backend.save(machine)
        self.start(backend, machine)
        backend.stop(machine, force=True)
        assert backend.resume(machine, SilentReporter()) is None

    def test_memory_of_another_shape_is_not_resumed(self, backend: Backend, machine: Machine) -> None:
        self.start(backend, machine)
        backend.save(machine)
        larger = replace(machine, memory=2 * machine.memory)
        assert backend.shape(larger) != backend.shape(machine)
        assert backend.resume(larger, SilentReporter()) is None
        assert backend.status(machine).state is State.STOPPED
        assert backend.status(machine).saved == 0

    def test_what_was_captured_can_be_placed(self, backend: Backend, machine: Machine, tmp_path: Path) -> None:
        kept = tmp_path / "kept"
        kept.mkdir()
        endpoint = self.start(backend, machine)
        backend.capture(machine, kept)
        assert backend.status(machine).endpoint == endpoint
        backend.delete(machine)
        for _ in range(2):
            backend.place(machine, kept)
            assert backend.resume(machine, SilentReporter())
            backend.stop(machine, force=True)


class NoMemoryContract(BackendContract):
    """What a backend must say when it cannot."""

    def test_it_says_that_it_cannot_save_memory(self, backend: Backend, machine: Machine, tmp_path: Path) -> None:
        assert backend.shape(machine) is None
        assert backend.channel(machine) is None
        self.start(backend, machine)
        with pytest.raises(InstanceError) as saving:
            backend.save(machine)
        with pytest.raises(InstanceError) as keeping:
            backend.capture(machine, tmp_path)
        assert saving.value.code == keeping.value.code == "save-unsupported"
        assert backend.status(machine).state is State.RUNNING
        assert backend.resume(machine, SilentReporter()) is None
