"""What a new user does: the quick start as an ordinary user, and the tool out of its wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.conftest import BOOT, Cli
from tests.vm.users import ROOT, as_user, make_checkout, ordinary_user


@pytest.fixture
def user() -> Iterator[str]:
    if os.geteuid() != 0:
        pytest.skip("only root can make another user; the rest of the suite runs as this ordinary one")
    with ordinary_user("ebpf-dev-test") as user:
        yield user


def test_quickstart_as_an_ordinary_user_on_a_machine_without_state(user: str) -> None:
    checkout = make_checkout(user)
    try:
        done = as_user(user, str(checkout / "examples" / "quickstart"), "--yes", timeout=1500)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Hello from PID" in done.stdout
    finally:
        as_user(user, str(checkout / ".venv/bin/ebpf-dev"), "delete", timeout=BOOT)


def test_the_wheel_has_all_it_needs(instance: Cli, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "-q", "--wheel", "--outdir", str(tmp_path), str(ROOT)],
        check=True, timeout=300,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", str(wheel)], check=True, timeout=300)
    tool = str(tmp_path / "venv" / "bin" / "ebpf-dev")

    def call(*words: str) -> str:
        done = subprocess.run(
            [tool, *words],
            cwd=tmp_path,
            env=instance.env,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "killsnoop" in call("examples")
    assert "debian-13" in call("images")
    assert "already running" in call("up")
    assert "Hello from PID" in call("run", "hello", "--for", "5", "--trigger", "true; /bin/true")
