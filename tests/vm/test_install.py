"""What a new user does: the quick start as an ordinary user, and the tool out of its wheel."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.core.process import require_tool
from tests.vm.conftest import BOOT, Cli

ROOT = Path(__file__).resolve().parents[2]
USER = "ebpf-dev-test"


@pytest.fixture
def user() -> Iterator[str]:
    """An ordinary user without sudo, with the subordinate ids that useradd gives on a usual host."""
    if os.geteuid() != 0:
        pytest.skip("only root can make another user; the rest of the suite runs as this ordinary one")
    subprocess.run(["useradd", "-m", "-s", "/bin/bash", USER], check=True)
    ids = "2000000-2065535"
    subprocess.run(["usermod", "--add-subuids", ids, "--add-subgids", ids, USER], check=True)
    try:
        yield USER
    finally:
        subprocess.run(["pkill", "-KILL", "-u", USER], check=False)
        number = pwd.getpwnam(USER).pw_uid
        subprocess.run(["userdel", "-r", "-f", USER], check=True, capture_output=True)
        for sockets in Path("/tmp").glob(f"ebpf-dev-{number}-*"):
            shutil.rmtree(sockets, ignore_errors=True)


def as_user(user: str, *argv: str, timeout: float) -> subprocess.CompletedProcess[str]:
    home = pwd.getpwnam(user).pw_dir
    keep = {
        name: os.environ[name]
        for name in os.environ
        if name.startswith(("PIP_", "SSL_")) or "proxy" in name.lower()
    }
    env = {"HOME": home, "USER": user, "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **keep}
    runuser = str(require_tool("runuser", "to be another user"))
    return subprocess.run(
        [runuser, "-u", user, "--", *argv], cwd=home, env=env, capture_output=True, text=True,
        timeout=timeout, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_quickstart_as_an_ordinary_user_on_a_machine_without_state(user: str) -> None:
    checkout = Path(pwd.getpwnam(user).pw_dir) / "ebpf-dev"
    safe = ["-c", f"safe.directory={ROOT}", "-c", f"safe.directory={ROOT}/.git"]
    subprocess.run(["git", *safe, "clone", "-q", "--no-local", str(ROOT), str(checkout)], check=True)
    subprocess.run(["chown", "-R", f"{user}:", str(checkout)], check=True)
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
