"""A backend without machines, for tests of workflows."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import deque
from pathlib import Path

from provisioner.backends.base import DirectBoot, Endpoint, Machine, State, Status
from provisioner.core.paths import ensure_dir
from provisioner.core.reporter import Reporter
from tests.unit.fake_keeper import FakeKeeper


class FakeBackend:
    """Implements ``Backend`` with files in the machine's directory and a listener that sends a banner.

    ``calls`` lists what was called, as (method, machine name or architecture). ``fail("start", error)`` makes
    the next call of that method raise, before it has done anything; several are raised one after another.
    ``booted`` has the kernel that each machine was started with.
    ``saves`` says whether it can save memory, ``greets`` is what it wants done in guests that have booted.
    A guest that runs answers on its ``channel``, unless it was resumed while ``wakes`` is False.
    ``endpoint`` may be set to that of a real server, for example a fake sshd, to be handed out instead.
    """

    name = "fake"
    host_address = "192.0.2.1"

    def __init__(self, endpoint: Endpoint | None = None) -> None:
        self.calls: list[tuple[str, str]] = []
        self.endpoint = endpoint
        self.booted: dict[str, Path] = {}
        self.saves = self.wakes = True
        self.greets: tuple[str, ...] = ()
        self._failures: dict[str, deque[BaseException]] = {}
        self._running: dict[Path, _Machine] = {}
        self._broken: dict[Path, str] = {}

    def fail(self, method: str, error: BaseException) -> None:
        self._failures.setdefault(method, deque()).append(error)

    def keeper(self, machine: Machine) -> FakeKeeper:
        """Who answers for the machine, which runs."""
        return self._running[machine.directory].keeper

    def requests(self, machine: Machine) -> list[str]:
        """What the machine's keeper was asked."""
        return self.keeper(machine).requests

    def crash(self, machine: Machine) -> None:
        """End a running machine as a kill would: without a word, its files as they are."""
        self._running.pop(machine.directory).close()

    def break_down(self, machine: Machine, detail: str) -> None:
        """Make ``status`` call a machine broken, until it is started or stopped again."""
        self._broken[machine.directory] = detail

    def check_host(self, arch: str) -> None:
        self._called("check_host", arch)

    def disk_form(self, arch: str) -> str:
        return "qcow2"

    def describe(self, machine: Machine) -> list[str]:
        return [f"by nobody: {machine.name}"]

    def create(self, machine: Machine) -> None:
        self._called("create", machine.name)
        ensure_dir(machine.directory)
        if not machine.overlay.exists():
            machine.overlay.touch(mode=0o600)
            machine.overlay.write_text(json.dumps({"base": str(machine.base_disk), "size": machine.disk_size}))

    def start(self, machine: Machine, reporter: Reporter, timeout: float = 300.0) -> Endpoint:
        self._called("start", machine.name)
        _saved(machine.directory).unlink(missing_ok=True)
        self._broken.pop(machine.directory, None)
        with reporter.step(f"Booting {machine.name}"):
            if machine.directory not in self._running:
                if isinstance(machine.boot, DirectBoot):
                    self.booted[machine.name] = machine.boot.kernel
                machine.console_log.write_text("fake guest login: \n")
                self._running[machine.directory] = _Machine(_channel(machine))
        return self._endpoint(machine)

    def status(self, machine: Machine) -> Status:
        self._called("status", machine.name)
        if machine.directory in self._broken:
            return Status(State.BROKEN, detail=self._broken[machine.directory])
        if machine.directory in self._running:
            return Status(State.RUNNING, self._endpoint(machine), "tcg", os.getpid())
        if not machine.overlay.exists():
            return Status(State.ABSENT)
        saved = _saved(machine.directory)
        return Status(State.STOPPED, saved=saved.stat().st_size if saved.exists() else 0)

    def stop(self, machine: Machine, *, force: bool = False, timeout: float = 60.0) -> None:
        self._called("stop", machine.name)
        self._halt(machine)

    def delete(self, machine: Machine) -> None:
        self._called("delete", machine.name)
        self._halt(machine)
        self._remove(machine)

    def _remove(self, machine: Machine) -> None:
        machine.overlay.unlink(missing_ok=True)
        machine.console_log.unlink(missing_ok=True)
        _saved(machine.directory).unlink(missing_ok=True)

    def greeting(self, machine: Machine) -> tuple[str, ...]:
        return self.greets

    def freeze(self, machine: Machine, disk: Path) -> None:
        self._called("freeze", machine.name)
        self._halt(machine)
        machine.overlay.rename(disk)
        disk.chmod(0o400)
        self._remove(machine)

    def shape(self, machine: Machine) -> str | None:
        self._called("shape", machine.name)
        return f"{machine.cpus} {machine.memory}" if self.saves else None

    def save(self, machine: Machine) -> None:
        self._called("save", machine.name)
        self._write_saved(machine, machine.directory)
        self._halt(machine)

    def resume(self, machine: Machine, reporter: Reporter) -> Endpoint | None:
        self._called("resume", machine.name)
        saved = _saved(machine.directory)
        if not saved.exists():
            return None
        fits = saved.read_text() == f"{machine.cpus} {machine.memory}"
        saved.unlink()
        if not fits:
            reporter.note("The saved memory cannot be used.")
            return None
        self._running[machine.directory] = _Machine(_channel(machine), deaf=not self.wakes)
        return self._endpoint(machine)

    def capture(self, machine: Machine, directory: Path) -> None:
        self._called("capture", machine.name)
        (directory / machine.overlay.name).write_bytes(machine.overlay.read_bytes())
        if machine.directory in self._running or _saved(machine.directory).exists():
            self._write_saved(machine, directory)

    def place(self, machine: Machine, source: Path) -> None:
        self._called("place", machine.name)
        ensure_dir(machine.directory)
        machine.overlay.write_bytes((source / machine.overlay.name).read_bytes())
        _saved(machine.directory).unlink(missing_ok=True)
        if _saved(source).exists():
            _saved(machine.directory).write_text(_saved(source).read_text())

    def channel(self, machine: Machine) -> Path | None:
        return _channel(machine) if self.saves else None

    def close(self) -> None:
        """End every machine; for fixtures."""
        for banner in self._running.values():
            banner.close()
        self._running.clear()

    def _write_saved(self, machine: Machine, directory: Path) -> None:
        _saved(directory).write_text(f"{machine.cpus} {machine.memory}")

    def _halt(self, machine: Machine) -> None:
        self._broken.pop(machine.directory, None)
        banner = self._running.pop(machine.directory, None)
        if banner is not None:
            banner.close()

    def _endpoint(self, machine: Machine) -> Endpoint:
        return self.endpoint or self._running[machine.directory].endpoint

    def _called(self, method: str, what: str) -> None:
        self.calls.append((method, what))
        if self._failures.get(method):
            raise self._failures[method].popleft()


def _channel(machine: Machine) -> Path:
    return machine.directory / "channel"


def _saved(directory: Path) -> Path:
    """What stands for a saved memory: the shape that it fits."""
    return directory / "saved"


class _Machine:
    """Says ``SSH-`` to whoever connects, and nothing else; its keeper answers unless ``deaf``."""

    def __init__(self, channel: Path, *, deaf: bool = False) -> None:
        self.keeper = FakeKeeper(channel, deaf=deaf)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self._server.getsockname()[1])

    def close(self) -> None:
        # Closing alone does not wake a thread that waits in accept().
        self.keeper.close()
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"SSH-2.0-Fake\r\n")
