"""up, down, reset and snapshots in their order of steps, on a backend without machines."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner.backends.base import Endpoint, Machine, State
from provisioner.core.config import load_settings
from provisioner.core.errors import HostError, InstanceError, UsageError
from provisioner.core.paths import Paths, ensure_dir, find_paths
from provisioner.core.process import CommandResult
from provisioner.core.settings import Settings
from provisioner.core.store import InstanceRecord, Store
from provisioner.guest.identity import ensure_identity
from provisioner.guest.warm import WarmConnection
from provisioner.images.catalogue import find_image
from provisioner.images.golden import META
from provisioner.images.golden import SCHEMA as GOLDEN_SCHEMA
from provisioner.workflows import instances, resume, template, up
from provisioner.workflows.instances import Instance, open_instance, write_ssh_config
from provisioner.workflows.lifecycle import bring_down, delete_instance, reset_instance
from provisioner.workflows.snapshots import delete_snapshot, list_snapshots, restore_snapshot, save_snapshot
from provisioner.workflows.up import UpResult, bring_up, wanted_network
from tests.unit.fake_backend import FakeBackend
from tests.unit.recorder import Recorder


class Guest:
    """Takes every command, and remembers it."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def run(self, argv: list[str], **options: Any) -> CommandResult:
        self.commands.append(" ".join(argv))
        return CommandResult(tuple(argv), 0, "", "")


class Lab:
    """A home with one golden and records of instances on it; ``guest`` is whoever is connected to."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: Paths = find_paths({"EBPF_DEV_HOME": str(root / "home")})
        self.settings: Settings = load_settings(self.paths, root, {}, {})
        self.backend = FakeBackend()
        self.reporter = Recorder()
        self.guest = Guest()
        ensure_identity(self.paths)
        self._write_golden()
        monkeypatch.setattr(instances, "make_backend", lambda name, paths: self.backend)
        for module in (resume, template):
            monkeypatch.setattr(module, "connect", lambda *args, **options: self.guest)
        self.connections: list[tuple[str, str]] = []
        for method in ("open_behind", "close"):
            note = lambda connection, method=method: self.connections.append((method, connection.host))  # noqa: E731
            monkeypatch.setattr(WarmConnection, method, note)

    def record(self, name: str, **changes: Any) -> None:
        record = InstanceRecord(
            name=name, image="debian-13", arch="x86_64", backend="qemu", accelerator="auto", cpus=1,
            memory=1 << 30, disk=Settings.disk, golden="abc", release="6.12",
            network_digest=wanted_network(self.settings, {}).digest, created="2026-01-01",
        )  # fmt: skip
        Store(self.paths).save(replace(record, **changes))

    def up(self, name: str, **options: Any) -> UpResult:
        if Store(self.paths).find(name) is None:
            self.record(name)
        return bring_up(name, self.settings, self.paths, self.reporter, {}, **options)

    def instance(self, name: str) -> Instance:
        return open_instance(name, self.paths)

    def machine(self, name: str) -> Machine:
        return self.instance(name).machine

    def steps(self) -> list[str]:
        """What the backend was told to do since the last time, questions left out."""
        asked = {"status", "check_host", "shape"}
        told = [method for method, _ in self.backend.calls if method not in asked]
        self.backend.calls.clear()
        return told

    @property
    def templates(self) -> list[Path]:
        return list(self.paths.templates.iterdir())

    def _write_golden(self) -> None:
        directory = ensure_dir(self.paths.goldens / "abc")
        for name in ("disk.qcow2", "vmlinuz", "initrd"):
            (directory / name).touch()
        kernel, initrd, disk = (str(directory / name) for name in ("vmlinuz", "initrd", "disk.qcow2"))
        meta = {
            "schema": GOLDEN_SCHEMA, "image": "debian-13", "release": "6.12", "kernel": kernel, "initrd": initrd,
            "network_digest": wanted_network(self.settings, {}).digest, "disk_size": 0, "base_disk": disk,
            "cmdline": "",
        }  # fmt: skip
        (directory / META).write_text(json.dumps(meta))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    lab = Lab(tmp_path, monkeypatch)
    yield lab
    lab.backend.close()


def test_the_first_of_a_kind_boots_once_and_all_go_on_from_there(lab: Lab) -> None:
    lab.up("one")
    assert lab.steps() == ["create", "start", "save", "place", "resume", "create"]
    lab.up("two")
    assert lab.steps() == ["place", "resume", "create"]
    assert len(lab.templates) == 1
    for name in ("one", "two"):
        (request,) = lab.backend.requests(lab.machine(name))
        assert request.split()[3] == f"ebpf-dev-{name}"
    ids = [lab.backend.requests(lab.machine(name))[0].split()[4] for name in ("one", "two")]
    assert len(set(ids)) == 2


def test_a_guest_that_hangs_is_found_out_and_started_anew(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.up("one")
    for patience in ("HANGS_AFTER", "PING_PATIENCE"):
        monkeypatch.setattr(f"provisioner.workflows.up.{patience}", 0.1)
    lab.steps()
    lab.backend.keeper(lab.machine("one")).deaf = True
    with socket.create_server(("127.0.0.1", 0)) as mute:
        lab.backend.endpoint = Endpoint("127.0.0.1", mute.getsockname()[1])
        write_ssh_config(lab.instance("one"), lab.backend.endpoint)
        assert not lab.up("one").already
    assert lab.steps() == ["stop", "resume", "create", "start"]


def test_the_template_is_at_rest_and_holds_no_connection(lab: Lab) -> None:
    lab.up("one")
    assert [word for word in lab.guest.commands if "is-system-running" in word]
    assert [word for word in lab.guest.commands if "ebpf-dev-keeper" in word]


def test_another_shape_is_another_template_and_few_are_kept(lab: Lab) -> None:
    for cpus in range(1, 7):
        lab.record(f"c{cpus}", cpus=cpus)
        lab.up(f"c{cpus}")
    assert len(lab.templates) == 4


def test_a_damaged_template_is_made_anew(lab: Lab) -> None:
    lab.up("one")
    (lab.templates[0] / "saved").unlink()
    lab.steps()
    lab.up("two")
    assert lab.steps()[-3:] == ["place", "resume", "create"]
    assert "damaged" in lab.reporter.notes[0]
    assert (lab.templates[0] / "saved").exists()


def test_without_a_template_an_instance_boots(lab: Lab) -> None:
    lab.backend.fail("save", HostError("full", code="disk-full"))
    assert lab.up("one").endpoint
    assert lab.steps()[-3:] == ["delete", "create", "start"]
    assert "full" in lab.reporter.notes[0]
    assert lab.templates == []


def test_where_memory_cannot_be_saved_everything_boots(lab: Lab) -> None:
    lab.backend.saves = False
    lab.up("one")
    assert lab.steps() == ["create", "start"]
    assert not bring_down("one", lab.paths, lab.reporter).saved
    assert "cannot be saved" in lab.reporter.notes[0]
    with pytest.raises(InstanceError) as caught:
        lab.up("one")
        bring_down("one", lab.paths, lab.reporter, save=True)
    assert caught.value.code == "save-unsupported"
    assert lab.instance("one").status().state is State.RUNNING


def test_without_a_line_to_the_guest_its_names_go_over_ssh_after_the_greeting(lab: Lab) -> None:
    lab.backend.saves = False
    lab.backend.greets = ("welcome", "home")
    lab.up("one")
    greeting, names = lab.guest.commands
    assert greeting == "welcome home"
    assert " ebpf-dev-one " in names
    assert "keeper" not in names


def test_a_resumed_guest_that_does_not_answer_is_booted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.up("one")
    lab.backend.wakes = False
    lab.steps()
    monkeypatch.setattr(resume, "WAKE_TIMEOUT", 0.05)
    lab.up("two")
    assert lab.steps() == ["place", "resume", "stop", "create", "start"]
    assert "does not answer" in lab.reporter.notes[0]
    assert lab.templates == []


def test_down_saves_and_up_goes_on(lab: Lab) -> None:
    lab.up("one")
    lab.steps()
    asked = lab.backend.requests(lab.machine("one"))
    assert bring_down("one", lab.paths, lab.reporter).saved
    assert asked[-1] == "sync"
    again = bring_down("one", lab.paths, lab.reporter)
    assert (again.already, again.saved) == (True, True)
    lab.up("one")
    assert lab.steps() == ["save", "resume", "create"]


@pytest.mark.parametrize("options", [{"save": False}, {"force": True}])
def test_down_shuts_down_when_told_to(lab: Lab, options: dict[str, bool]) -> None:
    lab.up("one")
    lab.steps()
    assert not bring_down("one", lab.paths, lab.reporter, **options).saved
    lab.up("one")
    assert lab.steps() == ["stop", "resume", "create", "start"]


def test_down_shuts_down_when_the_disk_is_full(lab: Lab) -> None:
    lab.up("one")
    lab.backend.fail("save", HostError("the disk is full", code="disk-full"))
    lab.steps()
    assert not bring_down("one", lab.paths, lab.reporter).saved
    assert lab.steps() == ["save", "stop"]
    assert "full" in lab.reporter.notes[0]


def test_down_does_not_wait_for_a_guest_that_is_still_booting(lab: Lab) -> None:
    lab.up("one")
    lab.instance("one").ssh_config.unlink()
    assert not bring_down("one", lab.paths, lab.reporter).saved
    assert "still booting" in lab.reporter.notes[0]


def test_a_cold_up_boots_whatever_there_is(lab: Lab) -> None:
    lab.up("one", cold=True)
    bring_down("one", lab.paths, lab.reporter)
    lab.steps()
    lab.up("one", cold=True)
    assert lab.steps() == ["create", "start"]


def test_reset_goes_back_to_the_template_and_keeps_settings(lab: Lab) -> None:
    lab.up("one")
    save_snapshot("kept", "one", lab.paths, lab.reporter)
    lab.steps()
    reset_instance("one", lab.settings, lab.paths, lab.reporter, {})
    assert lab.steps() == ["delete", "place", "resume", "create"]
    assert [snapshot.name for snapshot in list_snapshots("one", lab.paths)] == ["kept"]


def test_a_snapshot_is_taken_restored_listed_and_deleted(lab: Lab) -> None:
    lab.up("one")
    machine = lab.machine("one")
    machine.overlay.write_text("first")
    save_snapshot("a.b", "one", lab.paths, lab.reporter)
    assert lab.backend.requests(machine)[-1] == "sync"
    machine.overlay.write_text("second")
    lab.steps()
    restore_snapshot("a.b", "one", lab.settings, lab.paths, lab.reporter, {})
    assert lab.steps() == ["stop", "place", "resume", "create"]
    assert machine.overlay.read_text() == "first"
    bring_down("one", lab.paths, lab.reporter, save=False)
    save_snapshot("cold", "one", lab.paths, lab.reporter)
    assert {item.name: item.memory for item in list_snapshots("one", lab.paths)} == {"a.b": True, "cold": False}
    delete_snapshot("a.b", "one", lab.paths, lab.reporter)
    assert [item.name for item in list_snapshots("one", lab.paths)] == ["cold"]


def test_snapshots_that_are_there_and_that_are_not(lab: Lab) -> None:
    lab.up("one")
    save_snapshot("a", "one", lab.paths, lab.reporter)
    for action, code in (
        (lambda: save_snapshot("a", "one", lab.paths, lab.reporter), "snapshot-exists"),
        (lambda: save_snapshot("../a", "one", lab.paths, lab.reporter), "bad-name"),
        (lambda: delete_snapshot("b", "one", lab.paths, lab.reporter), "unknown-snapshot"),
        (lambda: delete_snapshot("", "one", lab.paths, lab.reporter), "unknown-snapshot"),
    ):
        with pytest.raises(UsageError) as caught:
            action()
        assert caught.value.code == code


def test_a_snapshot_that_fails_leaves_nothing(lab: Lab) -> None:
    lab.up("one")
    lab.backend.fail("capture", HostError("full", code="disk-full"))
    with pytest.raises(HostError):
        save_snapshot("a", "one", lab.paths, lab.reporter)
    assert list_snapshots("one", lab.paths) == []
    assert list((lab.machine("one").directory / "snapshots").iterdir()) == []


def test_the_connection_that_commands_share_is_opened_ahead_and_ended_with_the_machine(lab: Lab) -> None:
    def told() -> list[str]:
        methods = [method for method, host in lab.connections if host == "ebpf-dev-one"]
        lab.connections.clear()
        return methods

    lab.up("one")
    lab.up("one")
    assert told() == ["open_behind", "open_behind"]
    save_snapshot("kept", "one", lab.paths, lab.reporter)
    assert told() == []
    restore_snapshot("kept", "one", lab.settings, lab.paths, lab.reporter, {})
    reset_instance("one", lab.settings, lab.paths, lab.reporter, {})
    assert told() == ["close", "open_behind"] * 2
    bring_down("one", lab.paths, lab.reporter)
    lab.up("one")
    bring_down("one", lab.paths, lab.reporter, force=True)
    delete_instance("one", lab.paths, lab.reporter)
    assert told() == ["close", "open_behind", "close", "close"]


def up_with(lab: Lab, name: str, flags: dict[str, object], env: dict[str, str] | None = None) -> UpResult:
    return bring_up(name, load_settings(lab.paths, lab.paths.data, {}, flags), lab.paths, lab.reporter, env or {})


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        ({"memory": "4G", "cpus": 1}, "`ebpf-dev up one --memory 4G`"),
        ({"accelerator": "tcg"}, "`ebpf-dev up one --accelerator tcg`"),
        ({"packages": ["htop"]}, "`ebpf-dev add htop -i one`"),
    ],
)
def test_what_a_running_instance_cannot_have_at_once(lab: Lab, flags: dict[str, object], hint: str) -> None:
    lab.up("one")
    with pytest.raises(UsageError) as caught:
        up_with(lab, "one", flags)
    assert caught.value.code == "instance-differs"
    assert hint in caught.value.hint
    assert lab.up("one").already


def test_a_running_guest_is_told_of_a_new_proxy(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(up, "connect", lambda *args, **options: lab.guest)
    monkeypatch.setattr(up, "apply_network", lambda guest, network, manager: told.append(network.proxy))
    lab.up("one")
    env = {"https_proxy": "http://proxy.example:1"}
    for expected in (["http://proxy.example:1"], []):
        assert up_with(lab, "one", {}, env).already
        assert told == expected
        told.clear()
    up_with(lab, "one", {})
    assert told == [""]


def test_a_mirror_is_that_of_the_distribution_which_the_instance_has(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "distribution_of", lambda instance: find_image("debian-12"))
    settings = load_settings(lab.paths, lab.paths.data, {}, {"mirror": "http://mirror.example/debian"})
    lab.up("one")
    assert " bookworm " in wanted_network(settings, {}, instance=lab.instance("one")).sources
    assert " trixie " in wanted_network(settings, {}).sources


def test_a_snapshot_whose_removal_was_cut_off_is_gone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.up("one")
    save_snapshot("a", "one", lab.paths, lab.reporter)

    def cut_off(path: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", cut_off)
        with pytest.raises(KeyboardInterrupt):
            delete_snapshot("a", "one", lab.paths, lab.reporter)
    assert list_snapshots("one", lab.paths) == []
    save_snapshot("a", "one", lab.paths, lab.reporter)
    delete_snapshot("a", "one", lab.paths, lab.reporter)
    assert list((lab.machine("one").directory / "snapshots").iterdir()) == []
