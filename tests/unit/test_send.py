"""Files sent to the guest's build directories, by the real shell, tar and find."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provisioner.core.errors import GuestError
from provisioner.guest.recipe import make_tar
from provisioner.workflows import running
from provisioner.workflows.build import NOT_UNPACKED, SEND_AND_COMPILE
from provisioner.workflows.running import send
from tests.unit.guests import HereGuest

WEEK = 7 * 86400


def test_the_files_are_there_when_send_returns(tmp_path: Path) -> None:
    directory = tmp_path / "build" / "new"
    for _ in range(2):  # by whoever else has sent the same
        send(HereGuest(), str(directory), {"src/x.bpf.o": b"object", "src/x.h": b""})
        assert (directory / "src/x.bpf.o").read_bytes() == b"object"
    assert [path.name for path in directory.parent.iterdir()] == ["new"]


def test_files_cut_short_are_not_taken_for_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "make_tar", lambda files: make_tar(files)[:700])
    with pytest.raises(GuestError):
        send(HereGuest(), str(tmp_path / "build" / "new"), {"a": b"x" * 500})
    assert list((tmp_path / "build").iterdir()) == []


def test_one_build_at_a_time(tmp_path: Path) -> None:
    """The second finds it done instead of taking the directory from under the first one's compiler."""
    directory = tmp_path / "build" / "key"
    compiler = "cat x.c >../x.o; echo once >>../../calls; sleep 0.3; cat x.c >>../x.o"
    step = ["sh", "-c", SEND_AND_COMPILE, "step", str(directory), f"{directory}/src", "done", "sh", "-c", compiler]
    tar = make_tar({"src/x.c": b"text\n"})
    with ThreadPoolExecutor() as pool:
        for done in pool.map(lambda _: HereGuest().run(step, input=tar), range(3)):
            assert done.ok
    assert (directory / "x.o").read_text() == "text\ntext\n"
    assert (directory / "done").exists()
    assert (tmp_path / "build/calls").read_text() == "once\n"


def test_a_build_for_which_there_is_no_place_is_no_fault_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    directory = f"{tmp_path}/file/key"
    step = ["sh", "-c", SEND_AND_COMPILE, "step", directory, f"{directory}/src", "done", "true"]
    assert HereGuest().run(step, check=False).status == NOT_UNPACKED
    (tmp_path / "key.lock").mkdir()
    step[4] = f"{tmp_path}/key"
    assert HereGuest().run(step, check=False).status == NOT_UNPACKED


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
