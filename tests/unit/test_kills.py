"""``kill -9`` between two steps of what deals with saved memory, on a QEMU that tells memory of another disk."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.backends.base import State
from provisioner.backends.qemu.backend import QemuBackend
from provisioner.core.store import Store
from provisioner.workflows import up
from provisioner.workflows.lifecycle import bring_down, delete_instance, reset_instance
from provisioner.workflows.snapshots import restore_snapshot, save_snapshot
from tests.unit import fake_qemu
from tests.unit.kills import Choice, killed_at
from tests.unit.test_lifecycle import Lab as Workflows
from tests.unit.test_qemu_backend import kvm_looks_fine

NAME = "one"


class Lab(Workflows):
    """Instances on the real backend with a fake QEMU; every verb is killed in a process of its own."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root, monkeypatch)
        fake_qemu.install(root / "bin")
        monkeypatch.setenv("PATH", str(root / "bin"), prepend=os.pathsep)
        monkeypatch.setenv("FAKE_QEMU", json.dumps({"kvm": "boot", "tcg": "boot"}))
        self.backend = QemuBackend(self.paths.host_facts, gather=kvm_looks_fine)  # type: ignore[assignment]
        self.root, self.home = root, root / "home"
        #: The settings of networks that were given to guests.
        self.applied: list[object] = []
        monkeypatch.setattr(up, "connect", lambda *args, **options: self.guest)
        monkeypatch.setattr(up, "apply_network", lambda guest, network, manager: self.applied.append(network))

    def kill(self, verb: str, choice: Choice) -> str | None:
        """Kill a verb before the step of our choice; None when it came to its end."""
        prepare, act = VERBS[verb]
        prepare(self)
        self.reporter.notes.clear()
        return killed_at(lambda: act(self), choice, self.home)

    def check(self) -> None:
        """An `up` gives one machine that runs, never beside memory that its disk has left behind."""
        self.up(NAME)
        assert self.instance(NAME).status().state is State.RUNNING
        assert not [note for note in self.reporter.notes if fake_qemu.MISMATCH in note]
        assert len(self.processes()) == 1
        # What a snapshot left that was killed goes with the next one.
        left = [path for path in self.home.rglob("*") if path.suffix in (".part", ".partial")]
        left = [path for path in left if path.parent.name != ".partial"]
        assert [path for path in left if path.is_dir() or path.stat().st_size] == []

    def processes(self) -> list[int]:
        """The machines of this home."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if b"-pidfile" in words and os.fsencode(self.home) in words:
                    found.append(int(entry.name))
        return found

    def close(self) -> None:
        for name in Store(self.paths).names():
            delete_instance(name, self.paths, self.reporter)
        shutil.rmtree(self.paths.runtime, ignore_errors=True)
        assert self.processes() == []


def running(lab: Lab) -> None:
    lab.up(NAME)


def saved(lab: Lab) -> None:
    lab.up(NAME)
    bring_down(NAME, lab.paths, lab.reporter, save=True)


def gone(lab: Lab) -> None:
    lab.up(NAME)
    delete_instance(NAME, lab.paths, lab.reporter)
    lab.record(NAME)


def down_cold(lab: Lab) -> None:
    lab.up(NAME)
    bring_down(NAME, lab.paths, lab.reporter, save=False)


def without_template(lab: Lab) -> None:
    gone(lab)
    shutil.rmtree(lab.paths.templates)


def with_snapshot(lab: Lab) -> None:
    lab.up(NAME)
    if not (lab.machine(NAME).directory / "snapshots" / "kept").exists():
        save_snapshot("kept", NAME, lab.paths, lab.reporter)


def snapped(lab: Lab) -> None:
    save_snapshot("new", NAME, lab.paths, lab.reporter)


def without_snapshot(lab: Lab) -> None:
    lab.up(NAME)
    shutil.rmtree(lab.machine(NAME).directory / "snapshots", ignore_errors=True)


#: What has to be so before, and what is killed.
VERBS: dict[str, tuple[Callable[[Lab], None], Callable[[Lab], object]]] = {
    "down": (running, lambda lab: bring_down(NAME, lab.paths, lab.reporter)),
    "up": (saved, lambda lab: lab.up(NAME)),
    "new": (gone, lambda lab: lab.up(NAME)),
    "template": (without_template, lambda lab: lab.up(NAME)),
    "reset": (running, lambda lab: reset_instance(NAME, lab.settings, lab.paths, lab.reporter, {})),
    "snapshot": (without_snapshot, snapped),
    "restore": (
        with_snapshot,
        lambda lab: restore_snapshot("kept", NAME, lab.settings, lab.paths, lab.reporter, {}),
    ),
}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    lab = Lab(tmp_path, monkeypatch)
    yield lab
    lab.close()


#: Where nothing else than a kill shows whether the order of steps is right.
POINTS = (
    ("down", "make .saved"),
    ("down", "qmp quit"),
    ("up", "qmp migrate-incoming"),
    ("up", "remove saved.json"),
    ("up", "qmp cont"),
    ("up", "rename ssh_config"),
    ("new", "make .saved"),
    ("template", "make .saved"),
    ("template", "qmp quit"),
    ("snapshot", "make .snapshot"),
    ("restore", "rename overlay.qcow2"),
)


@pytest.mark.parametrize(("verb", "point"), POINTS)
def test_killed_before(lab: Lab, verb: str, point: str) -> None:
    assert lab.kill(verb, lambda _, name: name == point) == point
    lab.check()


@pytest.mark.nightly
@pytest.mark.parametrize("verb", VERBS)
def test_killed_between_any_two_steps(lab: Lab, verb: str) -> None:
    """All steps, one after the other."""
    for number in itertools.count(1):
        at = lab.kill(verb, lambda count, _, number=number: count == number)  # type: ignore[misc]
        print(verb, number, at)
        lab.check()
        if at is None:
            return


@pytest.mark.parametrize(("verb", "point"), [("reset", "remove overlay.qcow2"), ("restore", "rename saved.json")])
def test_a_disk_exchanged_by_somebody_who_was_killed_has_no_known_settings(
    lab: Lab, verb: str, point: str
) -> None:
    """Else a proxy that was set since would be taken for set in the other disk too."""
    assert lab.kill(verb, lambda _, name: name == point)
    lab.check()
    assert len(lab.applied) == 1


# Two at once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("prepare", [saved, without_template, down_cold])
def test_two_ups_of_one_instance_make_one_machine(lab: Lab, prepare: Callable[[Lab], None]) -> None:
    prepare(lab)
    at_once(lambda: lab.up(NAME), lambda: lab.up(NAME))
    lab.check()


@pytest.mark.parametrize("prepare", [gone, without_template])
def test_two_new_instances_stand_on_one_template(lab: Lab, prepare: Callable[[Lab], None]) -> None:
    prepare(lab)
    lab.record("two")
    at_once(lambda: lab.up(NAME), lambda: lab.up("two"))
    assert len(lab.processes()) == 2
    assert len(lab.templates) == 1
    assert lab.machine("two").overlay.read_bytes() != lab.machine(NAME).overlay.read_bytes()


def test_an_up_and_a_down_at_once_leave_the_one_or_the_other(lab: Lab) -> None:
    running(lab)
    at_once(lambda: bring_down(NAME, lab.paths, lab.reporter), lambda: lab.up(NAME))
    lab.check()


def at_once(*actions: Callable[[], object]) -> None:
    """Carry them out in a process each; none of them may fail."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=action) for action in actions]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(actions)


# Templates that do not fit -----------------------------------------------------------------------


def truncate(path: Path) -> None:
    os.truncate(path, 10)


@pytest.mark.parametrize(
    ("name", "fault"),
    [("memory", truncate), ("memory", Path.unlink), ("state", truncate), ("saved.json", truncate)],
)
def test_a_damaged_template_is_made_anew(lab: Lab, name: str, fault: Callable[[Path], None]) -> None:
    gone(lab)
    (template,) = lab.templates
    fault(template / name)
    lab.check()
    assert [note for note in lab.reporter.notes if "making it anew" in note]
    assert lab.backend.status(replace(lab.machine(NAME), directory=template)).saved > 0


def test_a_machine_that_was_to_become_a_template_does_not_outlive_its_maker(lab: Lab) -> None:
    """Also when the next one is made for machines of another shape."""
    assert lab.kill("template", lambda _, name: name == "qmp stop")
    assert len(lab.processes()) == 1
    lab.record(NAME, cpus=2)
    lab.check()
    assert len(lab.templates) == 1


def test_another_qemu_gets_a_template_of_its_own(lab: Lab) -> None:
    gone(lab)
    os.utime(lab.root / "bin" / "qemu-system-x86_64", ns=(1, 1))
    lab.check()
    assert len(lab.templates) == 2
    assert lab.reporter.notes == []


def test_hardware_that_is_tried_anew_in_vain_does_not_save_another_machine(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known about the host is forgotten with each upgrade of QEMU or of the host's kernel."""
    monkeypatch.setenv("FAKE_QEMU", json.dumps({"kvm": "die", "tcg": "boot"}))
    gone(lab)
    lab.paths.host_facts.unlink()
    lab.reporter.titles.clear()
    lab.check()
    assert "Saving the started machine for the next time" not in lab.reporter.titles
    assert len(lab.templates) == 1


def test_memory_that_its_template_took_along_is_said_and_the_instance_boots(lab: Lab) -> None:
    """Somebody emptied the cache between the making of an instance and its first resume."""
    gone(lab)
    assert killed_at(lambda: lab.up(NAME), lambda _, name: name == "make qemu.lock", lab.home)
    shutil.rmtree(lab.paths.templates)
    lab.check()
