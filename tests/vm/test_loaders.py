"""Loaders and front ends other than our own, in a real guest: bpftool, xdp-loader, bpftrace."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.vm.conftest import Cli, read_until
from tests.vm.leftovers import await_nothing_left, left_in

RUN = 600.0
INSTALL = 900.0
PROGRAM = Path(__file__).parent / "programs/loader_files.bpf.c"
SCRIPT = """\
BEGIN { printf("watching\\n"); }
tracepoint:syscalls:sys_enter_openat { @opened[comm] = count(); }
END { printf("no longer watching\\n"); }
"""


def run(cli: Cli, file: Path | str, *words: str, seconds: float = 4) -> dict[str, Any]:
    found: dict[str, Any] = cli.json(
        "run", str(file), "--for", str(seconds), "--json", *words, timeout=RUN, check=False
    )
    return found


def by_name(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in items}


def test_bpftool_loads_and_we_show(instance: Cli) -> None:
    before = left_in(instance)
    report = run(instance, PROGRAM, "--loader", "bpftool", "--trigger", "ls / && ls /sys/fs/bpf/programs")
    assert report["error"] is None, report
    programs = by_name(report["programs"])
    assert {name: item["state"] for name, item in programs.items()} == {
        "opened": "attached", "passed": "attached", "connected": "skipped",
    }  # fmt: skip
    assert "--loader runner" in programs["connected"]["reason"]
    assert programs["opened"]["run_count"] > 0
    assert programs["passed"]["verdicts"]["XDP_PASS"] > 0
    output = report["output"]
    assert {"opened", "passed", "connected"} <= set(output["trigger"])  # where bpftool has pinned them
    assert "a file is opened" in output["printk"]
    assert any(event["fields"]["comm"] == "ls" for event in output["events"])
    maps = by_name(report["maps"])
    assert maps["by_pid"]["entries"]
    assert by_name([{"name": item["key"], **item} for item in maps[".bss"]["entries"]])["total"]["value"] > 0
    await_nothing_left(instance, before)


def test_ctrl_c_leaves_nothing_of_bpftool(instance: Cli) -> None:
    before = left_in(instance)
    process = instance.start("run", str(PROGRAM), "--loader", "bpftool", "--for", "300")
    read_until(process, "attached", RUN)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    await_nothing_left(instance, before)


def test_the_verifier_is_explained_whoever_loads(instance: Cli) -> None:
    refused = Path(__file__).parent / "programs/refused_packet_unchecked.bpf.c"
    error = run(instance, refused, "--loader", "bpftool")["error"]
    assert error["code"] == "verifier-rejected"
    assert error["file"] == str(refused)
    assert "whole verifier log" in error["details"]


@pytest.fixture(scope="module")
def xdp_tools(instance: Cli) -> Cli:
    instance("add", "xdp-tools", timeout=INSTALL)
    return instance


@pytest.mark.nightly
def test_xdp_loader_loads_and_we_show(xdp_tools: Cli) -> None:
    before = left_in(xdp_tools)
    report = run(xdp_tools, "xdp-counter", "--loader", "xdp-loader", seconds=6)
    assert report["error"] is None, report
    (program,) = report["programs"]
    assert (program["state"], program["target"]) == ("attached", "ebpf0")
    assert program["run_count"] == program["verdicts"]["XDP_PASS"] > 0
    counted = next(item for item in report["maps"] if item["name"] == "traffic")["entries"]
    assert any(entry["value"]["packets"] > 0 for entry in counted), counted
    await_nothing_left(xdp_tools, before)


@pytest.mark.nightly
def test_a_package_is_added_once(xdp_tools: Cli) -> None:
    assert list(xdp_tools.json("add", "xdp-tools", "--json")["already"]) == ["xdp-tools"]


def test_a_bpftrace_script(instance: Cli, tmp_path: Path) -> None:
    instance("add", "bpftrace", timeout=INSTALL)
    script = tmp_path / "opens.bt"
    script.write_text(SCRIPT)
    report = run(instance, script, "--trigger", "cat /etc/hostname", seconds=3)
    assert report["ok"], report
    said = report["output"]["companion"]
    assert "watching" in said
    assert "no longer watching" in said  # it was asked to end, and not killed
    assert any(line.startswith("@opened[cat]:") for line in said)
    script.write_text("tracepoint:nowhere:nothing { exit(); }\n")
    refused = instance("run", str(script), "--for", "3", timeout=RUN, check=False)
    assert refused.status == 1
    assert "nowhere:nothing" in refused.stdout + refused.stderr
