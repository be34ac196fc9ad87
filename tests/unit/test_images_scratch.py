"""What builds leave on the host: nothing, also when they are killed in the middle."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provisioner.images.tree import scratch_directory

#: No process has this number: Linux ends at 2**22.
NOBODY = 4194999
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's builds mount anything on the host")

# It mounts as the true one does, says so, and waits to be killed.
MMDEBSTRAP = """#!/bin/sh
mkdir -p "$1/proc" && mount -t tmpfs ebpf-dev-test "$1/proc" && touch "$1/proc/mounted" || exit 1
grep -c "$1/proc" /proc/self/mounts > "$1.mounts"
mv "$1.mounts" "$1.ready"
sleep 300
"""
BUILD = """
from pathlib import Path
from provisioner.core.reporter import SilentReporter
from provisioner.images.tree import run_mmdebstrap, scratch_directory
with scratch_directory() as scratch, SilentReporter().step("Building") as step:
    Path("scratch").write_text(str(scratch))
    run_mmdebstrap(["mmdebstrap", str(scratch / "tree")], scratch, step)
"""
SWEEP = """
import subprocess, sys
from pathlib import Path
from provisioner.images.tree import scratch_directory
mounted = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "ebpf-dev-test", mounted], check=True)
(mounted / "null").touch()
with scratch_directory():
    assert (mounted / "null").exists()
"""


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "builds"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def left_by_a_dead_build(parent: Path) -> Path:
    left = parent / f"ebpf-dev-build-{os.getuid()}-{NOBODY}-abc"
    (left / "tree").mkdir(parents=True)
    return left


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.02)
    return path.read_text()


def test_scratch_is_removed_also_what_a_killed_build_left(parent: Path) -> None:
    left = left_by_a_dead_build(parent)
    with scratch_directory() as scratch:
        # Others pass through to what they know of, but never write where root builds.
        assert stat.S_IMODE(next(parent.glob("ebpf-dev-build-*")).stat().st_mode) == 0o711
        assert stat.S_IMODE(scratch.stat().st_mode) == (0o711 if os.getuid() == 0 else 0o1777)
        assert not left.exists()
    assert list(parent.iterdir()) == []


@as_root
def test_a_build_that_is_killed_leaves_no_mounts(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin/mmdebstrap"
    tool.parent.mkdir()
    tool.write_text(MMDEBSTRAP)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with subprocess.Popen([sys.executable, "-c", BUILD], cwd=tmp_path) as build:
        scratch = Path(wait_for(tmp_path / "scratch"))
        assert wait_for(scratch / "tree.ready") == "1\n"
        build.send_signal(signal.SIGKILL)
    # Not even while the orphan lives, nor in its tree for anybody who looks from here.
    assert str(scratch) not in Path("/proc/self/mounts").read_text()
    assert list((scratch / "tree/proc").iterdir()) == []
    with scratch_directory():
        assert not scratch.exists()
    assert str(scratch).encode() not in b"".join(map(command_line, Path("/proc").glob("[0-9]*")))


def command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


@as_root
def test_sweeping_stops_at_what_is_mounted(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Earlier versions could leave the host's own /dev in a tree."""
    left = left_by_a_dead_build(parent)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    prefix = ["unshare", "--mount", "--propagation", "private", "--"]
    subprocess.run([*prefix, sys.executable, "-c", SWEEP, str(left / "tree")], check=True)
    # With nothing mounted there any more, the next one removes it.
    with scratch_directory():
        assert not left.exists()
