from __future__ import annotations

from collections.abc import Iterator

import pytest

from provisioner.core.paths import find_paths
from provisioner.guest.identity import Identity, ensure_identity
from tests.unit.ssh_server import SSHServer, serving
from tests.unit.terminals import Terminal


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return ensure_identity(find_paths({"EBPF_DEV_HOME": str(tmp_path_factory.mktemp("ours"))}))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return ensure_identity(find_paths({"EBPF_DEV_HOME": str(tmp_path_factory.mktemp("theirs"))}))


@pytest.fixture
def server(identity: Identity) -> Iterator[SSHServer]:
    """A real SSH server on loopback that lets ``identity`` in."""
    with serving(identity, identity) as server:
        yield server
