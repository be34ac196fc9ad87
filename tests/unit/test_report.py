"""The report of ``run --json``: schema 1, from the first message to the object printed."""

from __future__ import annotations

import json

import pytest

from provisioner.bpf import protocol, report
from provisioner.bpf.report import ReportBuilder, Subject
from provisioner.core.errors import BuildError, GuestError

SUBJECT = Subject("hello.bpf.c", "default", "6.12.1", "x86_64", "qemu")

PROGRAM = protocol.Program("hello", "tp/a/b", "tracepoint", "attached", "a/b")


@pytest.fixture
def builder() -> ReportBuilder:
    return ReportBuilder(SUBJECT)


def test_the_keys_of_schema_1(builder: ReportBuilder) -> None:
    found = builder.to_json()
    assert found["schema"] == 1
    assert {key: found[key] for key in ("file", "instance", "kernel", "arch", "backend")} == {
        "file": "hello.bpf.c",
        "instance": "default",
        "kernel": "6.12.1",
        "arch": "x86_64",
        "backend": "qemu",
    }
    assert found["ok"] is True
    assert found["error"] is None
    assert {"stages", "programs", "output", "maps", "iterators"} <= found.keys()
    assert {"printk", "events", "companion"} <= found["output"].keys()


def test_a_good_run(builder: ReportBuilder) -> None:
    builder.add_stage("build", True, 1.23456)
    for message in (
        protocol.Stage("load", True, 0.1),
        PROGRAM,
        protocol.Printk("hi", "sh", 7, 0, 1.5),
        protocol.Event("rb", "struct event", {"pid": 7}),
        protocol.Event("rb", hex="00ff"),
        protocol.Event("rb", "struct event", {"ret": -2}, rest="00", shown={"ret": "ENOENT"}),
        protocol.MapDump("counts", "hash", [{"key": 1, "value": 2}], truncated=3),
        protocol.Change("counts", [{"key": 1, "value": 1}]),
        protocol.Iterator("dump", "a\n"),
        protocol.Companion("stdout", "from user space"),
        protocol.Done(0, "time"),
    ):
        builder.add(message)
    found = builder.to_json()
    assert found["ok"] is True
    assert found["stages"] == [
        {"name": "build", "ok": True, "seconds": 1.235},
        {"name": "load", "ok": True, "seconds": 0.1},
    ]
    assert found["output"]["printk"] == ["hi"]
    assert found["output"]["events"] == [
        {"map": "rb", "type": "struct event", "fields": {"pid": 7}},
        {"map": "rb", "type": None, "hex": "00ff"},
        {"map": "rb", "type": "struct event", "fields": {"ret": -2}, "shown": {"ret": "ENOENT"}, "rest": "00"},
    ]
    assert found["output"]["companion"] == ["from user space"]
    assert found["maps"] == [
        {"name": "counts", "type": "hash", "entries": [{"key": 1, "value": 2}], "truncated": 3}
    ]
    assert found["iterators"] == [{"program": "dump", "text": "a\n"}]
    json.dumps(found)


def test_the_later_word_about_a_program_counts(builder: ReportBuilder) -> None:
    builder.add(PROGRAM)
    builder.add(
        protocol.Program("hello", "tp/a/b", "tracepoint", "attached", "a/b", None, 37, 900, {"XDP_PASS": 37})
    )
    assert builder.to_json()["programs"] == [
        {
            "name": "hello",
            "section": "tp/a/b",
            "type": "tracepoint",
            "state": "attached",
            "target": "a/b",
            "reason": None,
            "run_count": 37,
            "run_time_ns": 900,
            "verdicts": {"XDP_PASS": 37},
        }
    ]


@pytest.mark.parametrize(
    "message",
    [
        protocol.Stage("attach", False, 0.0),
        protocol.Program("f", "kprobe/x", "kprobe", "failed", "x", "there is no x"),
        protocol.RunnerError("load-failed", "b", "", ""),
        protocol.Done(8, "time"),
    ],
)
def test_any_failure_makes_the_report_not_ok(builder: ReportBuilder, message: protocol.Message) -> None:
    builder.add(message)
    assert builder.to_json()["ok"] is False


def test_a_skipped_program_is_no_failure(builder: ReportBuilder) -> None:
    builder.add(protocol.Program("f", "?kprobe/x", "kprobe", "skipped", None, "off"))
    assert builder.ok


def test_the_runners_error_is_the_reports(builder: ReportBuilder) -> None:
    builder.add(protocol.RunnerError("verifier-rejected", "b", "d", "h", "bad", "bad.c", 5))
    assert builder.to_json()["error"] == {
        "code": "verifier-rejected",
        "brief": "b",
        "details": "d",
        "hint": "h",
        "file": "bad.c",
        "line": 5,
    }


def test_the_hosts_error_has_the_same_form(builder: ReportBuilder) -> None:
    builder.add_error(BuildError("no", code="compile-failed", details="x.c:3", file="x.c", line=3))
    assert builder.to_json()["error"] == {
        "code": "compile-failed",
        "brief": "no",
        "details": "x.c:3",
        "hint": "",
        "file": "x.c",
        "line": 3,
    }


def test_the_first_error_is_the_cause(builder: ReportBuilder) -> None:
    builder.add_error(GuestError("first", code="guest-lost"))
    builder.add(protocol.RunnerError("load-failed", "second", "", ""))
    error = builder.to_json()["error"]
    assert (error["code"], error["file"], error["line"]) == ("guest-lost", None, None)


def test_losses_add_up(builder: ReportBuilder) -> None:
    for count in (2, 3):
        builder.add(protocol.Lost("pb", count))
    assert builder.to_json()["output"]["lost"] == {"pb": 5}


def test_a_flood_is_cut_and_counted(builder: ReportBuilder) -> None:
    for _ in range(report.MAX_LINES + 2):
        builder.add(protocol.Printk("x"))
    output = builder.to_json()["output"]
    assert len(output["printk"]) == report.MAX_LINES
    assert output["left_out"] == {"printk": 2}


def test_triggers_and_warnings_are_kept(builder: ReportBuilder) -> None:
    builder.add(protocol.Trigger("false", "a line"))
    builder.add(protocol.Trigger("false", status=1))
    builder.add(protocol.Trigger("true", status=0))
    builder.add(protocol.Log("warning", "odd"))
    builder.add(protocol.Log("note", "not a warning"))
    found = builder.to_json()
    assert found["output"]["trigger"] == ["a line"]
    assert found["warnings"] == ["the trigger `false` ended with status 1", "odd"]


def test_notes_are_part_of_the_report(builder: ReportBuilder) -> None:
    assert builder.to_json()["notes"] == []
    builder.add(protocol.Program("hello", "tp/a/b", "tracepoint", "attached", "a/b", run_count=0))
    assert "--trigger" in builder.to_json()["notes"][0]
