"""Files sent to the guest's build directories, by the real shell, tar and find."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from provisioner.core.errors import GuestError
from provisioner.workflows.running import send
from tests.unit.guests import HereGuest

WEEK = 7 * 86400


def test_the_files_are_there_when_send_returns(tmp_path: Path) -> None:
    directory = tmp_path / "build" / "new"
    for text in (b"first", b"second"):  # also where an interrupted one left something
        send(HereGuest(), str(directory), {"src/x.bpf.o": text, "src/x.h": text})
        assert (directory / "src/x.bpf.o").read_bytes() == text
        (directory / "left").touch()
    send(HereGuest(), str(directory), {"src/x.h": b"third"})
    assert [path.name for path in directory.rglob("*")] == ["src", "x.h"]


def test_old_builds_are_removed(tmp_path: Path) -> None:
    long_ago = time.time() - WEEK - 2 * 86400
    for name in ("old", "recent"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / "old", (long_ago, long_ago))
    send(HereGuest(), str(tmp_path / "new"), {"x": b""})
    deadline = time.monotonic() + 10
    while (tmp_path / "old").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "recent"]


def test_what_cannot_be_unpacked_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GuestError):
        send(HereGuest(), str(tmp_path / "file" / "new"), {"x": b""})
