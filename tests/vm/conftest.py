"""One home, one golden and one running instance for all tests that need a real virtual machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.paths import find_paths
from provisioner.core.process import CommandResult
from tests.vm.users import give_to, make_checkout, ordinary_user, run_as

#: Generous, because everything may run under TCG on two busy cores; nothing is measured here.
FIRST_UP = 1500.0
BOOT = 400.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vm)


@dataclass(frozen=True)
class Cli:
    """The command line as a user has it, with a home of its own."""

    home: Path
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "EBPF_DEV_HOME": str(self.home), "NO_COLOR": "1", **dict(self.settings)}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "provisioner", *words]

    def __call__(self, *words: str, timeout: float = 180.0, check: bool = True) -> CommandResult:
        done = subprocess.run(
            self.argv(*words), env=self.env, capture_output=True, text=True, errors="replace",
            timeout=timeout, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        result = CommandResult(tuple(words), done.returncode, done.stdout, done.stderr)
        if check and not result.ok:
            pytest.fail(f"{' '.join(words)}: status {result.status}\n{result.stdout}\n{result.stderr}")
        return result

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The same in the background, in a process group of its own, stderr merged into stdout."""
        return subprocess.Popen(
            self.argv(*words), env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def json(self, *words: str, timeout: float = 180.0, check: bool = True) -> Any:
        return json.loads(self(*words, timeout=timeout, check=check).stdout)

    def state(self, name: str) -> dict[str, Any]:
        found = [item for item in self.json("status", "--json")["instances"] if item["name"] == name]
        return found[0] if found else {"state": "absent"}

    def guest(self, *argv: str, instance: str = "default", check: bool = True) -> str:
        return self("exec", "-i", instance, "--", *argv, check=check).stdout


def read_until(process: subprocess.Popen[str], words: str, timeout: float) -> str:
    """Read a background command's output up to a line that has ``words``."""
    assert process.stdout is not None
    deadline, seen = time.monotonic() + timeout, ""
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        seen += line
        if words in line:
            return seen
        if not line:
            break
    pytest.fail(f"never said {words!r}:\n{seen}")


def kill_group(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    os.killpg(process.pid, number)
    process.wait(timeout=60)


@pytest.fixture(scope="session")
def cli(request: pytest.FixtureRequest) -> Iterator[Cli]:
    kept = request.config.getoption("--home")
    if kept:
        yield Cli(Path(kept).absolute())
        return
    with empty_home() as cli:
        yield cli


@contextlib.contextmanager
def empty_home(*settings: tuple[str, str]) -> Iterator[Cli]:
    """A home without images and goldens, removed afterwards with every machine in it."""
    # Not in /tmp: that is often memory, and a golden takes more than a gigabyte.
    home = Path(tempfile.mkdtemp(prefix="ebpf-dev-test-", dir="/var/tmp"))
    cli = Cli(home, settings)
    try:
        yield cli
    finally:
        for instance in cli.json("status", "--json")["instances"]:
            cli("delete", instance["name"], timeout=BOOT, check=False)
        left = machines_of(home)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(find_paths({"EBPF_DEV_HOME": str(home)}).runtime, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
        assert not left, f"virtual machines were left running: {left}"


def machines_of(home: Path) -> list[int]:
    """The processes of virtual machines that belong to this home."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"qemu-system" in words and os.fsencode(home) in words:
                found.append(int(entry.name))
    return found


@pytest.fixture(scope="session")
def quickstart(cli: Cli) -> str:
    """What the quick start says to an ordinary user on a machine without state; what it provisioned is for all."""
    if os.geteuid() != 0:
        pytest.skip("only root can make another user; the rest of the suite runs as this ordinary one")
    if _has_golden(cli):
        pytest.skip("the home that was given has a golden already")
    with ordinary_user("ebpf-dev-test") as user:
        checkout, env = make_checkout(user), {"EBPF_DEV_HOME": str(cli.home)}
        give_to(user, cli.home)
        try:
            done = run_as(user, str(checkout / "examples/quickstart"), "--yes", env=env, timeout=FIRST_UP)
            run_as(user, str(checkout / ".venv/bin/ebpf-dev"), "delete", env=env, timeout=BOOT)
        finally:
            give_to("root", cli.home)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _has_golden(cli: Cli) -> bool:
    return find_paths(cli.env).goldens.exists()


@pytest.fixture(scope="session")
def instance(cli: Cli, request: pytest.FixtureRequest) -> Cli:
    """The instance `default`, running."""
    if os.geteuid() == 0 and not _has_golden(cli):
        request.getfixturevalue("quickstart")
    result = cli("up", timeout=FIRST_UP)
    assert "running" in result.stdout
    return cli


@pytest.fixture
def second(instance: Cli) -> Iterator[Callable[[str], Cli]]:
    """Further instances for one test, deleted afterwards."""
    made = list[str]()

    def make(name: str) -> Cli:
        made.append(name)
        instance("up", name, timeout=BOOT)
        return instance

    yield make
    for name in made:
        instance("delete", name, timeout=BOOT, check=False)
