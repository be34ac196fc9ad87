"""The corpus runner's judgement: what a report proves, and what it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.corpus.corpus import STEPS, judge, read_table
from tests.corpus.table import programs, sample


def report(**parts: Any) -> dict[str, Any]:
    output = {"printk": [], "events": [], "companion": [], "trigger": []} | parts.pop("output", {})
    stages = [{"name": name, "ok": True} for name in ("build", "load", "attach", "run")]
    programs = [{"name": "p", "state": "attached", "verdicts": {}}]
    whole = {"stages": stages, "programs": programs, "maps": [], "iterators": [], "error": None}
    return {**whole, "output": output, **parts}


COMPANION = [{"name": "build", "ok": True}, {"name": "run", "ok": True}]
EVENT = {"map": "rb", "type": "struct event", "fields": {"pid": 7}}
ERROR = {"code": "verifier-rejected", "brief": "refused", "details": "R0", "hint": ""}


@pytest.mark.parametrize(
    ("parts", "reached"),
    [
        ({}, "built loaded attached"),
        ({"output": {"printk": ["hi"]}}, "built loaded attached seen decoded"),
        ({"output": {"events": [EVENT]}}, "built loaded attached seen decoded"),
        ({"output": {"events": [{"map": "rb", "hex": "00"}]}}, "built loaded attached seen"),
        ({"maps": [{"name": "m", "entries": [{"key": 1, "value": {"n": [0, 0]}}]}]}, "built loaded attached"),
        (
            {"maps": [{"name": "m", "entries": [{"key": 1, "value": [0, 2]}]}]},
            "built loaded attached seen decoded",
        ),
        ({"maps": [{"name": ".rodata", "entries": [{"key": "a", "value": 2}]}]}, "built loaded attached"),
        ({"programs": [{"name": "p", "state": "failed", "verdicts": {}}]}, "built loaded"),
        ({"stages": [{"name": "build", "ok": True}, {"name": "load", "ok": False}], "programs": []}, "built"),
        ({"stages": [{"name": "build", "ok": False}], "programs": []}, ""),
        (
            {"stages": COMPANION, "programs": [], "output": {"companion": ["PID COMM", "17 sh"]}},
            "built loaded attached seen decoded",
        ),
        (
            {"stages": COMPANION, "programs": [], "output": {"companion": ["PID COMM", "libbpf: map 1"]}},
            "built loaded attached",
        ),
        (
            {
                "stages": [*COMPANION[:1], {"name": "run", "ok": False}],
                "programs": [],
                "output": {"companion": ["cannot attach"]},
            },
            "built",
        ),
    ],
)
def test_steps(parts: dict[str, Any], reached: str) -> None:
    outcome = judge(report(**parts))
    assert [step for step in STEPS if getattr(outcome, step)] == reached.split()


def test_where_a_line_of_the_trace_is_expected_nothing_else_counts() -> None:
    assert not judge(report(output={"events": [EVENT]}), "trace_pipe").seen
    assert judge(report(output={"printk": ["hi"]}), "trace_pipe").seen


def test_classes() -> None:
    runs = judge(report(output={"printk": ["hi"]}))
    refused = judge(report(error=ERROR, stages=[{"name": "load", "ok": False}], programs=[]))
    assert [runs.reaches(wanted) for wanted in "ABCN"] == [True, True, True, False]
    assert [refused.reaches(wanted) for wanted in "ABCN"] == [False, False, True, True]
    lost = judge(report(error={**ERROR, "code": "guest-lost"}, stages=[], programs=[]))
    assert not any(lost.reaches(wanted) for wanted in "ABCN")


def test_a_table_gives_cases_with_their_options(tmp_path: Path) -> None:
    table = tmp_path / "table.tsv"
    table.write_text("repo\tpath\texpected_class\toptions\na/b\tc.bpf.c\tB\t--set 'x=1 2'\na/b\td.c\tA\t\n")
    first, second = read_table(table)
    assert (first.options, second.options) == (("--set", "x=1 2"), ())


def test_a_table_is_made_of_programs_that_differ(tmp_path: Path) -> None:
    program = 'SEC("xdp")\nint f(void *ctx) { return 2; }\n'
    files = {
        "a/b/x.bpf.c": program,
        "a/b/y/copy.c": f"/* the same */ {program}",
        "a/b/tests/z.c": program + program,
        "a/b/maps.c": 'struct {} m\nSEC(".maps");\n  SEC("license")',
        "c/d/e/f.c": program.replace("2", "1"),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = list(programs(tmp_path))
    assert found == [("a/b", "x.bpf.c"), ("c/d", "e/f.c")]
    assert sample(found, 5) == found
    assert len(sample(found, 1)) == 1
