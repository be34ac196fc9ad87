"""Whether this host runs the programs of another architecture, as arch-test(1) says."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.core.errors import HostError
from provisioner.core.host import ARCHES, host_arch
from provisioner.images.foreign import DEB_ARCHES, TESTER, check_programs_run

FOREIGN = next(arch for arch in ARCHES if arch != host_arch())


def fake_tester(directory: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (directory / TESTER).write_text(f"#!/bin/sh\n{text}\n")
    (directory / TESTER).chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/bin")


def test_the_hosts_own_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tester(tmp_path, monkeypatch, "exit 1")
    check_programs_run(host_arch())


def test_foreign_ones_run_when_the_tester_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tester(tmp_path, monkeypatch, f"[ $1 = {DEB_ARCHES[FOREIGN]} ]")
    check_programs_run(FOREIGN)


def test_without_emulation_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tester(tmp_path, monkeypatch, "echo 'arm64: not supported on this machine/kernel'; exit 1")
    with pytest.raises(HostError) as caught:
        check_programs_run(FOREIGN)
    assert caught.value.code == "foreign-arch"
    assert caught.value.details == "arm64: not supported on this machine/kernel"
    assert f"doctor --arch {FOREIGN} --fix" in caught.value.hint
    assert "qemu-user-static" in caught.value.hint


def test_without_the_tester_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provisioner.images.foreign.find_tool", lambda name: None)
    with pytest.raises(HostError) as caught:
        check_programs_run(FOREIGN)
    assert caught.value.details == "arch-test is not installed"
