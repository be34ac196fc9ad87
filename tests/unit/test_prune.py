"""`images prune`: what is superseded goes, what anything stands on stays."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest

from provisioner.backends.base import Machine
from provisioner.core.errors import InstanceError
from provisioner.core.files import locked
from provisioner.core.paths import Paths, ensure_dir, find_paths
from provisioner.core.store import InstanceRecord, Store
from provisioner.workflows import prune as workflow
from provisioner.workflows.prune import find_unused, prune


def disk(path: Path, below: Path | None = None) -> Path:
    """A file that begins as a qcow2 standing on ``below`` does."""
    name = os.fsencode(below) if below else b""
    ensure_dir(path.parent)
    path.write_bytes(struct.pack(">4sIQI", b"QFI\xfb", 3, 20 if name else 0, len(name)) + name)
    return path


class Home:
    """A home with bases, goldens and instances as the workflows leave them; every one older than the next."""

    def __init__(self, root: Path) -> None:
        self.paths: Paths = find_paths({"EBPF_DEV_HOME": str(root)})
        self._age = 1000

    def base(self, key: str, image: str) -> Path:
        directory = self.paths.images / key
        disk(directory / "base.qcow2")
        (directory / "meta.json").write_text(json.dumps({"image": image}))
        return self._aged(directory)

    def golden(self, key: str, image: str, base: Path, release: str = "6.12") -> Path:
        directory = self.paths.goldens / key
        below = base / ("base.qcow2" if base.parent == self.paths.images else "disk.qcow2")
        disk(directory / "disk.qcow2", below)
        meta = {"image": image, "arch": "x86_64", "release": release, "image_release": "6.12"}
        files = {"base_disk": str(below), "kernel": str(base / "vmlinuz"), "initrd": str(base / "initrd")}
        (directory / "golden.json").write_text(json.dumps({**meta, **files}))
        return self._aged(directory)

    def instance(self, name: str, golden: Path, *, record: bool = True) -> Path:
        if record:
            Store(self.paths).save(
                InstanceRecord(name, golden.name, "x86_64", "qemu", "auto", 1, 1, 1, golden.name, "6.12", "", "")
            )
        return disk(self.paths.instance(name) / "overlay.qcow2", golden / "disk.qcow2")

    def template(self, key: str, golden: Path) -> Path:
        return disk(self.paths.templates / key / "overlay.qcow2", golden / "disk.qcow2").parent

    def unused(self, *, everything: bool = False) -> list[str]:
        return sorted(item.path.name for item in find_unused(self.paths, everything=everything))

    def _aged(self, directory: Path) -> Path:
        self._age += 10
        os.utime(directory, (self._age, self._age))
        return directory


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_the_newest_of_each_kind_stays_unless_everything_goes(home: Home) -> None:
    base = home.base("base", "debian-13")
    home.golden("old", "debian-13", base)
    new = home.golden("new", "debian-13", base)
    home.golden("kernel", "debian-13", new, "7.3.4")
    home.base("pulled", "debian-12")
    assert home.unused() == ["old"]
    assert home.unused(everything=True) == ["base", "kernel", "new", "old", "pulled"]


def test_what_an_instance_stands_on_stays(home: Home) -> None:
    base = home.base("base", "debian-13")
    golden = home.golden("golden", "debian-13", base)
    kernel = home.golden("kernel", "debian-13", golden, "7.3.4")
    home.golden("newer", "debian-13", home.base("base2", "debian-13"))
    home.instance("one", kernel)
    assert home.unused() == []
    assert home.unused(everything=True) == ["base2", "newer"]


@pytest.mark.parametrize("damage", ["no record", "torn record", "snapshot"])
def test_an_instance_that_cannot_be_read_keeps_its_disks_too(home: Home, damage: str) -> None:
    golden = home.golden("golden", "debian-13", home.base("base", "debian-13"))
    home.golden("newer", "debian-13", home.base("base2", "debian-13"))
    overlay = home.instance("one", golden, record=damage == "torn record")
    if damage == "torn record":
        (overlay.parent / "record.json").write_text("{")
    elif damage == "snapshot":
        disk(overlay.parent / "snapshots" / "s" / "overlay.qcow2", golden / "disk.qcow2")
        overlay.unlink()
    assert home.unused(everything=True) == ["base2", "newer"]


def test_templates_go_with_their_golden(home: Home) -> None:
    base = home.base("base", "debian-13")
    old, new = home.golden("old", "debian-13", base), home.golden("new", "debian-13", base)
    home.template("t-old", old)
    home.template("t-new", new)
    assert home.unused() == ["old", "t-old"]
    home.instance("one", old)
    assert home.unused() == []


def test_leftovers_go(home: Home) -> None:
    for folder in (home.paths.images, home.paths.goldens, home.paths.templates):
        disk(folder / "k.partial" / "overlay.qcow2")
    disk(home.paths.downloads / "a.qcow2.part")
    (home.paths.downloads / "a.qcow2.json").write_text("{}")
    freed = prune(home.paths)
    assert len(freed) == 4
    assert all(item.size > 0 for item in freed)
    assert [path for path in home.paths.cache.rglob("*") if path.is_file()] == []
    assert home.unused(everything=True) == []


@pytest.mark.parametrize("kind", ["goldens", "templates"])
def test_the_machine_of_a_leftover_is_ended(home: Home, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    ended: list[str] = []

    class Backend:
        def delete(self, machine: Machine) -> None:
            ended.append(machine.name)

    monkeypatch.setattr(workflow, "all_backends", lambda paths: [Backend()])
    disk(getattr(home.paths, kind) / "k.partial" / "overlay.qcow2")
    prune(home.paths)
    assert ended == ["k.partial"]


def test_nobody_is_disturbed_at_work(home: Home) -> None:
    base = home.base("base", "debian-13")
    home.golden("old", "debian-13", base)
    with locked(home.paths.locks / "instance-one.lock"), pytest.raises(InstanceError) as caught:
        prune(home.paths, everything=True)
    assert caught.value.code == "busy"
    assert base.exists()
    prune(home.paths, everything=True)
    assert not base.exists()
