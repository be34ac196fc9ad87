"""`up --kernel` in its order of steps: a new golden, an instance that exists, and both interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner.backends.base import State
from provisioner.core.config import load_settings
from provisioner.core.errors import GuestError, InstanceError, UsageError
from provisioner.core.process import CommandResult
from provisioner.core.store import InstanceRecord, Store
from provisioner.images.golden import META, Golden, find_golden
from provisioner.workflows import kernel
from provisioner.workflows.instances import own_kernel
from provisioner.workflows.lifecycle import bring_down, reset_instance
from provisioner.workflows.snapshots import restore_snapshot, save_snapshot
from provisioner.workflows.up import UpResult, bring_up, wanted_network
from tests.unit.test_kernel_pairs import LIST
from tests.unit.test_lifecycle import Guest, Lab

OLD, NEW = "6.12", "7.3.4+deb13-cloud-amd64"


class KernelGuest(Guest):
    """Answers what a Debian guest would; ``apt`` fails as often as ``failures`` says. ``runs`` is its kernel."""

    def __init__(self, lab: KernelLab) -> None:
        super().__init__()
        self.lab = lab
        self.installed = [OLD]
        self.failures: list[BaseException] = []
        self.on_install: Callable[[], None] = lambda: None

    def run(self, argv: list[str], **options: Any) -> CommandResult:
        super().run(argv, **options)
        said = self._say(argv)
        return CommandResult(tuple(argv), 0, said, "")

    def stream(self, argv: list[str], on_line: Any, **options: Any) -> int:
        self.commands.append(" ".join(argv))
        if "install" in argv:
            if self.failures:
                raise self.failures.pop()
            self.installed.append(NEW)
            self.on_install()
        return 0

    def get(self, source: str, target: Path) -> None:
        target.write_text(source)

    def _say(self, argv: list[str]) -> str:
        runs = self.lab.runs
        if argv == ["uname", "-r"]:
            # Of the flavour that the list is about.
            return NEW if runs == NEW else "6.12-cloud-amd64"
        if argv[0] == "dpkg-query":
            return "".join(
                f"installed linux-{part}-{NEW}\n" for part in ("image", "headers") if NEW in self.installed
            )
        if argv[0] == "sh" and len(argv) > 3:
            named = {"index": LIST, "initrd": f"/boot/initrd.img-{argv[-1]}\n", "unpack": f"{argv[-2]}\n"}
            return named.get(argv[3], "")
        if argv[0] == "sh" and 'echo "$release"' in argv[2]:
            return "\n".join(self.installed)
        return f"{runs}\n/lib/modules/{runs}/build/Makefile\n" if "build/Makefile" in argv[-1] else ""


class KernelLab(Lab):
    """A lab whose guests have apt, and whose machines tell with which kernel they were booted."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root, monkeypatch)
        self.root = root
        self.guest: KernelGuest = KernelGuest(self)
        monkeypatch.setattr(kernel, "connect", lambda *args, **options: self.guest)

    @property
    def runs(self) -> str:
        started = [path for path in self.backend.booted.values() if self._is_new(path)]
        return NEW if started and list(self.backend.booted.values())[-1] in started else OLD

    def up_with(self, name: str, word: str) -> UpResult:
        if Store(self.paths).find(name) is None:
            self.record(name)
        settings = load_settings(self.paths, self.root, {}, {"kernel": word})
        return bring_up(name, settings, self.paths, self.reporter, {})

    def known(self, name: str) -> InstanceRecord:
        return Store(self.paths).load(name)

    def golden(self, word: str) -> Golden:
        settings = load_settings(self.paths, self.root, {}, {"kernel": word, "arch": "x86_64"})
        return kernel.ensure_kernel_golden(
            find_golden(self.paths, "abc"), settings, wanted_network(settings, {}),
            self.backend, self.paths, self.reporter,
        )  # fmt: skip

    def _is_new(self, path: Path) -> bool:
        return path.exists() and NEW in path.read_text()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelLab]:
    lab = KernelLab(tmp_path, monkeypatch)
    yield lab
    lab.backend.close()


def test_a_golden_of_its_own_is_made_once(lab: KernelLab) -> None:
    golden = lab.golden("backports")
    assert (golden.release, golden.image_release) == (NEW, OLD)
    assert lab.steps() == ["create", "start", "stop", "start", "freeze"]
    assert json.loads((golden.directory / META).read_text())["base_disk"] == str(
        lab.paths.goldens / "abc/disk.qcow2"
    )
    assert sorted(path.name for path in golden.directory.iterdir()) == [
        "disk.qcow2", META, "initrd", "vmlinuz",
    ]  # fmt: skip
    assert lab.golden("backports") == golden
    assert lab.steps() == []
    assert "-t trixie-backports linux-image-" in " ".join(lab.guest.commands)


def test_a_golden_that_was_interrupted_is_gone_on_with(lab: KernelLab) -> None:
    lab.guest.failures.append(GuestError("gone", code="guest-lost"))
    with pytest.raises(GuestError):
        lab.golden("backports")
    assert lab.steps() == ["create", "start", "stop"]
    assert lab.golden("backports").release == NEW


def test_a_kernel_that_is_not_on_offer_leaves_nothing(lab: KernelLab) -> None:
    with pytest.raises(UsageError) as caught:
        lab.golden("5.10")
    assert caught.value.code == "unknown-kernel"
    assert [path.name for path in lab.paths.goldens.iterdir()] == ["abc"]


def test_an_instance_gets_another_kernel_after_down(lab: KernelLab) -> None:
    lab.up("one")
    with pytest.raises(UsageError) as caught:
        lab.up_with("one", "backports")
    assert "down" in caught.value.hint
    bring_down("one", lab.paths, lab.reporter)
    lab.steps()
    lab.up_with("one", "backports")
    assert lab.steps() == ["create", "start", "stop", "start", "create", "start"]
    record = lab.known("one")
    assert (record.kernel, record.kernel_wanted, record.release) == ("backports", "", NEW)
    assert lab.machine("one").boot.kernel == own_kernel(lab.paths, "one", NEW) / "vmlinuz"  # type: ignore[union-attr]
    assert lab.up_with("one", "backports").already


def test_a_change_that_was_cut_off_is_finished_by_the_next_up(lab: KernelLab) -> None:
    lab.up("one")
    bring_down("one", lab.paths, lab.reporter)
    lab.guest.failures.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        lab.up_with("one", "backports")
    record = lab.known("one")
    assert (record.kernel, record.kernel_wanted, record.release) == ("default", "backports", OLD)
    # The machine was left running and nobody takes it for done.
    assert lab.instance("one").status().state is State.RUNNING
    assert not lab.up("one").already
    assert lab.known("one").release == NEW


def test_a_kernel_that_is_not_on_offer_is_forgotten_and_the_instance_may_be_used(lab: KernelLab) -> None:
    lab.up("one")
    bring_down("one", lab.paths, lab.reporter)
    with pytest.raises(UsageError) as caught:
        lab.up_with("one", "5.99")
    assert caught.value.code == "unknown-kernel"
    assert lab.known("one").kernel_wanted == ""
    assert lab.up("one").already


def test_a_reset_instance_whose_kernel_is_not_on_offer_any_more(lab: KernelLab) -> None:
    lab.up_with("one", "backports")
    Store(lab.paths).save(replace(lab.known("one"), kernel="5.99"))
    with pytest.raises(UsageError) as caught:
        reset_instance("one", lab.settings, lab.paths, lab.reporter, {})
    assert "--kernel default" in caught.value.hint
    lab.up_with("one", "default")
    assert lab.known("one").release == OLD


def test_back_to_the_kernel_of_the_image(lab: KernelLab) -> None:
    lab.up_with("one", "backports")
    bring_down("one", lab.paths, lab.reporter)
    lab.steps()
    lab.up_with("one", "default")
    assert lab.steps() == ["stop", "create", "start"]
    assert (lab.known("one").kernel, lab.known("one").release) == ("default", OLD)


def test_a_kernel_that_does_not_boot_is_not_kept(lab: KernelLab) -> None:
    lab.up("one")
    bring_down("one", lab.paths, lab.reporter)
    lab.guest.on_install = lambda: lab.backend.fail("start", InstanceError("it died", code="start-failed"))
    with pytest.raises(InstanceError):
        lab.up_with("one", "backports")
    assert lab.known("one").release == OLD
    lab.up_with("one", "default")
    assert lab.known("one").kernel_wanted == ""


def test_reset_takes_the_kernel_along(lab: KernelLab) -> None:
    lab.up_with("one", "backports")
    lab.guest.installed.remove(NEW)
    lab.steps()
    reset_instance("one", lab.settings, lab.paths, lab.reporter, {})
    assert lab.steps() == ["delete", "create", "start", "stop", "start", "resume", "create", "start"]
    assert lab.known("one").release == NEW


def test_a_snapshot_knows_its_kernel(lab: KernelLab) -> None:
    lab.up("one")
    save_snapshot("before", "one", lab.paths, lab.reporter)
    bring_down("one", lab.paths, lab.reporter)
    lab.up_with("one", "backports")
    restore_snapshot("before", "one", lab.settings, lab.paths, lab.reporter, {})
    assert (lab.known("one").kernel, lab.known("one").release) == ("default", OLD)
