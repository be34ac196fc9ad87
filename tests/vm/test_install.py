"""What a new user does: the quick start as an ordinary user, and the tool out of its wheel."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from tests.vm.conftest import Cli
from tests.vm.users import ROOT


def test_quickstart_on_a_machine_without_state(quickstart: str) -> None:
    assert "Hello from PID" in quickstart


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
