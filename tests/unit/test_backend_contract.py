"""The backend contract, held against the fake backend, and those of QEMU and Lima on fake programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.backends.base import Backend, DirectBoot, Machine
from provisioner.backends.qemu.backend import QemuBackend
from tests.unit import fake_limactl, fake_qemu
from tests.unit.backend_contract import MemoryContract, NoMemoryContract
from tests.unit.fake_backend import FakeBackend
from tests.unit.qemu_machines import make_machine, socket_dir


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with socket_dir() as sockets:
        yield make_machine(tmp_path, sockets, accelerator="tcg")


class TestFakeBackend(MemoryContract):
    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        backend = FakeBackend()
        yield backend
        backend.close()

    def test_it_fails_as_told_and_then_works(self, machine: Machine) -> None:
        backend = FakeBackend()
        backend.fail("create", OSError("first"))
        with pytest.raises(OSError, match="first"):
            backend.create(machine)
        backend.create(machine)
        assert backend.calls == [("create", machine.name)] * 2


class TestQemuBackend(MemoryContract):
    @pytest.fixture
    def backend(self, tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
        fake_qemu.install(tmp_path / "bin")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
        monkeypatch.setenv("FAKE_QEMU", '{"tcg": "boot"}')
        backend = QemuBackend(tmp_path / "host.json")
        yield backend
        backend.delete(machine)


class TestLimaBackend(NoMemoryContract):
    @pytest.fixture
    def backend(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
        assert isinstance(machine.boot, DirectBoot)
        machine.boot.kernel.touch()
        machine.boot.initrd.touch()
        with fake_limactl.installed(monkeypatch) as lab:
            yield lab.backend()
            lab.backend().delete(machine)
