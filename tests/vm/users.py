"""An ordinary user with a checkout of their own, for what root may not or need not do."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from provisioner.core.process import require_tool

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def ordinary_user(name: str) -> Iterator[str]:
    """A new user without sudo, with the subordinate ids that useradd gives on a usual host; root makes them."""
    subprocess.run(["useradd", "-m", "-s", "/bin/bash", name], check=True)
    ids = "2000000-2065535"
    subprocess.run(["usermod", "--add-subuids", ids, "--add-subgids", ids, name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["pkill", "-KILL", "-u", name], check=False)
        number = pwd.getpwnam(name).pw_uid
        subprocess.run(["userdel", "-r", "-f", name], check=True, capture_output=True)
        for sockets in Path("/tmp").glob(f"ebpf-dev-{number}-*"):
            shutil.rmtree(sockets, ignore_errors=True)


def make_checkout(user: str) -> Path:
    """A clone of this repository in the user's home."""
    checkout = Path(pwd.getpwnam(user).pw_dir) / "ebpf-dev"
    safe = ["-c", f"safe.directory={ROOT}", "-c", f"safe.directory={ROOT}/.git"]
    subprocess.run(["git", *safe, "clone", "-q", "--no-local", str(ROOT), str(checkout)], check=True)
    subprocess.run(["chown", "-R", f"{user}:", str(checkout)], check=True)
    return checkout


def argv_as(user: str, *argv: str) -> list[str]:
    return [str(require_tool("runuser", "to be another user")), "-u", user, "--", *argv]


def env_of(user: str) -> dict[str, str]:
    """The user's own environment, with what this host needs to reach package registries."""
    keep = {
        name: os.environ[name]
        for name in os.environ
        if name.startswith(("PIP_", "SSL_")) or "proxy" in name.lower()
    }
    home = pwd.getpwnam(user).pw_dir
    return {"HOME": home, "USER": user, "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **keep}


def run_as(
    user: str, *argv: str, env: Mapping[str, str] | None = None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody else, in their home, with ``env`` beside their own."""
    return subprocess.run(
        argv_as(user, *argv), cwd=pwd.getpwnam(user).pw_dir, env={**env_of(user), **(env or {})},
        capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def give_to(user: str, directory: Path) -> None:
    """Let a directory with all that is in it belong to a user."""
    subprocess.run(["chown", "-R", f"{user}:", str(directory)], check=True)
