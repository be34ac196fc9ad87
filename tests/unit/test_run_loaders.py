"""Runs by other loaders and front ends, in a guest that is a fake: what is asked of it, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from provisioner.core.errors import GuestError, UsageError
from provisioner.core.process import CommandResult
from provisioner.workflows import frontend, program
from provisioner.workflows.add import add_packages
from provisioner.workflows.instances import Instance
from provisioner.workflows.run import Outcome, run_program
from provisioner.workflows.run_request import RunRequest
from tests.unit.recorder import Recorder

PASS = 'char LICENSE[] SEC("license") = "GPL";\nSEC("xdp") int pass(void *ctx) { return 2; }\n'


class FakeGuest:
    """Has what ``there`` says, installs what it is asked to, and answers the runner with ``messages``."""

    def __init__(
        self, there: Sequence[str] = ("runner", "vmlinux", "build", "files", "package", "loader")
    ) -> None:
        self.there = list(there)
        self.packages = {"bpftool": "7.5"}
        self.offered = {"bpftrace": "0.23", "python3-bpfcc": "0.31", "bpfcc-tools": "0.31"}
        self.messages: list[dict[str, Any]] = [{"type": "done", "status": 0, "reason": "time"}]
        self.has_lists = True
        self.ran: list[str] = []
        self.apt: list[list[str]] = []

    def run(self, argv: Sequence[str], **options: Any) -> CommandResult:
        words, said = list(argv), ""
        if "look" in words:
            said = "\n".join(self.there)
        elif words[0] == "dpkg-query":
            format_ = words[words.index("-f") + 1]
            said = "".join(
                format_.replace("${db:Status-Status}", "installed")
                .replace("${Package}", name)
                .replace("${Version}", version)
                .replace("\\n", "\n")
                for name, version in self.packages.items()
                if name in words
            )
        return CommandResult(tuple(words), 0, said, "")

    def stream(self, argv: Sequence[str], on_line: Callable[[str, str], None], **options: Any) -> int:
        words = list(argv)
        if "apt-get" in words:
            return self._apt_get(words, on_line)
        self.ran = words
        for message in self.messages:
            on_line("stdout", json.dumps(message))
        return 0

    def put(self, source: Path | bytes, target: str, mode: int = 0o644) -> None:
        raise AssertionError(f"nothing is put into {target}")

    def get(self, source: str, target: Path) -> None:
        raise AssertionError(f"nothing is got from {source}")

    def close(self) -> None:
        pass

    def _apt_get(self, words: list[str], on_line: Callable[[str, str], None]) -> int:
        self.apt.append(words)
        if "update" in words:
            self.has_lists = True
            return 0
        for name in words[words.index("--fix-broken") + 1 :]:
            if not self.has_lists or name not in self.offered:
                on_line("stdout", f"E: Unable to locate package {name}")
                return 100
            self.packages[name.partition("=")[0]] = self.offered[name]
        return 0


class Record:
    name, release, arch, backend = "dev", "6.12", "x86_64", "qemu"


class FakeInstance:
    name, record = "dev", Record()


Go = Callable[..., Outcome]


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGuest]:
    found = FakeGuest()

    @contextmanager
    def connected(instance: object) -> Iterator[FakeGuest]:
        yield found

    for module in (frontend, program):
        monkeypatch.setattr(module, "connected", connected)
    yield found


@pytest.fixture
def go(guest: FakeGuest) -> Go:
    def go(file: Path, **wishes: Any) -> Outcome:
        request = RunRequest(str(file), seconds=3, **wishes)
        instance = cast(Instance, FakeInstance())
        return run_program(request, instance, lambda message: None, Recorder(), threading.Event())

    return go


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "opens.bt"
    path.write_text("tracepoint:syscalls:sys_enter_openat { @[comm] = count(); }\n")
    return path


def test_a_script_is_run_by_its_front_end(guest: FakeGuest, go: Go, script: Path) -> None:
    guest.messages[:0] = [{"type": "companion", "stream": "stdout", "text": "@[ls]: 3"}]
    outcome = go(script, arguments=("--debug",))
    assert outcome.status == 0
    assert outcome.report["output"]["companion"] == ["@[ls]: 3"]
    assert outcome.report["ok"]
    words = guest.ran
    assert words[words.index("--companion") + 1] == "/usr/bin/bpftrace"
    assert words[words.index("--hook") + 1] == "syscalls:sys_enter_openat"
    assert words[words.index("--") + 1 :] == ["--unsafe", "opens.bt", "--debug"]
    assert "--object" not in words


def test_the_status_of_a_front_end_is_passed_on(guest: FakeGuest, go: Go, script: Path) -> None:
    guest.messages = [{"type": "done", "status": 3, "reason": "finished"}]
    outcome = go(script)
    assert (outcome.status, outcome.report["ok"], outcome.error) == (3, False, None)


def test_a_missing_front_end_is_told_with_what_installs_it(guest: FakeGuest, go: Go, script: Path) -> None:
    guest.there.remove("package")
    error = go(script).error
    assert isinstance(error, GuestError)
    assert error.code == "package-missing"
    assert "`ebpf-dev add bpftrace -i dev`" in error.hint
    assert not guest.ran


def test_a_front_end_has_no_use_for_options_of_the_runner(go: Go, script: Path) -> None:
    for wishes in ({"settings": ("a=1",)}, {"device": "eth0"}, {"loader": "bpftool"}):
        outcome = go(script, **wishes)
        assert isinstance(outcome.error, UsageError)
        assert outcome.error.code == "options-conflict"


@pytest.mark.parametrize(("loader", "package"), [("bpftool", "bpftool"), ("xdp-loader", "xdp-tools")])
def test_another_loader_gets_the_object(
    guest: FakeGuest, go: Go, tmp_path: Path, loader: str, package: str
) -> None:
    file = tmp_path / "pass.bpf.c"
    file.write_text(PASS)
    assert go(file, loader=loader).status == 0
    assert guest.ran[guest.ran.index("--loader") + 1] == loader
    guest.there.remove("loader")
    error = go(file, loader=loader).error
    assert error
    assert (error.code, f"ebpf-dev add {package}" in error.hint) == ("package-missing", True)


def test_our_own_loaders_are_not_looked_for(guest: FakeGuest, go: Go, tmp_path: Path) -> None:
    file = tmp_path / "pass.bpf.c"
    file.write_text(PASS)
    guest.there.remove("loader")
    for loader in (None, "runner"):
        assert go(file, loader=loader).status == 0
        assert "--loader" not in guest.ran


@pytest.mark.parametrize(
    ("wishes", "code"),
    [
        ({"loader": "ld"}, "unknown-loader"),
        ({"loader": "companion", "settings": ("a=1",)}, "options-conflict"),
        ({"loader": "bpftool", "programs": ("pass",)}, "options-conflict"),
        ({"loader": "xdp-loader", "map_entries": (("m", "1=2"),)}, "options-conflict"),
    ],
)
def test_what_a_loader_cannot_do(wishes: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        RunRequest("x.c", **wishes).check_loader()
    assert caught.value.code == code


@pytest.mark.parametrize(
    "wish",
    [{"pid": 1}, {"programs": ("a",)}, {"device": "eth0"}, {"cgroup": "/x"}, {"bin": "/x"}, {"attach_to": "f"}],
)
def test_what_a_companion_would_not_follow_takes_our_runner(wish: dict[str, Any]) -> None:
    assert not RunRequest("x.c").needs_runner
    assert RunRequest("x.c", **wish).needs_runner
    with pytest.raises(UsageError):
        RunRequest("x.c", loader="companion", **wish).check_loader()


def test_what_a_loader_can_do() -> None:
    RunRequest("x.c", loader="xdp-loader", programs=("a", "b"), device="eth0").check_loader()
    RunRequest("x.c", loader="runner", settings=("a=1",), pid=1).check_loader()


@pytest.mark.parametrize("command", ["run", "watch"])
def test_a_request_that_cannot_be_is_json_too(command: str) -> None:
    argv = [sys.executable, "-m", "provisioner", command, "hello", "--loader", "foo", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "unknown-loader"


def test_packages_are_added_once() -> None:
    guest, reporter = FakeGuest(), Recorder()
    added = add_packages(guest, ["bcc", "bpftool"], "apt", reporter)
    assert added.installed == {"python3-bpfcc": "0.31", "bpfcc-tools": "0.31"}
    assert added.already == {"bpftool": "7.5"}
    assert reporter.titles == ["Installing bcc bpftool"]
    again = add_packages(guest, ["bcc", "bpftool"], "apt", reporter)
    assert (again.installed, len(again.already), len(guest.apt)) == ({}, 3, 1)


def test_package_lists_are_fetched_when_those_there_do_not_serve() -> None:
    guest, reporter = FakeGuest(), Recorder()
    guest.has_lists = False
    assert add_packages(guest, ["bpftrace"], "apt", reporter).installed == {"bpftrace": "0.23"}
    assert reporter.titles == ["Installing bpftrace", "Fetching package lists", "Installing bpftrace"]


def test_a_package_that_nobody_has() -> None:
    with pytest.raises(GuestError) as caught:
        add_packages(FakeGuest(), ["bpftracee"], "apt", Recorder())
    assert caught.value.code == "unknown-package"
    assert "bpftracee" in caught.value.brief


@pytest.mark.parametrize("name", ["", "-o", "clang-", "a b", "Bcc"])
def test_what_can_be_no_package(name: str) -> None:
    guest = FakeGuest()
    with pytest.raises(UsageError) as caught:
        add_packages(guest, [name], "apt", Recorder())
    assert caught.value.code == "bad-package"
    assert not guest.apt


def test_a_package_with_a_version_is_told_by_its_name() -> None:
    guest = FakeGuest()
    guest.offered["bpftool=7.6"] = "7.6"
    added = add_packages(guest, ["bpftool=7.6"], "apt", Recorder())
    assert (added.installed, added.already) == ({"bpftool": "7.6"}, {})
