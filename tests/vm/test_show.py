"""What programs say, as a real kernel's buffers and maps hand it over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.vm.conftest import Cli

RUN = 600.0
PROGRAMS = Path(__file__).parent / "programs"

#: The shell lives on after its kill(), so that its stack can still be named.
KILL = 'bash -c "kill -0 $$; sleep 2; true"'


def run(cli: Cli, name: str, *words: str, seconds: float = 3) -> dict[str, Any]:
    found: dict[str, Any] = cli.json(
        "run", str(PROGRAMS / f"{name}.bpf.c"), "--for", str(seconds), "--json", *words, timeout=RUN, check=False
    )
    assert found["ok"], found
    return found


@pytest.fixture(scope="module")
def events(instance: Cli) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run(instance, "show_events", "--trigger", KILL)["output"]["events"]
    return found


def records(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["map"] == name]


def test_fields_are_plain_values_and_readings(events: list[dict[str, Any]]) -> None:
    event = next(event for event in records(events, "rich_rb") if event["fields"]["comm"] == "bash")
    assert event["type"] == "struct rich"
    assert "guessed" not in event
    fields, shown = event["fields"], event["shown"]
    assert (fields["ret"], fields["saddr"], fields["forced"], fields["kind"]) == (
        -2,
        0x010200C0,
        True,
        "KIND_KILL",
    )
    assert fields["inner"] == {"plain": 1234, "saddr": [192, 0, 2, 1] + [255] * 12, "family": 2, "protocol": 6}
    wanted = {
        "saddr": "192.0.2.1", "daddr": "::1", "dport": "443", "sport": "20480 (80 reversed)",
        "mac": "ab:ab:ab:ab:ab:ab", "family": "AF_INET6", "ret": "ENOENT", "sig": "SIGTERM",
        "flags": "0x241", "delta_ns": "1.50 ms", "inner.protocol": "TCP", "inner.saddr": "192.0.2.1",
    }  # fmt: skip
    assert {name: shown.get(name) for name in wanted} == wanted
    assert float(shown["ts"]) == pytest.approx(fields["ts"] / 1e9, abs=1e-6)


def test_stacks_are_named(events: list[dict[str, Any]]) -> None:
    shown = [event["shown"] for event in records(events, "rich_rb") if event["fields"]["comm"] == "bash"]
    assert any("syscall" in frame for frame in shown[0]["kstack"])
    assert shown[0]["kern_stack_id"] == shown[0]["kstack"]
    assert any("(libc.so.6)" in frame for reading in shown for frame in reading["ustack"])


def test_how_the_struct_of_a_record_is_found(events: list[dict[str, Any]]) -> None:
    tailed = records(events, "tailed_rb")[0]
    assert (tailed["type"], tailed["fields"]) == ("struct tailed", {"length": 5, "text": "hello"})
    lone = records(events, "lone_pb")[0]
    assert (lone["type"], lone["guessed"]) == ("struct lone_event", True)
    assert lone["fields"] == {"first": 1, "second": 2, "third": 3}
    assert records(events, "unknown_rb")[0]["hex"] == "6f64640102"


def entries(report: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(item["entries"] for item in report["maps"] if item["name"] == name)
    return found


def test_maps_of_every_kind(instance: Cli) -> None:
    report = run(instance, "show_maps", "--trigger", KILL)
    kills = entries(report, ".bss")[0]["value"]
    assert kills >= 1
    flow = entries(report, "flows")[0]
    assert flow["shown"] == {"key.saddr": "192.0.2.1", "key.dport": "443"}
    assert flow["value"] == kills
    assert entries(report, "blocked_ips")[0]["shown"] == {"key": "198.51.100.1"}
    assert entries(report, "routes")[0]["shown"] == {"key": "192.0.2.0/24"}
    assert entries(report, "totals")[1]["value"] == kills
    assert [entry["value"] for entry in entries(report, "queue")] == [{"code": -1, "name": "job"}] * min(kills, 16)
    assert entries(report, "outer[1]") == [{"key": 5, "value": {"count": kills}}]
    caller = entries(report, "callers")[0]["value"]  # one value on whichever processors it was
    assert caller["count"] == kills
    assert caller["comm"]
    assert any("syscall" in frame for entry in entries(report, "stacks") for frame in entry["shown"]["value"])
    assert "key.kern_stack_id" in entries(report, "samples")[0]["shown"]


def test_changes_are_seen_while_it_runs(instance: Cli) -> None:
    file = str(PROGRAMS / "show_maps.bpf.c")
    result = instance("run", file, "--for", "4", "--trigger", KILL, timeout=RUN)
    live = result.stdout.split("\nPROGRAM")[0]
    assert "flows  saddr=192.0.2.1 dport=443 pad=0  " in live
    assert "\nkills  " in live


def test_silence_is_explained(instance: Cli) -> None:
    report = run(instance, "show_silent", "--trigger", KILL)
    said, *causes = report["notes"]
    assert said.startswith("on_kill ran ")
    assert any("--set target_pid=" in cause for cause in causes)
    assert any("--map watched_users KEY=VALUE" in cause for cause in causes)


def test_a_flood_of_lines_is_counted_to_the_last_one(instance: Cli) -> None:
    report = run(instance, "show_flood", seconds=3)
    output = report["output"]
    lines = len(output["printk"]) + output["left_out"].get("printk", 0) + output["lost"].get("printk", 0)
    runs = report["programs"][0]["run_count"]
    assert lines <= runs
    # The program ran once more for each call that switching it off took.
    assert lines >= runs - 50 or any("bpf_printk" in warning for warning in report["warnings"])
