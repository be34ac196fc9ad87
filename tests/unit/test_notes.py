"""Why a run showed nothing: from the report alone."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.bpf.notes import find_notes

FILTERS = [{"key": "target_pid", "value": 0}, {"key": "min_us", "value": 9}]
SILENT_MAPS = [
    {"name": "users", "type": "hash", "entries": [], "only_read": True},
    {"name": "starts", "type": "hash", "entries": []},
    {
        "name": ".rodata",
        "type": "array",
        "entries": [{"key": "target_pid", "value": 0}, {"key": "min_us", "value": 9}],
    },
]


def report(*runs: int | None, verdicts: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    programs = [
        {"name": f"p{at}", "run_count": count, "verdicts": verdicts or {}} for at, count in enumerate(runs)
    ]
    output: dict[str, Any] = {"printk": [], "events": [], "companion": [], "trigger": [], "lost": {}}
    return {"programs": programs, "output": output, "maps": [], "iterators": [], **more}


def test_programs_that_never_ran() -> None:
    assert find_notes(report(0, 0, 0, 0)) == [
        "Nothing in the guest set off p0, p1, p2 and 1 more. --trigger 'COMMAND' runs a command there that does."
    ]
    filled = [{"name": "allowed", "type": "hash", "entries": [{"key": 1, "value": 1}]}]
    assert len(find_notes(report(0, maps=filled))) == 1
    assert not find_notes(report(0, iterators=[{"program": "p0", "text": "x"}]))
    assert not find_notes(report())
    assert not find_notes(report(None))


def test_a_silent_program_and_its_reasons() -> None:
    assert find_notes(report(0, 5, maps=SILENT_MAPS)) == [
        "p1 ran 5 times and neither printed, sent nor counted anything.",
        "target_pid is 0; if it is a filter, --set target_pid=VALUE lets something through.",
        "The map users is empty and no program fills it: --map users KEY=VALUE adds an entry.",
    ]


@pytest.mark.parametrize(
    "said",
    [
        {"output": {"printk": ["x"], "events": [], "companion": [], "lost": {}}},
        {"output": {"printk": [], "events": [], "companion": [], "lost": {"rb": 3}}},
        {"iterators": [{"program": "p0", "text": "x"}]},
        {"maps": [{"name": "counts", "type": "hash", "entries": [{"key": 1, "value": 0}]}]},
        {"maps": [{"name": ".bss", "type": "array", "entries": [{"key": "kills", "value": 2}]}]},
        {"maps": [{"name": "slots", "type": "percpu_array", "entries": [{"key": 1, "value": {"n": [0, 1]}}]}]},
    ],
)
def test_whatever_a_program_leaves_is_not_silence(said: dict[str, Any]) -> None:
    assert not find_notes(report(3, **said))


@pytest.mark.parametrize(
    "maps",
    [
        [{"name": ".data", "type": "array", "entries": [{"key": "limit", "value": 10}]}],
        [{"name": ".bss", "type": "array", "entries": [{"key": "kills", "value": 0}]}],
        [{"name": "totals", "type": "array", "entries": [{"key": 0, "value": {"a": 0}}]}],
    ],
)
def test_what_was_there_before_is_silence(maps: list[dict[str, Any]]) -> None:
    assert find_notes(report(1, maps=maps)) == ["p0 ran once and neither printed, sent nor counted anything."]


def test_verdicts_are_output_unless_there_is_a_reason_to_look_further() -> None:
    assert not find_notes(report(3, verdicts={"XDP_PASS": 3}))
    assert len(find_notes(report(3, verdicts={"XDP_PASS": 3}, maps=SILENT_MAPS))) == 3


@pytest.mark.parametrize("name", ["pid_count", "last_pid", "rapid", "devices"])
def test_names_that_are_no_filters(name: str) -> None:
    maps = [{"name": ".bss", "type": "array", "entries": [{"key": name, "value": 0}]}]
    assert len(find_notes(report(1, maps=maps))) == 1
