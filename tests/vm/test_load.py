"""Loading in a real kernel: dialects of other loaders, alternatives on one hook, parameters, bad objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provisioner.guest.recipe import runner_path
from tests.vm.conftest import Cli

PROGRAMS = Path(__file__).parent / "programs"
RUN = 600.0


def run(cli: Cli, name: str, *words: str, trigger: str = "/bin/true") -> dict[str, Any]:
    found: dict[str, Any] = cli.json(
        "run", str(PROGRAMS / f"{name}.bpf.c"), "--for", "3", "--json", "--trigger", trigger, *words,
        timeout=RUN, check=False,
    )  # fmt: skip
    return found


def programs(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    assert report["programs"], report
    return {program["name"]: program for program in report["programs"]}


def content(report: dict[str, Any], name: str) -> dict[Any, Any]:
    entries = next(found["entries"] for found in report["maps"] if found["name"] == name)
    return {str(entry["key"]): entry["value"] for entry in entries}


def test_types_of_sections_that_libbpf_does_not_know(instance: Cli) -> None:
    found = programs(run(instance, "load_sections"))
    assert {name: program["type"] for name, program in found.items()} == {
        "by_prefix": "xdp",
        "by_context": "xdp",
        "classifier": "sched_cls",
        "by_skb": "sched_cls",
        "filter": "socket_filter",
        "operations": "sock_ops",
        "guard_bind6": "cgroup_sock_addr",
        "sample": "perf_event",
    }


def test_old_maps_and_static_programs(instance: Cli) -> None:
    report = run(instance, "load_legacy")
    assert report["ok"], report
    assert content(report, "executions") == {"7": 1}
    assert content(report, "calls")["0"] > 0


def test_map_sizes_that_only_a_loader_would_know(instance: Cli) -> None:
    report = run(instance, "load_sizes")
    assert report["ok"], report
    assert content(report, "counts")
    assert content(report, "tallies")["0"]["calls"] > 0
    assert report["output"]["events"][0]["type"] == "struct event"


def test_names_that_are_nearly_right(instance: Cli) -> None:
    report = run(instance, "load_names")
    assert report["ok"], report
    found = {name: program["target"] for name, program in programs(report).items()}
    assert found["no_group"] == found["other_group"] == "sched/sched_process_exec"
    assert found["raw_with_group"] == "sched_process_exec"
    assert found["bare_system_call"] == found["other_architecture"] == found["other_architecture_btf"]
    assert found["bare_system_call"].endswith("_sys_execve")
    assert found["with_offset"] == "vfs_read"


def test_absent_targets_are_left_off_and_near_names_told(instance: Cli) -> None:
    report = run(instance, "load_absent")
    found = programs(report)
    assert report["ok"], report
    assert found["is_there"]["state"] == "attached"
    assert "vfs_read" in found["no_function"]["reason"]
    assert "did you mean sched_switch?" in found["no_btf_tracepoint"]["reason"]
    assert "did you mean file_open?" in found["no_lsm_hook"]["reason"]
    assert "did you mean sched_switch?" in found["no_tracepoint"]["reason"]
    assert "did you mean sched_switch?" in found["no_raw_tracepoint"]["reason"]
    assert "vfs_read" in found["no_kprobe"]["reason"]
    assert "does not say what to attach to" in found["says_nothing"]["reason"]


def test_twins_attach_once_and_what_differs_attaches_twice(instance: Cli) -> None:
    report = run(instance, "load_twins", trigger="mkdir /tmp/twins && rmdir /tmp/twins")
    states = {name: program["state"] for name, program in programs(report).items()}
    assert report["ok"], report
    assert states == {
        "exec_btf": "attached",
        "exec_raw": "skipped",
        "exit_btf": "attached",
        "exit_raw": "attached",
        "mkdir_fexit": "attached",
        "mkdir_entry": "skipped",
        "mkdir_return": "skipped",
    }
    assert "exec_btf" in programs(report)["exec_raw"]["reason"]
    assert content(report, ".bss")["directories"] >= 1


def test_the_other_twin_is_taken_when_the_better_one_is_refused(instance: Cli) -> None:
    report = run(instance, "load_refused_twin")
    assert report["ok"], report
    assert programs(report)["exec_btf"]["state"] == "skipped"
    assert programs(report)["exec_raw"]["state"] == "attached"
    assert content(report, ".bss")["executions"] > 0


def test_a_missing_license_is_told_and_given(instance: Cli) -> None:
    error = run(instance, "load_no_license")["error"]
    assert error["code"] == "missing-license"
    assert "--license GPL" in error["hint"]
    report = run(instance, "load_no_license", "--license", "GPL")
    assert report["ok"], report
    assert "run" in report["output"]["printk"]


SETTINGS = [
    "my_pid=0x10",
    "enabled=true",
    "mode=MODE_ON",
    "wanted=a, b",
    "offset=-5",
    "mac=02:00:5e:10:00:ff",
    "address=192.0.2.7",
    'settings={8080,1,level:9,range:{{1,2},{low:3}},name:"a,b"}',
    "settings.range[1].high=-4",
    "numbers=1,2,3",
]
ENTRIES = [
    ("rules", "192.0.2.0/24=MODE_ON,5,lab"),
    ("by_name", "abc=-3"),
    ("untyped", "0x010203040506=0x0102030405060708090a0b0c"),
    ("jumps", "2=jumped_to"),
]


def test_variables_and_maps_are_set(instance: Cli) -> None:
    words = [word for setting in SETTINGS for word in ("--set", setting)]
    words += [word for entry in ENTRIES for word in ("--map", *entry)]
    report = run(instance, "load_params", *words)
    assert report["ok"], report
    assert content(report, ".rodata") == {
        "my_pid": 16,
        "enabled": True,
        "mode": "MODE_ON",
        "wanted": "a, b",
        "offset": -5,
        "mac": [2, 0, 0x5E, 0x10, 0, 0xFF],
        "address": int.from_bytes([192, 0, 2, 7], "little"),
    }
    assert content(report, ".data")["settings"] == {
        "port": 8080,
        "strict": 1,
        "level": 9,
        "range": [{"low": 1, "high": 2}, {"low": 3, "high": -4}],
        "name": "a,b",
    }
    assert content(report, ".bss")["numbers"][:3] == [1, 2, 3]
    [rule] = content(report, "rules").values()
    assert rule == {"mode": "MODE_ON", "hits": 5, "label": "lab"}
    assert content(report, "untyped") == {"010203040506": "0102030405060708090a0b0c"}
    assert content(report, "by_name")["abc"] < 0
    # The jump goes to a program that runs by itself too.
    assert content(report, ".bss")["runs"] > programs(report)["jumped_to"]["run_count"] > 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "nope=1"], "__u32 my_pid = 0"),
        (["--set", "my_pid=x"], '"x" is not a number'),
        (["--set", "my_pid=4294967296"], "does not fit into 32 bits"),
        (["--set", "mode=MODE_X"], "none of MODE_OFF, MODE_ON"),
        (["--set", "settings.x=1"], "__u16 port"),
        (["--map", "nope", "1=2"], "rules: lpm_trie, key struct prefix, value struct rule"),
        (["--map", "rules", "1"], "it is not KEY=VALUE"),
        (["--map", "jumps", "9=jumped_to"], "of at most 4"),
    ],
)
def test_parameters_that_cannot_be_set(instance: Cli, words: list[str], told: str) -> None:
    error = run(instance, "load_params", *words)["error"]
    assert error["code"] == "bad-parameter"
    assert told in error["brief"] + error["details"]


@pytest.fixture
def runner(instance: Cli) -> str:
    """The runner's path in the guest, where it is now."""
    instance("run", "hello", "--for", "1", timeout=RUN)
    return runner_path()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (": > /tmp/bad.o", "the file is empty"),
        ("rm -f /tmp/bad.o", "No such file"),
        ("rm -f /tmp/bad.o; echo text > /tmp/bad.o", "it is not an ELF file"),
        ("cp /bin/true /tmp/bad.o", "not for eBPF"),
        (
            "cp $(ls -t /var/lib/ebpf-dev/build/*/*.o | head -n 1) /tmp/bad.o; truncate -s 900 /tmp/bad.o",
            "cut short",
        ),
        ("head -c 10000000 /dev/urandom > /tmp/bad.o", "it is not an ELF file"),
        ("echo 'int nothing;' | clang -g -target bpf -x c -c - -o /tmp/bad.o", "no program"),
    ],
)
def test_what_is_no_object(instance: Cli, runner: str, make: str, told: str) -> None:
    instance.guest("sh", "-c", make)
    said = instance.guest(runner, "--object", "/tmp/bad.o", "--for", "1", "--no-stdin", check=False)
    assert told in said
    assert '"type":"done"' in said.splitlines()[-1]


_INTERRUPT = """
clang -O2 -g -mcpu=v3 -target bpf -idirafter /usr/include/$(uname -m)-linux-gnu -x c -c - -o /tmp/long.o
"$1" --object /tmp/long.o --no-stdin & pid=$!
until grep -q "SigCgt:.*[1-9a-f]" /proc/$pid/status; do sleep 0.1; done
sleep 1; kill -INT $pid; wait $pid; echo "status $?"
sleep 3 | "$1" --object /tmp/long.o; echo "status $?"
bpftool prog show | grep -c first
"""


def test_a_long_verification_is_ended_at_once(instance: Cli, runner: str) -> None:
    source = (PROGRAMS / "load_long.bpf.c").read_text()
    said = instance.guest(
        "sh", "-c", f"cat <<'END' | (\n{source}\nEND\n{_INTERRUPT})", "interrupt", runner, check=False
    )
    assert said.count('"status":130,"reason":"signal"') == 2
    assert said.count("status 130") == 2
    assert said.splitlines()[-1] == "0"
    assert '"name":"load"' not in said
