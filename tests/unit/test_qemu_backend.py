"""QemuBackend against a program that behaves like QEMU, in good days and bad ones."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provisioner.backends.base import Machine, State
from provisioner.backends.qemu.accelerator import AcceleratorFacts
from provisioner.backends.qemu.backend import QemuBackend
from provisioner.backends.qemu.command import qemu_command
from provisioner.backends.qemu.layout import QemuFiles
from provisioner.backends.qemu.process import QemuProcess
from provisioner.backends.qemu.record import recorded_argv
from provisioner.core.errors import EbpfDevError, GuestError, HostError, InstanceError
from provisioner.core.host import HostFacts
from provisioner.core.reporter import SilentReporter, Step
from tests.unit import fake_qemu
from tests.unit.qemu_machines import make_machine, socket_dir

TIMEOUT = 20.0


class Recorder(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        self.steps.append(title)
        with super().step(title) as step:
            yield step


class Lab:
    """A host with a fake QEMU and one machine; ``reporter`` collects what was said."""

    def __init__(self, root: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.machine = machine
        self.files = QemuFiles(machine)
        self.host_facts = root / "host.json"
        self.reporter = Recorder()
        self._monkeypatch = monkeypatch
        fake_qemu.install(root / "bin")
        monkeypatch.setenv("PATH", str(root / "bin"), prepend=os.pathsep)
        self.qemu(tcg="boot", kvm="boot")

    def qemu(self, **behaviours: str) -> None:
        self._monkeypatch.setenv("FAKE_QEMU", json.dumps(behaviours))

    def backend(self, silence: float = 60.0) -> QemuBackend:
        """A new one, as another process would have it."""
        return QemuBackend(self.host_facts, gather=kvm_looks_fine, silence=silence)

    def start(self, machine: Machine | None = None, timeout: float = TIMEOUT) -> QemuBackend:
        backend = self.backend()
        backend.create(machine or self.machine)
        backend.start(machine or self.machine, self.reporter, timeout)
        return backend


def kvm_looks_fine(arch: str, built_in: frozenset[str]) -> AcceleratorFacts:
    return AcceleratorFacts(HostFacts("linux", "x86_64"), arch, built_in)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    with socket_dir() as sockets:
        lab = Lab(tmp_path, make_machine(tmp_path, sockets), monkeypatch)
        yield lab
        lab.backend().delete(lab.machine)


def test_hardware_is_used_where_it_works(lab: Lab) -> None:
    assert lab.start().status(lab.machine).accelerator == "kvm"
    assert lab.reporter.notes == []


@pytest.mark.parametrize("trouble", ["internal-error", "die"])
def test_hardware_that_cannot_boot_is_replaced_said_once_and_remembered(lab: Lab, trouble: str) -> None:
    lab.qemu(kvm=trouble, tcg="boot")
    backend = lab.start()
    assert backend.status(lab.machine).accelerator == "tcg"
    assert len(lab.reporter.notes) == 1
    assert "KVM cannot boot Linux on this host" in lab.reporter.notes[0]
    backend.stop(lab.machine)

    again = lab.start()
    assert again.status(lab.machine).accelerator == "tcg"
    assert len(lab.reporter.notes) == 1
    assert lab.reporter.steps == ["Booting default"] * 3
    verdict = again.probe_accelerators("x86_64")[0]
    assert (verdict.accelerator, verdict.usable) == ("kvm", False)
    assert "could not boot Linux here" in verdict.reason


def test_hardware_is_tried_again_after_an_upgrade_of_qemu(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.qemu(kvm="die", tcg="boot")
    lab.start().stop(lab.machine)
    monkeypatch.setenv("FAKE_QEMU_VERSION", "10.0.0")
    os.utime(lab.root / "bin" / "qemu-system-x86_64", ns=(1, 1))
    assert lab.backend().probe_accelerators("x86_64")[0].usable


def test_hardware_that_leaves_the_console_empty_is_replaced(lab: Lab) -> None:
    lab.qemu(kvm="mute", tcg="boot")
    backend = lab.backend(silence=0.1)
    backend.create(lab.machine)
    backend.start(lab.machine, lab.reporter, TIMEOUT)
    assert backend.status(lab.machine).accelerator == "tcg"
    assert "wrote nothing" in lab.reporter.notes[0]


def test_an_insisted_on_accelerator_is_an_error_when_it_fails_and_never_replaced(lab: Lab) -> None:
    lab.qemu(kvm="internal-error", tcg="boot")
    machine = make_machine(lab.root, lab.machine.sockets, accelerator="kvm")
    with pytest.raises(InstanceError) as caught:
        lab.start(machine)
    assert caught.value.code == "accelerator-failed"
    assert lab.backend().status(machine).state is State.STOPPED


def test_insisting_on_an_accelerator_overrules_the_memory_and_mends_it(lab: Lab) -> None:
    lab.qemu(kvm="die", tcg="boot")
    lab.start().stop(lab.machine)
    lab.qemu(kvm="boot", tcg="boot")
    backend = lab.start(make_machine(lab.root, lab.machine.sockets, accelerator="kvm"))
    assert backend.status(lab.machine).accelerator == "kvm"
    assert backend.probe_accelerators("x86_64")[0].usable


def test_a_failure_is_not_remembered_when_emulation_fails_as_well(lab: Lab) -> None:
    lab.qemu(kvm="die", tcg="panic")
    with pytest.raises(GuestError):
        lab.start()
    assert lab.backend().probe_accelerators("x86_64")[0].usable


@pytest.mark.parametrize(
    ("behaviour", "kind", "code", "evidence"),
    [
        ("die", InstanceError, "start-failed", "failed to initialize tcg: Broken"),
        ("no-space", HostError, "disk-full", "No space left on device"),
        ("panic", GuestError, "guest-panic", "VFS"),
    ],
)
def test_what_went_wrong_is_shown(
    lab: Lab, behaviour: str, kind: type[EbpfDevError], code: str, evidence: str
) -> None:
    lab.qemu(tcg=behaviour)
    with pytest.raises(kind) as caught:
        lab.start(make_machine(lab.root, lab.machine.sockets, accelerator="tcg"))
    assert caught.value.code == code
    assert evidence in caught.value.details
    assert caught.value.hint


def test_a_guest_that_never_answers_is_left_running_and_taken_up_again(lab: Lab) -> None:
    lab.qemu(kvm="silent")
    with pytest.raises(GuestError) as caught:
        lab.start(timeout=0.3)
    assert (caught.value.code, caught.value.details) == ("guest-silent", "Hi")
    before = lab.backend().status(lab.machine)
    assert before.state is State.RUNNING
    with pytest.raises(GuestError):
        lab.start(timeout=0.3)
    assert lab.backend().status(lab.machine).pid == before.pid


def test_a_killed_qemu_counts_as_stopped_and_starts_again(lab: Lab) -> None:
    backend = lab.start()
    pid = backend.status(lab.machine).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert QemuProcess(lab.files).wait_gone(TIMEOUT)
    assert lab.files.socket.exists()
    assert lab.backend().status(lab.machine).state is State.STOPPED
    assert lab.start().status(lab.machine).state is State.RUNNING
    assert lab.files.console_before.exists()


def test_a_machine_is_found_again_when_everything_written_about_it_is_lost(lab: Lab) -> None:
    before = lab.start().status(lab.machine)
    lab.files.record.unlink()
    lab.files.pid.unlink()
    after = lab.backend().status(lab.machine)
    assert (after.state, after.endpoint, after.pid) == (State.RUNNING, before.endpoint, None)
    lab.backend().stop(lab.machine)
    assert lab.backend().status(lab.machine).state is State.STOPPED


def test_a_number_that_belongs_to_somebody_else_is_never_taken_for_ours(lab: Lab) -> None:
    lab.start()
    lab.files.pid.write_text(str(os.getpid()))
    assert QemuProcess(lab.files).pid() is None
    QemuProcess(lab.files).kill()  # would end this test run


def test_the_power_button_then_the_plug(lab: Lab) -> None:
    lab.qemu(kvm="deaf")
    backend = lab.start()
    backend.stop(lab.machine, timeout=0.1)
    assert backend.status(lab.machine).state is State.STOPPED


def test_a_qemu_that_hangs_is_killed(lab: Lab) -> None:
    lab.start()
    os.kill(lab.backend().status(lab.machine).pid or 0, signal.SIGSTOP)
    lab.backend().stop(lab.machine, force=True)
    assert lab.backend().status(lab.machine).state is State.STOPPED


def test_a_full_disk_is_reported_and_the_guest_goes_on_once_there_is_space(lab: Lab) -> None:
    lab.qemu(kvm="io-error")
    with pytest.raises(HostError) as caught:
        lab.start()
    assert caught.value.code == "disk-full"
    status = lab.backend().status(lab.machine)
    assert status.state is State.BROKEN
    assert "full" in status.detail
    assert lab.start().status(lab.machine).state is State.RUNNING


def test_no_half_made_disk_is_left_when_the_host_is_full(lab: Lab) -> None:
    huge = make_machine(lab.root, lab.machine.sockets, base_disk=lab.root / "huge.qcow2")
    huge.base_disk.touch()
    with pytest.raises(HostError) as caught:
        lab.backend().create(huge)
    assert caught.value.code == "disk-full"
    assert list(huge.directory.iterdir()) == []


def test_the_disk_is_never_smaller_than_its_image(lab: Lab) -> None:
    small = make_machine(lab.root, lab.machine.sockets, disk_size=1)
    lab.backend().create(small)
    words = json.loads(small.overlay.read_text())
    assert words[-1] == str(2**30)
    assert words[words.index("-b") + 1] == str(small.base_disk)


def test_a_missing_image_is_said(lab: Lab) -> None:
    gone = make_machine(lab.root, lab.machine.sockets, base_disk=lab.root / "gone.qcow2")
    with pytest.raises(InstanceError) as caught:
        lab.backend().create(gone)
    assert caught.value.code == "image-missing"


def test_starting_what_was_never_created(lab: Lab) -> None:
    with pytest.raises(InstanceError) as caught:
        lab.backend().start(lab.machine, lab.reporter)
    assert caught.value.code == "start-failed"


def test_a_socket_directory_open_to_others_is_refused(lab: Lab) -> None:
    lab.machine.sockets.chmod(0o755)
    with pytest.raises(HostError) as caught:
        lab.start()
    assert caught.value.code == "unsafe-socket-dir"


def test_a_socket_path_that_the_system_does_not_allow(lab: Lab) -> None:
    deep = make_machine(lab.root, lab.machine.sockets / ("d" * 100))
    with pytest.raises(HostError) as caught:
        lab.start(deep)
    assert caught.value.code == "socket-path-too-long"


def test_an_old_qemu_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_QEMU_VERSION", "5.2.0")
    with pytest.raises(HostError) as caught:
        lab.backend().check_host("x86_64")
    assert caught.value.code == "qemu-too-old"
    assert "5.2.0" in caught.value.brief


def test_a_missing_qemu_and_an_unknown_architecture(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(lab.root))
    with pytest.raises(HostError) as caught:
        lab.backend().check_host("x86_64")
    assert caught.value.code == "tool-missing"
    with pytest.raises(HostError) as caught:
        lab.backend().check_host("m68k")
    assert caught.value.code == "unsupported-arch"


def test_damaged_memory_of_the_host_is_no_obstacle(lab: Lab) -> None:
    lab.host_facts.write_text("{ not json")
    lab.qemu(kvm="die", tcg="boot")
    assert lab.start().status(lab.machine).accelerator == "tcg"
    assert not lab.backend().probe_accelerators("x86_64")[0].usable


def test_others_keep_their_facts_about_the_host(lab: Lab) -> None:
    lab.host_facts.write_text('{"theirs": 1}')
    lab.qemu(kvm="die", tcg="boot")
    lab.start()
    assert json.loads(lab.host_facts.read_text())["theirs"] == 1


def test_the_last_command_line_can_be_repeated_by_hand(lab: Lab) -> None:
    lab.backend().create(lab.machine)
    with pytest.raises(InstanceError) as caught:
        recorded_argv(lab.machine)
    assert caught.value.code == "no-record"
    lab.start()
    argv = recorded_argv(lab.machine)
    port = int(next(word for word in argv if "hostfwd" in word).rpartition("127.0.0.1:")[2].partition("-")[0])
    assert port > 0
    emulator = lab.root / "bin" / "qemu-system-x86_64"
    assert argv == qemu_command(lab.machine, "kvm", emulator=emulator, ssh_port=port)
