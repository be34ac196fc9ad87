"""Programs that are no network and no tracing ones: cgroup, perf_event, struct_ops, syscall, iterators, LSM."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.vm.conftest import Cli, read_until

PROGRAMS = Path(__file__).parent / "programs"
RUN = 600.0

CGROUPS = "find /sys/fs/cgroup/ebpf-dev -mindepth 1 -type d 2>/dev/null || :"


def run(cli: Cli, name: str, *words: str, seconds: float = 3) -> dict[str, Any]:
    file = str(PROGRAMS / f"{name}.bpf.c")
    report: dict[str, Any] = cli.json(
        "run", file, "--for", str(seconds), "--json", *words, timeout=RUN, check=False
    )
    return report


def variables(report: dict[str, Any], section: str = ".bss") -> dict[str, Any]:
    found = [entry for item in report["maps"] if item["name"] == section for entry in item["entries"]]
    return {entry["key"]: entry["value"] for entry in found}


def states(report: dict[str, Any]) -> dict[str, str]:
    return {program["name"]: program["state"] for program in report["programs"]}


def test_every_hook_of_a_cgroup_is_set_off(instance: Cli) -> None:
    report = run(instance, "cgroup_types", seconds=6)
    assert report["ok"], report
    assert set(states(report).values()) == {"attached"}
    counts = variables(report)["counts"]
    assert [name for name, count in counts.items() if not count] == []
    assert instance.guest("sh", "-c", CGROUPS) == ""


def test_unix_sockets_have_hooks_too(instance: Cli) -> None:
    report = run(instance, "cgroup_unix")
    assert report["ok"], report
    assert all(variables(report)["counts"].values())


def test_a_cgroup_that_denies_everything_locks_nobody_out(instance: Cli) -> None:
    report = run(instance, "cgroup_deny", seconds=5)
    assert report["ok"], report
    assert {"denied a sysctl", "denied a connection"} <= set(report["output"]["printk"])
    assert [set(program["verdicts"]) for program in report["programs"]] == [{"denied"}] * 4


def test_connections_fill_a_sockhash(instance: Cli) -> None:
    report = run(instance, "cgroup_sockhash")
    assert report["ok"], report
    assert variables(report)["added"] > 0


def test_triggers_run_inside_the_cgroup(instance: Cli) -> None:
    report = run(instance, "cgroup_sockhash", "--trigger", "cat /proc/self/cgroup", seconds=3)
    assert any("/ebpf-dev/" in line for line in report["output"]["trigger"]), report["output"]


def test_a_chosen_cgroup_is_left_to_its_processes(instance: Cli) -> None:
    report = run(instance, "cgroup_sockhash", "--cgroup", "/sys/fs/cgroup/system.slice", seconds=3)
    assert report["ok"], report
    assert report["programs"][0]["target"] == "/sys/fs/cgroup/system.slice"
    missing = run(instance, "cgroup_sockhash", "--cgroup", "nowhere", seconds=3)
    assert "/sys/fs/cgroup/nowhere: No such file" in missing["error"]["brief"]


def test_a_runner_killed_outright_leaves_no_cgroup(instance: Cli) -> None:
    process = instance.start("run", str(PROGRAMS / "cgroup_sockhash.bpf.c"), "--for", "300")
    try:
        read_until(process, "attached", RUN)
        instance.guest("sh", "-c", f"kill -9 $(basename $({CGROUPS}))")  # it is named by the runner's pid
        process.wait(timeout=RUN)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while instance.guest("sh", "-c", CGROUPS):
        assert time.monotonic() < deadline
        time.sleep(1)


def test_a_cgroup_of_no_living_runner_is_removed_by_the_next(instance: Cli) -> None:
    no_pid = 2**22  # PID_MAX_LIMIT of <linux/threads.h>
    instance.guest("mkdir", "-p", f"/sys/fs/cgroup/ebpf-dev/{no_pid}")
    run(instance, "cgroup_sockhash", seconds=1)
    assert instance.guest("sh", "-c", CGROUPS) == ""


def test_a_busy_cpu_is_sampled_in_user_space_and_in_the_kernel(instance: Cli) -> None:
    report = run(instance, "perf_sample")
    assert report["ok"], report
    assert "49 Hz" in report["programs"][0]["target"]
    assert variables(report)["in_user"] > 0
    assert variables(report)["in_kernel"] > 0


def test_the_section_says_which_event_samples(instance: Cli) -> None:
    report = run(instance, "perf_section")
    assert report["ok"], report
    assert variables(report)["by_clock"] > 0
    assert "99 Hz" in next(item["target"] for item in report["programs"] if item["name"] == "count_clock")


def test_a_congestion_control_is_put_to_use(instance: Cli) -> None:
    report = run(instance, "ops_congestion")
    assert report["ok"], report
    assert report["programs"][0]["target"] == 'tcp_congestion_ops "ebpf_dev_still"'
    assert variables(report)["started"] > 0
    assert "ebpf_dev_still" not in instance.guest("cat", "/proc/sys/net/ipv4/tcp_available_congestion_control")


def test_a_scheduler_runs_or_the_kernel_is_said_to_lack_it(instance: Cli) -> None:
    report = run(instance, "ops_unknown", seconds=3)
    if instance.guest("sh", "-c", "ls /sys/kernel/sched_ext/state 2>/dev/null || :"):
        assert report["ok"], report
        assert report["programs"][0]["target"] == 'sched_ext_ops "smallest"'
    else:
        assert report["error"]["code"] == "kernel-lacks"
        assert "sched_ext_ops" in report["error"]["brief"]
        assert "CONFIG_SCHED_CLASS_EXT" in report["error"]["hint"]


def test_a_member_that_the_kernel_lacks_is_named(instance: Cli) -> None:
    report = run(instance, "ops_member", seconds=1)
    assert report["error"]["code"] == "kernel-lacks"
    assert "no member foresight" in report["error"]["brief"]


def test_syscall_programs_are_called_once_in_order(instance: Cli) -> None:
    report = run(instance, "syscall_call", seconds=60)
    assert report["ok"], report
    assert variables(report)["calls"] == 11
    assert [program["run_count"] for program in report["programs"]] == [1, 1]


def test_iterators_write_text_and_records(instance: Cli) -> None:
    report = run(instance, "iter_records", seconds=4)
    assert report["ok"], report
    said = {item["program"]: item for item in report["iterators"]}
    assert said["tasks"]["type"] == "struct task_record"
    fields = [record["fields"] for record in said["tasks"]["records"]]
    assert {"pid": 2, "parent": 0, "comm": "kthreadd", "unused": 0} in fields
    assert "systemd has file 0" in said["files"]["text"]
    assert said["elements"]["text"] == "call 7 was made often\n"
    assert "cgroup of level 1" in said["cgroups"]["text"]


def test_one_that_denies_bpf_to_its_own_loader_ends_cleanly(instance: Cli) -> None:
    report = run(instance, "lsm_bpf", "--trigger", "bpftool prog show")
    assert report["ok"], report
    assert any(line.startswith("denied bpf command") for line in report["output"]["printk"])
    assert variables(report)["denied"] > 0  # read after it was detached
    assert "Operation not permitted" in " ".join(report["output"]["trigger"])
    assert instance.guest("bpftool", "prog", "show", "name", "deny_bpf", check=False) == ""


def test_an_lsm_hook_of_a_cgroup_is_set_off_inside_it(instance: Cli) -> None:
    report = run(instance, "lsm_cgroup")
    assert report["ok"], report
    assert variables(report)["created"] > 0


def test_a_modified_return_value(instance: Cli) -> None:
    report = run(instance, "lsm_modify", "--trigger", "cat /etc/hostname")
    assert report["ok"], report
    assert variables(report)["asked"] > 0
