"""The host's side of the keeper, with a guest made of two FIFOs and a thread."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provisioner.core.errors import GuestError
from provisioner.core.resources import keeper_source
from provisioner.guest.keeper import Names, is_awake, wake, write_back
from tests.unit.fake_keeper import FakeKeeper

NAMES = Names("ebpf-dev-one", "0123456789abcdef" * 2)


def test_a_guest_is_told_time_names_and_a_seed_of_its_own(tmp_path: Path) -> None:
    before = time.time_ns()
    with FakeKeeper(tmp_path / "c") as keeper:
        for _ in range(2):
            wake(tmp_path / "c", NAMES, 10)
    first, second = (request.split() for request in keeper.requests)
    assert first[0] == "wake"
    assert before <= int(first[1]) * 10**9 + int(first[2]) <= time.time_ns()
    assert first[3:5] == [NAMES.hostname, NAMES.machine_id]
    assert first[5] != second[5]
    assert len(bytes.fromhex(first[5])) == 32


def test_another_answer_is_not_ours(tmp_path: Path) -> None:
    with FakeKeeper(tmp_path / "c", before=b"old-token\nhalf") as keeper:
        write_back(tmp_path / "c")
    assert keeper.requests == ["sync"]


def test_a_guest_that_says_nothing(tmp_path: Path) -> None:
    with FakeKeeper(tmp_path / "c", deaf=True), pytest.raises(GuestError) as caught:
        write_back(tmp_path / "c", timeout=0.05)
    assert caught.value.code == "guest-silent"


@pytest.mark.parametrize("babbles", [False, True])
def test_a_machine_that_ends_or_babbles_while_it_is_asked(tmp_path: Path, babbles: bool) -> None:
    for suffix in (".in", ".out"):
        os.mkfifo(tmp_path / f"c{suffix}")
    ends = [os.open(tmp_path / f"c{suffix}", os.O_RDWR) for suffix in (".in", ".out")]
    over = threading.Event()

    def hypervisor() -> None:
        while babbles and not over.wait(0.01):
            os.write(ends[1], b"babble\n")
        over.wait(0 if babbles else 0.1)
        for end in ends:
            os.close(end)

    machine = threading.Thread(target=hypervisor)
    machine.start()
    with pytest.raises(GuestError) as caught:
        write_back(tmp_path / "c", timeout=0.3 if babbles else 30)
    over.set()
    machine.join()
    assert caught.value.code == "guest-silent"


def test_each_of_many_at_once_has_its_own_answer(tmp_path: Path) -> None:
    with FakeKeeper(tmp_path / "c"), ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: is_awake(tmp_path / "c", 5), range(100)))


def test_a_machine_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(GuestError) as caught:
        wake(tmp_path / "c", NAMES, 10)
    assert caught.value.code == "guest-silent"


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_keeper_compiles_without_a_warning() -> None:
    argv = ["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-o", "/dev/null", str(keeper_source())]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
