"""`doctor --fix`, with tools that only pretend."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from provisioner.core.errors import HostError
from provisioner.core.paths import Paths, find_paths
from provisioner.core.reporter import SilentReporter
from provisioner.core.settings import Settings
from provisioner.workflows.doctor import fix
from provisioner.workflows.host_checks import judge_host
from provisioner.workflows.host_findings import Findings
from provisioner.workflows.host_fix import Action, carry_out, describe, plan_fix
from tests.unit.findings import (
    DEBIAN,
    FEDORA,
    ROOT,
    SETTINGS,
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return find_paths({"EBPF_DEV_HOME": str(tmp_path / "home")})


class Tools:
    """A directory of fake programs that is all there is on PATH; each call is logged."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "calls"
        self.log.touch()

    def add(self, name: str, body: str) -> None:
        path = self.directory / name
        path.write_text(f"#!/bin/sh\necho {name} \"$@\" >> '{self.log}'\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    directory = tmp_path / "bin"
    directory.mkdir()
    fake = Tools(directory)
    # `env` is how the real apt-get gets its environment; the fake one lets the log show what it was given.
    fake.add("env", 'while :; do case "$1" in *=*) shift;; *) break;; esac; done; exec "$@"')
    fake.add("apt-get", "echo '0 upgraded, 2 newly installed'; echo 'Unpacking qemu'; echo 'Setting up qemu'")
    monkeypatch.setenv("PATH", str(directory))
    return fake


INSTALL = Action(("apt-get", "install", "qemu"), "Installing qemu")


def test_root_runs_commands_directly(tools: Tools) -> None:
    carry_out([INSTALL], ROOT, SilentReporter())
    assert tools.calls == ["apt-get install qemu"]


def test_others_go_through_sudo(tools: Tools) -> None:
    tools.add("sudo", 'case "$1" in -*) exit 0;; esac; exec "$@"')
    carry_out([INSTALL], DEBIAN, SilentReporter())
    assert tools.calls == ["sudo -n true", "sudo apt-get install qemu", "apt-get install qemu"]


def test_sudo_that_refuses_leaves_the_commands_to_run_by_hand(tools: Tools) -> None:
    tools.add("sudo", "exit 1")
    with pytest.raises(HostError) as caught:
        carry_out([INSTALL], DEBIAN, SilentReporter())
    assert (caught.value.code, caught.value.details) == ("sudo-refused", "apt-get install qemu")
    assert tools.calls == ["sudo -n true", "sudo -v"]


@pytest.mark.skipif(Path("/usr/sbin/sudo").exists() or Path("/sbin/sudo").exists(), reason="sudo in sbin")
def test_without_sudo_the_commands_are_told(tools: Tools) -> None:
    with pytest.raises(HostError) as caught:
        carry_out([INSTALL], DEBIAN, SilentReporter())
    assert caught.value.code == "sudo-missing"


def test_a_command_that_fails_is_told_with_its_words(tools: Tools) -> None:
    tools.add("apt-get", "echo Reading; echo 'E: Unable to locate package qemu'; exit 100")
    with pytest.raises(HostError) as caught:
        carry_out([INSTALL], ROOT, SilentReporter())
    assert caught.value.code == "fix-failed"
    assert caught.value.details == "E: Unable to locate package qemu"
    assert "apt-get install qemu" in caught.value.hint


def test_package_lists_may_fail(tools: Tools) -> None:
    tools.add("apt-get", 'test "$1" = install')
    update = Action(("apt-get", "update"), "Fetching package lists", required=False)
    carry_out([update, INSTALL], ROOT, SilentReporter())
    assert tools.calls == ["apt-get update", "apt-get install qemu"]


def test_commands_are_shown_as_one_types_them() -> None:
    _, install, *_ = plan_fix(judge_host(Findings(facts=DEBIAN), SETTINGS), DEBIAN)
    assert describe(install, DEBIAN).startswith("sudo apt-get install --no-install-recommends e2fsprogs ")
    assert describe(install, ROOT).startswith("apt-get install ")


class Listener(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_nothing_is_run_without_consent(tools: Tools, paths: Paths) -> None:
    asked: list[str] = []

    def refuse(question: str) -> bool:
        asked.append(question)
        return False

    reporter = Listener()
    assert not fix(paths, Settings(), reporter, ask=refuse, facts=ROOT)
    assert asked == ["Run them?"]
    assert any("apt-get install" in note for note in reporter.notes)
    assert not [call for call in tools.calls if call.startswith("apt-get install")]


def test_without_asking_it_is_done(tools: Tools, paths: Paths) -> None:
    assert fix(paths, Settings(), SilentReporter(), facts=ROOT)
    assert [call for call in tools.calls if call.startswith("apt-get") and " install " in call]


def test_what_no_command_cures_is_said(tools: Tools, paths: Paths) -> None:
    with pytest.raises(HostError) as caught:
        fix(paths, Settings(), SilentReporter(), facts=FEDORA)
    assert caught.value.code == "fix-impossible"
    assert "qemu-img: missing" in caught.value.details
