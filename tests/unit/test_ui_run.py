"""A run on the screen: lines as they come, and the summary."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest

from provisioner.bpf import protocol
from provisioner.ui import RunDisplay, SilentDisplay
from provisioner.ui.report import MAX_LINES_PER_SECOND
from provisioner.ui.screen import cells
from tests.unit.terminals import Clock, Terminal, lines

LATENCY = {"name": "latency", "type": "array", "entries": [{"key": 3, "value": 4}, {"key": 5, "value": 8}]}


def finished(**report: object) -> str:
    stream = io.StringIO()
    RunDisplay(stream).finish(report)
    return stream.getvalue()


HELLO: dict[str, object] = {
    "name": "hello", "section": "tp/syscalls/sys_enter_execve", "state": "attached",
    "target": "syscalls/sys_enter_execve", "reason": None, "run_count": 37, "verdicts": {},
}  # fmt: skip


def test_the_summary_names_programs_counts_verdicts_and_stages() -> None:
    xdp = {"name": "count", "section": "xdp", "state": "attached", "target": "veth0", "run_count": 42,
           "run_time_ns": 50_000, "verdicts": {"XDP_PASS": 40, "XDP_DROP": 2}}  # fmt: skip
    up = {"name": "up", "section": "uprobe", "state": "skipped", "target": None, "reason": "no binary"}
    text = finished(
        instance="default", kernel="6.12", arch="x86_64", programs=[HELLO, xdp, up],
        stages=[{"name": "build", "ok": True, "seconds": 1.42}, {"name": "run", "ok": True, "seconds": 10}],
    )  # fmt: skip
    assert re.search(r"hello +tp/syscalls/sys_enter_execve +attached +- +37 +-\n", text)
    assert re.search(r"count +xdp +attached +veth0 +42 +1\.2 us\n", text)
    assert "  up: no binary\n" in text
    assert re.search(r"XDP_PASS  40  \S{40,}\n  XDP_DROP   2  \S\S?", text)
    assert "default: Linux 6.12 x86_64\nbuilt 1.4 s  ran 10 s\n" in text


def test_notes_and_losses_come_before_the_end() -> None:
    text = finished(
        notes=["p ran twice and said nothing."], output={"lost": {"rb": 7}}, instance="i", kernel="6.12"
    )
    assert text.splitlines()[1:] == [
        "Lost: 7 records of rb, which came faster than they were read",
        "-> p ran twice and said nothing.",
        "",
        "i: Linux 6.12",
    ]


def test_long_notes_are_wrapped_on_a_terminal(terminal: Terminal) -> None:
    RunDisplay(terminal).finish({"notes": ["word " * 30]})
    assert max(map(cells, terminal.text.splitlines())) <= 80
    assert "\n   word" in terminal.text


def shown(*messages: protocol.Message) -> list[str]:
    stream = io.StringIO()
    display = RunDisplay(stream)
    for message in messages:
        display.show(message)
    return lines(stream)


def test_printk_in_columns() -> None:
    assert shown(
        protocol.Printk("first", comm="bash", pid=12, cpu=0, time=5000.5),
        protocol.Printk("second\x1b[2J", comm=None, pid=4194304, cpu=1, time=5001.75),
        protocol.Printk("bare"),
    ) == [
        "    0.000  bash                 12  first",
        "    1.250  ?               4194304  second\\x1b[2J",
        "bare",
    ]


def test_events_in_columns_that_grow() -> None:
    first = protocol.Event("rb", "event", {"pid": 7, "file": "/bin/ls"})
    second = protocol.Event("rb", "event", {"pid": 8, "file": "/usr/bin/something/long"})
    assert shown(first, second) == [
        "PID      FILE",
        "7        /bin/ls",
        "8        /usr/bin/something/long",
    ]


def test_a_second_kind_of_event_is_told_apart() -> None:
    text = shown(
        protocol.Event("a", "x", {"n": 1}),
        protocol.Event("b", "y", {"m": 2}),
        protocol.Event("c", hex="00ff"),
    )
    assert text == ["N", "1", "b  M", "b  2", "c  00 ff  .."]


def test_programs_are_shown_once_when_they_attach() -> None:
    attached = protocol.Program("p", "xdp", "xdp", "attached", "veth0")
    assert shown(attached, protocol.Program("p", "xdp", "xdp", "attached", "veth0", run_count=3)) == [
        "attached  p  xdp -> veth0"
    ]
    skipped = protocol.Program("q", "uprobe", "kprobe", "skipped", None, "no binary")
    assert shown(skipped) == ["skipped  q  uprobe  (no binary)"]


def test_a_companion_speaks_for_itself(capsys: pytest.CaptureFixture[str]) -> None:
    display = RunDisplay()
    display.show(protocol.Companion("stdout", "\x1b[32mgreen\x1b[0m\tx"))
    display.show(protocol.Companion("stderr", "oops"))
    assert capsys.readouterr() == ("\x1b[32mgreen\x1b[0m\tx\n", "oops\n")


def test_the_rest_of_the_messages(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(
        protocol.Iterator("it", "one\ntwo\n"),
        protocol.Iterator("binary", hex="6f6b00ff"),
        protocol.Trigger("true", "said"),
        protocol.Trigger("true", status=0),
        protocol.Stage("load", True, 0.1),
        protocol.Done(0, "time"),
    ) == ["it", "one", "two", "binary", "6f 6b 00 ff  ok..", "said"]
    assert capsys.readouterr().err == ""


def test_what_the_tool_says_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert not shown(
        protocol.Log("warning", "odd\x1b"),
        protocol.Log("note", "by the way"),
        protocol.Log("stray", "no message"),
        protocol.Lost("rb", 3),
        protocol.Lost("rb", 4),
        protocol.Trigger("false", status=1),
    )
    assert capsys.readouterr().err.splitlines() == [
        "Warning: odd\\x1b",
        "by the way",
        "Warning: records of rb are lost: they come faster than they are read",
        "Warning: the trigger `false` ended with status 1",
    ]


def test_readings_replace_plain_values() -> None:
    fields = {"saddr": 16908480, "ret": -2, "in": {"proto": 6}, "kstack": [1, 2, 0]}
    readings = {"saddr": "192.0.2.1", "ret": "ENOENT", "in.proto": "TCP", "kstack": ["f+0x1", "g+0x2"]}
    assert shown(protocol.Event("rb", "event", fields, shown=readings)) == [
        "SADDR      RET     IN         KSTACK",
        "192.0.2.1  ENOENT  proto=TCP  2 frames",
        "    kstack  f+0x1",
        "            g+0x2",
    ]


def test_bytes_behind_a_struct_are_text_when_they_are_one() -> None:
    text = shown(
        protocol.Event("rb", "event", {"n": 1}, rest="68656c6c6f0000"),
        protocol.Event("rb", "event", {"n": 2}, rest="00ff"),
    )
    assert text == ["N", "1", '  then "hello"', "2", "  then 00 ff"]


def test_longer_dumps_have_sixteen_bytes_a_line() -> None:
    text = shown(protocol.Event("rb", hex=bytes(range(0x30, 0x42)).hex()))
    assert text == [
        "rb  30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f  0123456789:;<=>?",
        "    40 41                                            @A",
    ]


def test_changes_are_shown_as_they_come() -> None:
    counts = [{"key": 1, "value": 5, "shown": {"key": "TCP"}}, {"key": 2, "value": 7}]
    assert shown(
        protocol.Change("counts", counts, more=3),
        protocol.Change(".bss", [{"key": "kills", "value": 2}]),
        protocol.Change("latency_us", [{"key": 5, "value": 2}]),
    ) == ["counts  TCP  5", "counts  2  7", "counts  and 3 more", "kills  2"]


def test_records_of_many_fields_are_wrapped_on_a_terminal(terminal: Terminal) -> None:
    fields = {f"a_long_name_{at}": at for at in range(12)}
    RunDisplay(terminal).show(protocol.Event("rb", "event", {**fields, "inner": {"n": 1}, "text": "x" * 300}))
    found = terminal.text.splitlines()
    assert len(found) > 2
    assert max(map(cells, found)) < 80
    assert "a_long_name_11=11\n    inner={n=1}\n" in terminal.text
    assert shown(protocol.Event("rb", "event", fields))[0].startswith("A_LONG_NAME_0  A_LONG")


def test_long_values_are_cut_on_a_terminal_only(terminal: Terminal) -> None:
    event = protocol.Event("rb", "event", {"file": "f" * 60, "path": "p" * 100})
    RunDisplay(terminal).show(event)
    assert max(map(cells, terminal.text.splitlines())) < 80
    assert "…" in terminal.text
    assert "p" * 100 in shown(event)[1]


def test_a_flood_leaves_a_terminal_usable(terminal: Terminal) -> None:
    clock = Clock()
    display = RunDisplay(terminal, clock=clock)
    for _ in range(MAX_LINES_PER_SECOND + 20):
        display.show(protocol.Printk("too much"))
    clock.now += 1
    display.show(protocol.Printk("the next second"))
    found = terminal.text.splitlines()
    assert found.count("too much") == MAX_LINES_PER_SECOND
    assert found[-2:] == ["20 more that came too fast for a terminal; --json has them", "the next second"]
    assert len(shown(*[protocol.Printk("piped")] * (MAX_LINES_PER_SECOND + 20))) == MAX_LINES_PER_SECOND + 20


def test_a_silent_display_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    display: Callable[[protocol.Message], None] = SilentDisplay().show
    display(protocol.Printk("x"))
    SilentDisplay().note("x")
    SilentDisplay().finish({"programs": [HELLO]})
    assert capsys.readouterr() == ("", "")


def test_a_run_on_a_terminal_fits_and_is_coloured(terminal: Terminal) -> None:
    display = RunDisplay(terminal)
    display.show(protocol.Printk("hello", comm="bash", pid=1, time=1.0))
    long = {**HELLO, "name": "n" * 60, "section": "s" * 60}
    display.finish({"programs": [long], "maps": [LATENCY]})
    assert max(map(cells, terminal.text.splitlines())) <= 80
    assert "\x1b[32m" in terminal.getvalue()
