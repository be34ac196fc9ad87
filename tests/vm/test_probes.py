"""Probes of user space find their file and function, and programs get something to see without a trigger."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.vm.conftest import Cli, read_until

RUN = 600.0
PROGRAMS = Path(__file__).with_name("programs")

#: What a run with activity must not leave; the name is the start of the scratch directory's.
LEFTOVERS = (
    "ls -d /var/tmp/ebpf-dev-* 2>/dev/null; ps -eo args= | grep '[r]unner-'; ls /sys/kernel/tracing/instances"
)

COMPANION = """
#include <bpf/libbpf.h>
#include <stdio.h>
#include <unistd.h>
#include "line.skel.h"
int main(void)
{
    LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = "readline", .retprobe = true);
    struct line_bpf *skel = line_bpf__open_and_load();
    struct bpf_link *link = bpf_program__attach_uprobe_opts(skel->progs.line_read, -1, "/bin/bash", 0, &opts);
    setbuf(stdout, NULL);
    printf("attached %d\\n", link != NULL);
    for (;;)
        pause();
}
"""


def run(cli: Cli, file: Path, *words: str, seconds: float = 6) -> dict[str, Any]:
    found: dict[str, Any] = cli.json(
        "run", str(file), "--for", str(seconds), "--json", *words, timeout=RUN, check=False
    )
    return found


def programs(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {program["name"]: program for program in report["programs"]}


def test_functions_are_found_in_every_spelling_of_a_section(instance: Cli) -> None:
    report = run(instance, PROGRAMS / "probe_functions.bpf.c")
    assert report["ok"], report
    found = programs(report)
    targets = {name: program["target"].rpartition("/")[2] for name, program in found.items() if program["target"]}
    assert targets == {
        "whole_path": "bash:readline",
        "library_name": "libc.so.6:malloc",
        "program_name": "bash:readline",
        "with_offset": "libc.so.6:malloc+0x4",
        "sleepable": "libc.so.6:free",
        "function_only": "libc.so.6:getaddrinfo",
        "binary_and_function": "bash:readline",
        "malloc_enter": "libc.so.6:malloc",
        "handle_calloc_exit": "libc.so.6:calloc",
    }
    for name in targets:
        assert found[name]["run_count"] > 0, name
    assert "function nobody_has_this_function; --bin PATH" in found["nowhere"]["reason"]
    assert "no executable or library ./not_here" in found["no_file"]["reason"]
    assert "bash has no function no_such_function" in found["no_function"]["reason"]
    assert "its own loader" in found["of_its_loader"]["reason"]
    assert "--bin PATH:SYMBOL" in found["unsaid"]["reason"]


def test_bin_says_what_a_section_does_not(instance: Cli) -> None:
    file = PROGRAMS / "probe_functions.bpf.c"
    words = ("--prog", "unsaid", "--prog", "program_name", "--bin", "bash:rl_initialize")
    found = programs(run(instance, file, *words, seconds=1))
    assert found["unsaid"]["target"].endswith("/bash:rl_initialize")
    assert found["program_name"]["target"].endswith("/bash:readline"), "what the section says goes first"
    report = run(instance, file, "--prog", "whole_path", "--bin", "/no/such/file", seconds=1)
    assert report["error"]["code"] == "attach-failed"
    assert "no executable or library /no/such/file" in report["error"]["details"]


def test_usdt_probes_are_found(instance: Cli) -> None:
    found = programs(run(instance, PROGRAMS / "probe_usdt.bpf.c", "--no-trigger", seconds=1))
    for name in ("in_full", "without_file", "name_only"):
        assert found[name]["state"] == "attached", found[name]
        assert found[name]["target"].endswith("/libstdc++.so.6:libstdcxx:throw")
    assert "no_such_probe" in found["not_there"]["reason"]
    assert "--bin PATH:PROVIDER:NAME" in found["nothing_said"]["reason"]
    assert "without USDT probes" in found["built_without"]["reason"]


def test_what_programs_hook_is_exercised(instance: Cli) -> None:
    report = run(instance, PROGRAMS / "probe_activity.bpf.c", seconds=10)
    assert report["ok"], report
    silent = [name for name, program in programs(report).items() if not program["run_count"]]
    assert not silent, report
    assert not instance.guest("sh", "-c", LEFTOVERS + "; :")


def test_a_line_is_typed_into_bash(instance: Cli) -> None:
    report = run(instance, PROGRAMS / "probe_line.bpf.c")
    assert "typed: echo hello from ebpf-dev" in report["output"]["printk"], report


def test_a_trigger_or_none_takes_the_place_of_the_activity(instance: Cli) -> None:
    file = PROGRAMS / "probe_line.bpf.c"
    assert not run(instance, file, "--no-trigger")["output"]["printk"]
    report = run(instance, file, "--trigger", "echo triggered")
    assert report["output"]["trigger"] == ["triggered"]
    assert not report["output"]["printk"], report


def test_a_process_chosen_by_pid_is_the_only_one_probed(instance: Cli) -> None:
    report = run(instance, PROGRAMS / "probe_line.bpf.c", "--pid", "1")
    assert report["ok"], report
    assert programs(report)["line_read"]["run_count"] == 0


def test_a_companion_gets_something_to_see(instance: Cli, tmp_path: Path) -> None:
    (tmp_path / "line.bpf.c").write_text((PROGRAMS / "probe_line.bpf.c").read_text())
    (tmp_path / "line.c").write_text(COMPANION)
    report = run(instance, tmp_path / "line.bpf.c", seconds=10)
    assert "attached 1" in report["output"]["companion"], report
    assert "typed: echo hello from ebpf-dev" in report["output"]["printk"], report


def test_a_killed_client_leaves_no_scratch_directory(instance: Cli) -> None:
    process = instance.start("run", str(PROGRAMS / "probe_activity.bpf.c"), "--for", "300")
    read_until(process, "attached", RUN)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while left := instance.guest("sh", "-c", LEFTOVERS + "; :"):
        assert time.monotonic() < deadline, left
        time.sleep(1)
