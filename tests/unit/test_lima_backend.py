"""The Lima backend on a fake ``limactl``: failures, crashes, and what is done about them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from provisioner.backends.base import DirectBoot, State
from provisioner.backends.lima.boot import running_pids
from provisioner.core.errors import GuestError, HostError, InstanceError
from provisioner.core.host import HostFacts, MacFacts
from provisioner.core.reporter import SilentReporter
from tests.unit import fake_limactl
from tests.unit.lima_lab import LINUX, LimaLab
from tests.unit.recorder import Recorder

QUIET = SilentReporter()


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[LimaLab]:
    with fake_limactl.installed(monkeypatch) as lab:
        yield lab
        monkeypatch.setenv("FAKE_LIMA", "boot")
        lab.backend().delete(lab.machine)


def behave(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setenv("FAKE_LIMA", what)


def test_lima_is_not_asked_to_run_as_root(lab: LimaLab) -> None:
    with pytest.raises(HostError) as caught:
        lab.backend(host=replace(LINUX, uid=0)).check_host("x86_64")
    assert caught.value.code == "lima-root"


def test_a_missing_limactl_is_named(lab: LimaLab, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.root / "bin" / "limactl").unlink()
    monkeypatch.setenv("PATH", str(lab.root / "bin"))
    with pytest.raises(HostError) as caught:
        lab.backend().check_host("x86_64")
    assert caught.value.code == "tool-missing"
    assert "limactl" in caught.value.brief
    # What was never made with Lima can be removed without it.
    lab.backend().delete(lab.machine)
    lab.backend().stop(lab.machine)
    assert lab.backend().status(lab.machine).state is State.ABSENT


def test_a_lima_that_is_too_old_is_refused(lab: LimaLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_LIMA_VERSION", "0.23.2")
    with pytest.raises(HostError) as caught:
        lab.backend().check_host("x86_64")
    assert caught.value.code == "lima-too-old"


def test_a_missing_driver_is_named(lab: LimaLab) -> None:
    mac = HostFacts("macos", "aarch64", uid=501, mac=MacFacts((15, 0)))
    with pytest.raises(HostError) as caught:
        lab.backend(host=mac).check_host("aarch64")
    assert caught.value.code == "lima-driver"
    assert "vz" in caught.value.brief


def test_version_1_is_understood(lab: LimaLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_LIMA_OLD", "1")
    monkeypatch.setenv("FAKE_LIMA_VERSION", "1.0.7")
    backend = lab.backend()
    backend.check_host("x86_64")
    backend.create(lab.machine)
    assert lab.machine.overlay.resolve().name == "diffdisk"
    behave(monkeypatch, "broken")
    with pytest.raises((InstanceError, GuestError)):
        backend.start(lab.machine, QUIET, 2.0)
    assert "its machine does not" in backend.status(lab.machine).detail


def test_our_own_key_is_limas(lab: LimaLab) -> None:
    lab.backend().create(lab.machine)
    key = lab.home / "_config" / "user"
    assert key.read_bytes() == lab.keys.client_key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.with_suffix(".pub").read_text().strip() == lab.keys.client_public


def test_the_greeting_says_which_boot_it_is(lab: LimaLab) -> None:
    lab.backend().create(lab.machine)
    greeting = lab.backend().greeting(lab.machine)
    assert greeting[-3:] == ("lima", lab.keys.client_public, "iid-1700000000")


def test_a_creation_that_was_interrupted_is_begun_anew(lab: LimaLab, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, "halfway")
    with pytest.raises(InstanceError):
        lab.backend().create(lab.machine)
    assert lab.files.directory.is_dir()
    assert lab.backend().status(lab.machine).state is State.ABSENT
    behave(monkeypatch, "boot")
    lab.backend().create(lab.machine)
    assert lab.backend().status(lab.machine).state is State.STOPPED


def test_a_full_disk_is_told(lab: LimaLab, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, "full")
    with pytest.raises(HostError) as caught:
        lab.backend().create(lab.machine)
    assert caught.value.code == "disk-full"


def test_a_start_that_lima_gives_up_is_explained(lab: LimaLab, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = lab.backend()
    backend.create(lab.machine)
    behave(monkeypatch, "fail")
    with pytest.raises(HostError) as caught:
        backend.start(lab.machine, QUIET, 20.0)
    assert caught.value.code == "firmware-missing"
    behave(monkeypatch, "boot")
    assert backend.start(lab.machine, QUIET, 20.0)


def test_a_silent_guest_is_told_with_the_consoles_last_lines(
    lab: LimaLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = lab.backend()
    backend.create(lab.machine)
    behave(monkeypatch, "mute")
    with pytest.raises(GuestError) as caught:
        backend.start(lab.machine, QUIET, 1.5)
    assert caught.value.code == "guest-silent"
    backend.stop(lab.machine, force=True)
    behave(monkeypatch, "panic")
    with pytest.raises(GuestError) as caught:
        backend.start(lab.machine, QUIET, 20.0)
    assert caught.value.code == "guest-panic"
    assert "Kernel panic" in caught.value.details


def test_an_accelerator_that_leaves_the_console_empty_is_replaced_and_remembered(
    lab: LimaLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = replace(lab.machine, accelerator="auto")
    backend, told = lab.backend(silence=1.0), Recorder()
    backend.create(machine)
    behave(monkeypatch, "mute")
    with pytest.raises(GuestError):  # emulation is as mute here
        backend.start(machine, told, 3.0)
    assert "KVM cannot boot Linux" in told.notes[0]
    assert backend.status(machine).accelerator == "tcg"
    assert lab.files.emulator.exists()
    backend.stop(machine, force=True)


def test_changed_processors_and_memory_are_taken_up_at_the_next_start(lab: LimaLab) -> None:
    backend = lab.backend()
    backend.create(lab.machine)
    larger = replace(lab.machine, cpus=4, memory=lab.machine.memory * 2)
    backend.start(larger, QUIET, 20.0)
    assert '--set=.cpus = 4 | .memory = "4096MiB"' in (lab.files.directory / "lima.yaml").read_text()


def test_another_kernel_is_taken_up_at_the_next_start(lab: LimaLab) -> None:
    backend = lab.backend()
    backend.create(lab.machine)
    newer = lab.root / "newer"
    newer.write_text("another kernel\n")
    assert isinstance(lab.machine.boot, DirectBoot)
    changed = replace(lab.machine, boot=replace(lab.machine.boot, kernel=newer, cmdline="root=/dev/vdb"))
    backend.start(changed, QUIET, 20.0)
    kernel, initrd, cmdline = lab.files.boot
    assert kernel.read_text() == "another kernel\n"
    assert initrd.read_text() == "the first initrd\n"
    assert cmdline.read_text().startswith("root=/dev/vdb console=ttyS0 ")


def test_killed_processes_are_no_dead_end(lab: LimaLab) -> None:
    backend = lab.backend()
    backend.create(lab.machine)
    for _ in range(2):
        first = backend.start(lab.machine, QUIET, 20.0)
        (pid, *_) = running_pids(lab.files)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not running_pids(lab.files))
        assert backend.status(lab.machine).state is State.STOPPED
        assert backend.start(lab.machine, QUIET, 20.0) != first


def test_a_process_that_got_the_number_of_a_stale_file_is_not_killed(lab: LimaLab) -> None:
    backend = lab.backend()
    backend.create(lab.machine)
    for name in ("ha", "qemu"):
        (lab.files.directory / f"{name}.pid").write_text(f"{os.getpid()}\n")
    assert backend.status(lab.machine).state is State.STOPPED
    assert backend.start(lab.machine, QUIET, 20.0)


def test_half_of_a_machine_is_ended_before_it_is_started(lab: LimaLab, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = lab.backend()
    backend.create(lab.machine)
    behave(monkeypatch, "broken")
    with pytest.raises((GuestError, InstanceError)):
        backend.start(lab.machine, QUIET, 1.5)
    assert backend.status(lab.machine).state is State.BROKEN
    behave(monkeypatch, "boot")
    assert backend.start(lab.machine, QUIET, 30.0)
    assert backend.status(lab.machine).state is State.RUNNING


def test_a_guest_that_ignores_the_power_button_is_ended(lab: LimaLab, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = lab.backend()
    backend.create(lab.machine)
    behave(monkeypatch, "deaf")
    backend.start(lab.machine, QUIET, 20.0)
    backend.stop(lab.machine, timeout=1.0)
    assert backend.status(lab.machine).state is State.STOPPED
    assert not running_pids(lab.files)


def wait_for(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
