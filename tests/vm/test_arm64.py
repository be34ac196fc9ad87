"""Machines of the other architecture: an arm64 kernel that boots, is saved and goes on, in about a minute."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.backends.base import Endpoint, Machine, State
from provisioner.backends.qemu.backend import QemuBackend
from provisioner.core.reporter import SilentReporter
from tests.unit.qemu_machines import socket_dir
from tests.vm.arm64_kernel import Kernel, fetch_kernel
from tests.vm.conftest import BOOT


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    return fetch_kernel(tmp_path_factory.mktemp("arm64"))


@pytest.fixture
def machine(kernel: Kernel, tmp_path: Path) -> Iterator[Machine]:
    base = tmp_path / "base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", base, "64M"], check=True)
    with socket_dir() as sockets:
        yield Machine(
            name="arm", directory=tmp_path / "arm", sockets=sockets, arch="aarch64", cpus=2, memory=512 << 20,
            disk_size=64 << 20, base_disk=base, boot=kernel.boot, memory_in_file=True,
        )  # fmt: skip


def banner_at(endpoint: Endpoint) -> list[str]:
    with socket.create_connection((endpoint.host, endpoint.port), timeout=60) as connection:
        return connection.makefile().readline().split()


def test_an_arm64_kernel_boots_is_saved_and_goes_on(kernel: Kernel, machine: Machine, tmp_path: Path) -> None:
    backend = QemuBackend(tmp_path / "host.json")
    backend.create(machine)
    try:
        first = banner_at(backend.start(machine, SilentReporter(), BOOT))
        assert first[:2] == ["SSH-2.0-aarch64", kernel.release]
        said = re.search(r"types of the kernel: (\d+) bytes", machine.console_log.read_text(errors="replace"))
        assert said
        assert int(said[1]) > 1 << 20
        assert backend.shape(machine)
        backend.save(machine)
        assert backend.status(machine).state is State.STOPPED
        endpoint = backend.resume(machine, SilentReporter())
        assert endpoint
        assert banner_at(endpoint) == first
    finally:
        backend.delete(machine)
