"""The backend contract on the real Lima with the session's golden; for an ordinary user (see test_lima.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.backends.base import Backend, Machine
from provisioner.core.host import host_arch
from provisioner.core.paths import find_paths
from provisioner.core.sizes import GIB
from provisioner.images.golden import read_golden
from provisioner.workflows.backends import make_backend
from tests.unit.backend_contract import NoMemoryContract

PATHS = find_paths()


class TestRealLima(NoMemoryContract):
    timeout = 400.0

    @pytest.fixture
    def machine(self, tmp_path: Path) -> Machine:
        golden = read_golden(next(iter(PATHS.goldens.glob("*/golden.json"))).parent)
        return Machine(
            name="contract", directory=tmp_path / "contract", sockets=PATHS.runtime, arch=host_arch(), cpus=2,
            memory=2 * GIB, disk_size=20 * GIB, base_disk=golden.disk, boot=golden.boot,
        )  # fmt: skip

    @pytest.fixture
    def backend(self, machine: Machine, tmp_path: Path) -> Iterator[Backend]:
        backend = make_backend("lima", PATHS)
        yield backend
        backend.delete(machine)
        backend.delete(replace(machine, base_disk=tmp_path / "frozen.qcow2"))
