"""Saved memory of QEMU machines: what goes wrong with it, and that a machine then boots."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from provisioner.backends.base import Machine, State
from provisioner.backends.qemu import backend as backend_module
from provisioner.backends.qemu import suspend
from provisioner.backends.qemu.backend import QemuBackend
from provisioner.backends.qemu.qmp import Qmp
from provisioner.backends.qemu.record import recorded_argv
from provisioner.core.errors import HostError, InstanceError
from tests.unit.test_qemu_backend import TIMEOUT, Lab, lab  # noqa: F401 - a fixture


def killed(*args: object, **kwargs: object) -> NoReturn:
    """What a kill -9 leaves: nothing of ours runs any more."""
    raise KeyboardInterrupt


@pytest.fixture
def saved(lab: Lab) -> Lab:  # noqa: F811
    lab.start().save(lab.machine)
    return lab


def other_machine(lab: Lab, name: str) -> Machine:  # noqa: F811
    return replace(lab.machine, directory=lab.machine.directory.with_name(name))


def pid_of(lab: Lab) -> int:  # noqa: F811
    pid = lab.backend().status(lab.machine).pid
    assert pid
    return pid


def fill_disk(*args: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_machine_that_is_saved_to_a_full_disk_runs_on(
    lab: Lab, call: str, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    backend = lab.start()
    with monkeypatch.context() as patch, pytest.raises(HostError) as caught:
        patch.setattr(os, call, fill_disk)
        backend.save(lab.machine)
    assert caught.value.code == "disk-full"
    check_runs_on(lab)


def test_a_machine_whose_record_does_not_fit_on_the_disk_runs_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    backend = lab.start()
    with monkeypatch.context() as patch, pytest.raises(HostError) as caught:
        patch.setattr(backend_module, "write_saved", fill_disk)
        backend.save(lab.machine)
    assert caught.value.code == "disk-full"
    check_runs_on(lab)


@pytest.mark.parametrize(("first", "then"), [("tcg", "auto"), ("tcg", "kvm"), ("auto", "tcg")])
def test_memory_saved_with_another_accelerator_than_is_wanted_now_is_not_used(
    lab: Lab, first: str, then: str  # noqa: F811
) -> None:  # fmt: skip
    machine = replace(lab.machine, accelerator=first)
    lab.start(machine).save(machine)
    assert lab.backend().resume(replace(machine, accelerator=then), lab.reporter) is None
    assert "is to be used" in lab.reporter.notes[-1]


def test_a_machine_that_cannot_be_saved_runs_on(lab: Lab) -> None:  # noqa: F811
    lab.qemu(kvm="unsaveable")
    with pytest.raises(InstanceError) as caught:
        lab.start().save(lab.machine)
    assert caught.value.code == "save-failed"
    check_runs_on(lab)


def check_runs_on(lab: Lab) -> None:  # noqa: F811
    assert lab.backend().status(lab.machine).state is State.RUNNING
    assert not lab.files.state_part.exists()
    assert not lab.files.memory_part.exists()
    lab.backend().stop(lab.machine)
    assert lab.backend().status(lab.machine).saved == 0


def test_a_qemu_that_writes_something_else_is_saved_whole(lab: Lab) -> None:  # noqa: F811
    lab.qemu(kvm="strange")
    lab.start().save(lab.machine)
    assert lab.files.state.stat().st_size > 10**6
    assert lab.files.memory.stat().st_size == lab.machine.memory
    assert lab.backend().resume(lab.machine, lab.reporter)


def test_much_that_has_changed_gets_a_new_file(saved: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspend, "_MANY_CHANGES", 1000)
    backend, before = saved.backend(), saved.files.memory.stat().st_ino
    assert backend.resume(saved.machine, saved.reporter)
    backend.save(saved.machine)
    assert saved.files.memory.stat().st_ino != before
    assert backend.resume(saved.machine, saved.reporter)


def test_memory_of_another_size_is_nothing_to_stand_on(saved: Lab) -> None:
    larger = replace(saved.machine, memory=2 * saved.machine.memory)
    backend = saved.start(larger)
    backend.save(larger)
    assert saved.files.memory.stat().st_size == larger.memory


def test_saved_memory_is_nobody_elses_to_read(saved: Lab) -> None:
    assert saved.files.state.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("fault", ["truncated", "deleted", "replaced", "record", "other QEMU"])
def test_what_does_not_fit_any_more_is_said_and_the_machine_boots(saved: Lab, fault: str) -> None:
    match fault:
        case "truncated":
            os.truncate(saved.files.state, 100)
        case "deleted":
            saved.files.state.unlink()
        case "replaced":
            os.utime(saved.files.state, ns=(1, 1))
        case "record":
            saved.files.saved.write_text("{")
        case "other QEMU":
            os.utime(saved.root / "bin" / "qemu-system-x86_64", ns=(1, 1))
    backend = saved.backend()
    assert backend.resume(saved.machine, saved.reporter) is None
    assert len(saved.reporter.notes) == 1
    assert "booting instead" in saved.reporter.notes[0]
    assert not saved.files.saved.exists()
    assert saved.start().status(saved.machine).state is State.RUNNING
    assert len(saved.reporter.notes) == 1


def test_a_qemu_that_ends_while_loading_is_said_and_the_machine_boots(saved: Lab) -> None:
    saved.qemu(kvm="unloadable")
    assert saved.backend().resume(saved.machine, saved.reporter) is None
    assert "booting instead" in saved.reporter.notes[0]
    assert saved.start().status(saved.machine).state is State.RUNNING


# Killed between two steps ------------------------------------------------------------------------


def test_killed_while_saving(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """The memory is written and nobody says so: the machine stands still, and goes on."""
    backend, pid = lab.start(), pid_of(lab)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(backend_module, "write_saved", killed)
        backend.save(lab.machine)
    assert lab.backend().status(lab.machine).state is State.BROKEN
    assert lab.backend().resume(lab.machine, lab.reporter) is None
    assert lab.start().status(lab.machine).pid == pid
    assert not lab.files.state.exists()


def test_killed_after_saving(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """QEMU is still there, its guest has not run since: what was saved counts."""
    backend, pid = lab.start(), pid_of(lab)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(QemuBackend, "_end", killed)
        backend.save(lab.machine)
    assert lab.backend().resume(lab.machine, lab.reporter)
    assert pid_of(lab) != pid


def test_killed_while_loading(saved: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(backend_module, "read_state", killed)
        saved.backend().resume(saved.machine, saved.reporter)
    assert saved.backend().status(saved.machine).state is State.BROKEN
    assert saved.backend().resume(saved.machine, saved.reporter)
    assert saved.reporter.notes == []


def test_killed_before_the_guest_runs(saved: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was saved is given up already, and QEMU holds all of it."""
    execute = Qmp.execute

    def until_cont(qmp: Qmp, command: str, **arguments: Any) -> Any:
        return killed() if command == "cont" else execute(qmp, command, **arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Qmp, "execute", until_cont)
        saved.backend().resume(saved.machine, saved.reporter)
    pid = pid_of(saved)
    assert saved.backend().resume(saved.machine, saved.reporter) is None
    assert saved.start().status(saved.machine).pid == pid


# Templates ---------------------------------------------------------------------------------------


def test_two_go_on_from_one_memory_and_leave_it_as_it_is(lab: Lab) -> None:  # noqa: F811
    source = replace(other_machine(lab, "template"), memory_in_file=True)
    backend = lab.start(source)
    assert any("memory-backend-file" in word and "share=on" in word for word in recorded_argv(source))
    backend.save(source)
    assert backend.status(source).saved > 0
    machines = [other_machine(lab, name) for name in ("one", "two")]
    try:
        for machine in machines:
            lab.backend().place(machine, source.directory)
        for machine in machines:
            assert lab.backend().resume(machine, lab.reporter)
            words = recorded_argv(machine)
            assert any(f"{machine.directory.name}/memory,share=off" in word for word in words)
            assert (machine.directory / "memory").samefile(source.directory / "memory")
        assert backend.status(source).saved > 0
    finally:
        for machine in (*machines, source):
            lab.backend().delete(machine)


def test_a_source_whose_memory_is_gone_gives_its_disk(saved: Lab) -> None:
    saved.files.state.unlink()
    machine = other_machine(saved, "late")
    saved.backend().place(machine, saved.machine.directory)
    assert saved.backend().status(machine).saved == 0
    assert saved.backend().resume(machine, saved.reporter) is None
    assert machine.overlay.exists()


def test_a_stopped_machine_is_captured_with_what_was_saved(saved: Lab, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    saved.backend().capture(saved.machine, kept)
    assert saved.backend().resume(saved.machine, saved.reporter)
    assert saved.backend().status(replace(saved.machine, directory=kept)).saved > 0


def test_a_qemu_that_cannot_share_memory_is_refused_before_anything_boots(
    lab: Lab, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setenv("FAKE_QEMU_PLAIN", "1")
    with pytest.raises(HostError) as caught:
        lab.backend().create(replace(lab.machine, memory_in_file=True))
    assert caught.value.code == "memory-not-shareable"
    assert lab.start().status(lab.machine).state is State.RUNNING


def test_the_console_goes_on_where_it_was(saved: Lab) -> None:
    saved.files.console.write_text("before")
    saved.backend().resume(saved.machine, saved.reporter)
    assert any(word.endswith(",append=on") for word in recorded_argv(saved.machine))
    assert not saved.files.console_before.exists()


def test_the_shape_depends_on_the_machine_and_not_on_its_place(lab: Lab) -> None:  # noqa: F811
    lab.backend().create(lab.machine)
    shape = lab.backend().shape(lab.machine)
    assert shape == lab.backend().shape(other_machine(lab, "elsewhere"))
    for change in ({"cpus": 1}, {"memory": 2**30}, {"disk_size": 2**40}, {"accelerator": "tcg"}):
        assert lab.backend().shape(replace(lab.machine, **change)) != shape
    os.utime(lab.machine.base_disk, ns=(1, 1))
    assert lab.backend().shape(lab.machine) != shape
