"""Records that an iterator wrote: in the report, and on the screen."""

from __future__ import annotations

import io

from provisioner.bpf import protocol
from provisioner.bpf.report import ReportBuilder, Subject
from provisioner.ui import RunDisplay

RECORDS = protocol.Iterator(
    "tasks",
    records=[
        {"fields": {"pid": 1, "state": 0, "comm": "systemd"}, "shown": {"state": "running"}},
        {"fields": {"pid": 2, "state": 1, "comm": "kthreadd"}},
    ],
    struct="struct task",
    guessed=True,
)


def test_records_are_in_the_report() -> None:
    builder = ReportBuilder(Subject("x.bpf.c", "default", "6.12", "x86_64", "qemu"))
    builder.add(RECORDS)
    assert builder.to_json()["iterators"] == [
        {"program": "tasks", "type": "struct task", "records": RECORDS.records, "guessed": True}
    ]


def test_records_are_shown_in_columns() -> None:
    stream = io.StringIO()
    RunDisplay(stream).show(RECORDS)
    assert [line.split() for line in stream.getvalue().splitlines()] == [
        ["PID", "STATE", "COMM"],
        ["1", "running", "systemd"],
        ["2", "1", "kthreadd"],
    ]
