"""Instance records, atomic files and locks."""

import dataclasses
import json
import multiprocessing
from pathlib import Path

import pytest

from provisioner.core.errors import InstanceError, UsageError
from provisioner.core.files import locked, write_atomic
from provisioner.core.paths import Paths, ensure_dir, find_paths
from provisioner.core.store import InstanceRecord, Store

RECORD = InstanceRecord(
    name="one", image="debian-13", arch="x86_64", backend="qemu", accelerator="auto", cpus=2,
    memory=2 << 30, disk=20 << 30, golden="abc", release="6.12", network_digest="d", created="2026-01-01",
)  # fmt: skip


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return find_paths({"EBPF_DEV_HOME": str(tmp_path / "home, with spaces")})


@pytest.fixture
def store(paths: Paths) -> Store:
    return Store(paths)


def test_a_record_comes_back_as_it_was(store: Store) -> None:
    store.save(RECORD)
    assert store.load("one") == RECORD
    assert store.names() == ["one"]


def test_directories_are_private(store: Store, paths: Paths) -> None:
    store.save(RECORD)
    for directory in (paths.data, paths.instances, paths.instance("one")):
        assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 99}', '{"schema": 1, "name": "one"}', "\0\xff"])
def test_a_corrupt_record_is_said_and_can_be_removed(store: Store, paths: Paths, text: str) -> None:
    ensure_dir(paths.instance("one"))
    (paths.instance("one") / "record.json").write_text(text)
    with pytest.raises(InstanceError) as caught:
        store.load("one")
    assert caught.value.code == "record-corrupt"
    assert "delete one" in caught.value.hint
    store.remove("one")
    assert store.names() == []


def test_a_field_of_the_wrong_type_is_corrupt(store: Store, paths: Paths) -> None:
    store.save(RECORD)
    value = {"schema": 1, **dataclasses.asdict(RECORD), "memory": "2G"}
    (paths.instance("one") / "record.json").write_text(json.dumps(value))
    with pytest.raises(InstanceError, match="cannot be read"):
        store.find("one")


def test_an_unknown_instance_names_the_others(store: Store) -> None:
    store.save(RECORD)
    with pytest.raises(UsageError) as caught:
        store.load("two")
    assert "one" in caught.value.details
    assert "ebpf-dev up two" in caught.value.hint


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "f"
    write_atomic(target, b"old")
    with pytest.raises(TypeError):
        write_atomic(target, "text")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def _hold(path: Path, taken: "multiprocessing.synchronize.Event") -> None:
    with locked(path):
        taken.set()
        multiprocessing.Event().wait(30)


def test_a_lock_is_waited_for_and_dies_with_its_holder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    taken = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "l", taken))
    holder.start()
    assert taken.wait(10)
    # `kill -9` as soon as we are known to wait: the lock must come free by itself.
    with locked(tmp_path / "l", on_wait=holder.kill):
        pass
    holder.join()
    assert holder.exitcode == -9


def test_sockets_fit_whatever_the_home_is_called(tmp_path: Path) -> None:
    home = tmp_path / ("very long name " * 8)
    assert len(bytes(find_paths({"EBPF_DEV_HOME": str(home)}).runtime / "golden-0123456789abcdef.qmp")) < 104
