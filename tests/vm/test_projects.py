"""Programs as projects keep them: scattered headers, older dialects, companions, in a real guest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.vm.conftest import Cli

RUN = 900.0
PROGRAMS = Path(__file__).parent / "programs/project"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The programs as a project of its own."""
    shutil.copytree(PROGRAMS, tmp_path / "project")
    (tmp_path / "project/.git").mkdir()
    return tmp_path / "project/src"


def run(cli: Cli, file: Path, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = cli.json("run", str(file), "--for", "3", "--json", *words, timeout=RUN, check=False)
    return found


def test_headers_are_found_and_events_are_decoded(instance: Cli, project: Path) -> None:
    report = run(instance, project / "records.bpf.c", "--trigger", "ls /")
    assert report["error"] is None, report
    assert any("kit/records.h" in note for note in report["notes"])
    events = report["output"]["events"]
    assert {event["type"] for event in events} == {"struct started", "struct ended"}
    assert any(event["fields"].get("name") == "ls" for event in events)


def test_libc_headers_and_registers(instance: Cli, project: Path) -> None:
    report = run(instance, project / "libc.bpf.c", "--trigger", "touch /tmp/x; rm /tmp/x")
    assert report["error"] is None, report
    assert any("first argument: -100" in line for line in report["output"]["printk"])  # AT_FDCWD


def test_a_companion_that_does_not_build_is_done_without(instance: Cli, project: Path) -> None:
    report = run(instance, project / "broken.bpf.c", "--trigger", "ls /")
    assert report["error"] is None, report
    assert any("a_header_of_nobody.h" in warning for warning in report["warnings"])
    assert any("license" in warning for warning in report["warnings"])
    assert report["programs"][0]["run_count"] > 0
    again = run(instance, project / "broken.bpf.c")
    assert again["error"] is None, again
    wanted = run(instance, project / "broken.bpf.c", "--loader", "companion")
    assert wanted["error"]["code"] == "compile-failed"


def test_a_macro_is_named_with_its_value(instance: Cli, project: Path) -> None:
    error = run(instance, project / "macro.bpf.c")["error"]
    assert error["code"] == "compile-failed"
    assert error["line"] == 8
    assert "#define ETH_P_IP 0x0800" in error["hint"]


def test_an_object_is_run_as_it_is(instance: Cli, project: Path) -> None:
    run(instance, project / "broken.bpf.c")
    built = instance.guest("sh", "-c", "ls -t /var/lib/ebpf-dev/build/*/broken.bpf.o").split()[0]
    instance("cp", f":{built}", str(project / "copy.bpf.o"))
    report = run(instance, project / "copy.bpf.o")
    assert report["error"] is None, report
    assert "build" not in [stage["name"] for stage in report["stages"]]
