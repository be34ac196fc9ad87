from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from provisioner.bpf import protocol
from provisioner.core.errors import BuildError, InstanceError
from provisioner.ui import (
    RunDisplay,
    SilentDisplay,
    error_as_dict,
    make_reporter,
    print_checks,
    print_table,
    print_values,
    render_error,
)
from provisioner.ui.charts import bar, log2_rows
from provisioner.ui.maps import value_text
from provisioner.ui.progress import PlainReporter, TerminalReporter, Work
from provisioner.ui.screen import Screen, byte_pair, cells, clipped, duration, safe
from provisioner.workflows.checks import Check


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """What was written, without escape sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


# --- what lies below ----------------------------------------------------------------------------------------


def test_importing_it_leaves_rich_alone() -> None:
    code = "import sys, provisioner.ui; sys.exit('rich' in sys.modules or 'yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (136, "2 min 16 s"),
        (3720, "1 h 02 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_bytes() -> None:
    assert byte_pair(15.4e6, 320e6) == "15.4/320.0 MB"
    assert byte_pair(900, 0) == "900 B"
    assert byte_pair(1.5e9) == "1.5 GB"


def test_foreign_text_cannot_steer_the_terminal() -> None:
    assert safe("a\x1b[31mb\rc\u202ed\x9b") == "a\\x1b[31mb\\rc\\u202ed\\x9b"
    assert safe("a\tb") == "a       b"
    assert safe("a\x1b]0;title\x07\nb").isprintable()
    assert safe("größe 日本") == "größe 日本"


def test_wide_characters_are_measured() -> None:
    assert cells("日本") == 4
    assert cells(clipped("日本語テキスト", 7, "…")) <= 7
    assert clipped("short", 10, "…") == "short"
    assert clipped("abcdef", 4, "...") == "a..."


def test_what_the_encoding_lacks_is_spelled_out() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Screen(stream).line("größe \udcff ", ("✓", "green"))
    stream.seek(0)
    assert stream.read() == "gr\\xf6\\xdfe \\udcff \\u2713\n"


# --- progress -----------------------------------------------------------------------------------------------


def plain(verbose: bool = False) -> tuple[PlainReporter, io.StringIO, Clock]:
    stream, clock = io.StringIO(), Clock()
    return PlainReporter(Screen(stream), verbose, clock), stream, clock


def test_without_a_terminal_a_step_is_a_line_at_each_end() -> None:
    reporter, stream, clock = plain()
    with reporter.step("Building") as step:
        step.detail("gcc")
        step.progress(1, 10, "packages")
        clock.now += 3.25
    assert lines(stream) == ["Building ...", "Building: done (3.2 s)"]


def test_a_long_step_says_how_far_it_is_but_not_often() -> None:
    reporter, stream, clock = plain()
    with reporter.step("Fetching") as step:
        for second in range(200):
            clock.now += 1
            step.progress(second * 1e6, 200e6, "bytes")
    said = lines(stream)[1:-1]
    assert 5 <= len(said) <= 11
    assert re.fullmatch(r"Fetching: 10%  19\.0/200\.0 MB  1\.0 MB/s|Fetching: 1\d%  .*", said[0])


def test_a_step_without_numbers_still_shows_life() -> None:
    reporter, stream, clock = plain()
    with reporter.step("Waiting") as step:
        for _ in range(130):
            clock.now += 1
            step.detail("the guest boots")
    assert lines(stream)[1:-1] == ["Waiting: the guest boots"] * 2


def test_failures_and_interruptions_are_told_apart() -> None:
    reporter, stream, _ = plain()
    for exception in (ValueError, KeyboardInterrupt):
        with pytest.raises(exception), reporter.step("Booting"):
            raise exception
    assert lines(stream)[1::2] == ["Booting: failed (0.0 s)", "Booting: interrupted (0.0 s)"]


@pytest.mark.parametrize("verbose", [False, True])
def test_notes_warnings_and_debug_lines(verbose: bool) -> None:
    reporter, stream, _ = plain(verbose)
    reporter.note("a note")
    reporter.warn("careful")
    reporter.debug("deep")
    assert lines(stream) == ["a note", "Warning: careful", *(["deep"] * verbose)]


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    work = Work("x", clock)
    for done in (0, 1000, 2000, 2100, 2200, 2300, 2400, 2500):
        work.update(done, 5000, "bytes")
        clock.now += 1
    clock.now -= 1
    assert work.rate == pytest.approx(100)
    assert work.fraction == 0.5
    clock.now += 60
    assert work.rate == 0.0
    assert work.amount == "2.5/5.0 kB"


def test_streams_choose_their_reporter(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_reporter(stream=terminal), TerminalReporter)
    assert isinstance(make_reporter(stream=io.StringIO()), PlainReporter)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_reporter(stream=terminal), PlainReporter)


def test_on_a_terminal_each_finished_step_leaves_one_line(terminal: Terminal) -> None:
    reporter = make_reporter(stream=terminal)
    with reporter.step("Provisioning"):
        with reporter.step("Fetching") as step:
            step.progress(1e6, 4e6, "bytes")
            reporter.note("a note")
        with pytest.raises(ValueError, match="x"), reporter.step("Broken"):
            raise ValueError("x")
    kept = [line.strip() for line in terminal.text.splitlines() if "✓" in line or "✗" in line or "note" in line]
    assert [re.sub(r"\d\.\d", "N", line) for line in kept if line] == [
        "a note",
        "✓ Fetching  N s",
        "✗ Broken  failed after N s",
        "✓ Provisioning  N s",
    ]


def test_the_cursor_is_never_left_hidden(terminal: Terminal) -> None:
    reporter = make_reporter(stream=terminal)
    with pytest.raises(KeyboardInterrupt), reporter.step("Booting"):
        written = terminal.getvalue()
        assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l")
        raise KeyboardInterrupt
    written = terminal.getvalue()
    assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l")
    assert "interrupted after" in terminal.text


def test_no_color_is_honoured(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def colours() -> list[str]:
        return re.findall(r"\x1b\[(?:\d+;)*3[0-9](?:;\d+)*m", terminal.getvalue())

    render_error(InstanceError("broken", code="x", hint="mend it"), terminal)
    assert colours()
    monkeypatch.setenv("NO_COLOR", "1")
    terminal.truncate(0)
    render_error(InstanceError("broken", code="x", hint="mend it"), terminal)
    with make_reporter(stream=terminal).step("Booting"):
        pass
    assert not colours()


def test_steps_of_several_threads(terminal: Terminal) -> None:
    reporter = make_reporter(stream=terminal)

    def work(number: int) -> None:
        for _ in range(5):
            with reporter.step(f"step {number}") as step:
                step.progress(1, 2, "packages")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert terminal.text.count("✓ step") == 20


@pytest.mark.parametrize("columns", ["20", "40", "80", "200"])
def test_running_steps_fit_the_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    reporter = make_reporter(stream=terminal)
    with reporter.step("A title that is rather long, 日本語 too, " * 3) as step:
        step.progress(123e6, 456e6, "bytes")
        step.detail("what is being done right now " * 10)
        with reporter.step("the second one"):  # which draws both
            drawn = [line for line in re.split(r"[\r\n]", terminal.text) if line.strip()]
    assert [line for line in drawn if "what is being" in line]
    assert [line for line in drawn if "the sec" in line]
    assert max(map(cells, drawn)) < int(columns)


def test_a_real_terminal_is_left_as_it_was_found() -> None:
    """In a process of its own, on a pseudo-terminal, interrupted in the middle of a step."""
    code = (
        "import os, signal, sys\n"
        "from provisioner.ui import make_reporter\n"
        "with make_reporter().step('Booting'):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    leader, follower = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=follower, stdout=subprocess.PIPE, stderr=follower, check=False,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"}, timeout=30,
    )  # fmt: skip
    os.close(follower)
    text = _read_all(leader)
    assert done.stdout == b""
    assert "interrupted after" in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")


def _read_all(descriptor: int) -> str:
    data = b""
    try:
        while chunk := os.read(descriptor, 65536):
            data += chunk
    except OSError:  # the other end is closed
        pass
    os.close(descriptor)
    return data.decode()


# --- errors -------------------------------------------------------------------------------------------------


def test_an_error_in_a_file() -> None:
    stream = io.StringIO()
    render_error(InstanceError("It broke", code="x", details="one\ntwo", hint="Mend it."), stream)
    assert lines(stream) == ["Error: It broke", "  one", "  two", "Hint: Mend it."]


def test_an_error_on_a_terminal_is_wrapped(terminal: Terminal) -> None:
    render_error(InstanceError("word " * 30, code="x", hint="mend " * 40), terminal)
    assert max(map(len, terminal.text.splitlines())) <= 80
    assert terminal.text.splitlines()[1].startswith("       word")


def test_long_evidence_is_cut_in_the_middle() -> None:
    error = InstanceError("It broke", code="x", details="\n".join(f"line {at}" for at in range(100)))
    stream = io.StringIO()
    render_error(error, stream)
    shown = lines(stream)
    assert shown[1] == "  line 0"
    assert "  [71 lines left out]" in shown
    assert shown[-1] == "  line 99"
    whole = io.StringIO()
    render_error(error, whole, verbose=True)
    assert len(lines(whole)) == 101


def test_an_error_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    error = BuildError("no", code="compile-failed", details="d", hint="h", file="x.c", line=7)
    render_error(error, as_json=True)
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {"error": error_as_dict(error)}
    assert json.loads(out)["error"] == {
        "code": "compile-failed", "brief": "no", "details": "d", "hint": "h", "file": "x.c", "line": 7,
    }  # fmt: skip


def test_errors_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    render_error(InstanceError("It broke", code="x"))
    assert capsys.readouterr() == ("", "Error: It broke\n")


# --- tables -------------------------------------------------------------------------------------------------


def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "cpus"], [["default", 2], ["a\x1b[1m", 16]])
    assert capsys.readouterr().out.splitlines() == ["NAME      CPUS", "default      2", "a\\x1b[1m    16"]


def test_an_empty_table_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name"], [])
    print_values([("a", 1), ("long", "x")])
    assert capsys.readouterr().out.splitlines() == ["NAME", "a     1", "long  x"]


def test_tables_are_cut_on_terminals_only(terminal: Terminal) -> None:
    rows = [["x" * 100, "short", "y" * 60]]
    print_table(["one", "two", "three"], rows, terminal)
    assert max(map(cells, terminal.text.splitlines())) <= 80
    assert "short" in terminal.text
    piped = io.StringIO()
    print_table(["one", "two", "three"], rows, piped)
    assert "x" * 100 in piped.getvalue()


def test_checks() -> None:
    stream = io.StringIO()
    print_checks(
        [
            Check("qemu", True, "version 10", details="/usr/bin/qemu"),
            Check("disk", False, "too full", details="1 byte", cure="Free some."),
            Check("kvm", False, "slow", needed=False),
            Check("guest", None, "not checked"),
        ],
        stream,
    )
    assert [re.sub(" +", " ", line) for line in lines(stream)] == [
        "ok qemu version 10", "FAIL disk too full", " 1 byte", " -> Free some.", "note kvm slow",
        "- guest not checked",
    ]  # fmt: skip


# --- charts and maps ----------------------------------------------------------------------------------------


def test_bars() -> None:
    assert bar(8, 8, 4, fine=True) == "████"
    assert bar(1, 1000, 4, fine=True) == "▏"
    assert bar(0, 8, 4, fine=True) == ""
    assert bar(3, 4, 4, fine=True) == "███"
    assert bar(1, 1000, 4, fine=False) == "#"
    assert bar(5, 0, 4, fine=False) == ""


def test_log2_rows() -> None:
    assert log2_rows([0] * 10) == []
    assert log2_rows([5]) == [("[0, 2)", 5)]
    assert log2_rows([0, 0, 0, 1, 0, 7, 0]) == [("[ 8, 16)", 1), ("[16, 32)", 0), ("[32, 64)", 7)]
    assert log2_rows([0] * 9 + [1, 2]) == [("[512, 1K)", 1), ("[ 1K, 2K)", 2)]
    assert log2_rows([1] * 64)[-1][1] == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (None, "null"),
        (True, "true"),
        ("a\x1b", "a\\x1b"),
        ({"a": 1, "b": {"c": [1, 2]}}, "a=1 b={c=[1, 2]}"),
    ],
)
def test_values_in_one_line(value: object, text: str) -> None:
    assert value_text(value) == text


def finished(**report: object) -> str:
    stream = io.StringIO()
    RunDisplay(stream).finish(report)
    return stream.getvalue()


def array(name: str, counts: dict[int, int], **more: object) -> dict[str, object]:
    entries = [{"key": key, "value": value} for key, value in counts.items()]
    return {"name": name, "type": "array", "entries": entries, **more}


def test_a_histogram_by_its_name_with_zeros_left_out() -> None:
    text = finished(maps=[array("latency_us", {3: 4, 5: 8})])
    assert re.search(r"\[ 8, 16\)  4  .+\n  \[16, 32\)  0\n  \[32, 64\)  8  ", text)


def test_other_arrays_are_tables_and_keep_their_order() -> None:
    text = finished(maps=[array("counts", {0: 1, 1: 900}, zeros=3)])
    assert re.search(r"counts  array, 5 entries\n  KEY  VALUE\n +0 +1\n +1 +900\n  3 more that are zero", text)


def test_a_hash_shows_its_largest_counters() -> None:
    entries = [{"key": f"k{at}", "value": at} for at in range(25)]
    text = finished(maps=[{"name": "calls", "type": "hash", "entries": entries, "truncated": 2}])
    assert re.search(r"KEY +VALUE\n  k24 +24\n", text)
    assert "k14" not in text
    assert "15 more with --json\n  2 more that were not read" in text


def test_structs_are_columns_unless_they_are_too_many() -> None:
    flow = {"key": {"saddr": "10.0.0.1", "port": 80}, "value": {"packets": 7}}
    text = finished(maps=[{"name": "flows", "type": "hash", "entries": [flow]}])
    assert re.search(r"SADDR +PORT +PACKETS\n  10\.0\.0\.1 +80 +7", text)
    wide = {"key": 1, "value": {name: 0 for name in "abcdefgh"}}
    assert "a=0 b=0" in finished(maps=[{"name": "wide", "type": "hash", "entries": [wide]}])


def test_histograms_inside_values_and_globals() -> None:
    text = finished(
        maps=[
            {
                "name": "hists",
                "type": "hash",
                "entries": [{"key": "ls", "value": {"slots": [0, 3], "sum": 9}}],
            },
            {
                "name": ".bss",
                "type": "array",
                "entries": [{"key": "hist", "value": [1, 2]}, {"key": "n", "value": 5}],
            },
        ]
    )
    assert re.search(r"  ls  sum=9\n  \[2, 4\)  3", text)
    assert re.search(r"global variables  \.bss\n  hist\n  \[0, 2\)  1", text)
    assert re.search(r"VARIABLE +VALUE\n  n +5", text)


def test_constants_and_maps_that_cannot_be_listed_are_left_out() -> None:
    assert finished(maps=[array(".rodata", {0: 1}), {"name": "rb", "type": "ringbuf", "entries": []}]) == ""


# --- the run ------------------------------------------------------------------------------------------------

HELLO: dict[str, object] = {
    "name": "hello", "section": "tp/syscalls/sys_enter_execve", "state": "attached",
    "target": "syscalls/sys_enter_execve", "reason": None, "run_count": 37, "verdicts": {},
}  # fmt: skip


def test_the_summary_names_programs_counts_verdicts_and_stages() -> None:
    xdp = {"name": "count", "section": "xdp", "state": "attached", "target": "veth0", "run_count": 42,
           "verdicts": {"XDP_PASS": 40, "XDP_DROP": 2}}  # fmt: skip
    up = {"name": "up", "section": "uprobe", "state": "skipped", "target": None, "reason": "no binary"}
    text = finished(
        instance="default", kernel="6.12", arch="x86_64", programs=[HELLO, xdp, up],
        stages=[{"name": "build", "ok": True, "seconds": 1.42}, {"name": "run", "ok": True, "seconds": 10}],
    )  # fmt: skip
    assert re.search(r"hello +tp/syscalls/sys_enter_execve +attached +- +37\n", text)
    assert re.search(r"count +xdp +attached +veth0 +42\n", text)
    assert "  up: no binary\n" in text
    assert re.search(r"XDP_PASS  40  \S{40,}\n  XDP_DROP   2  \S\S?", text)
    assert "default: Linux 6.12 x86_64\nbuilt 1.4 s  ran 10 s\n" in text


def test_a_run_that_nothing_triggered_says_what_to_do() -> None:
    assert "--trigger" in finished(programs=[{**HELLO, "run_count": 0}])
    assert "--trigger" not in finished(programs=[HELLO])
    assert "--trigger" not in finished(programs=[{**HELLO, "run_count": None}])


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
    assert text == ["N", "1", "b  M", "b  2", "c  00 ff"]


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


def test_the_rest_of_the_messages() -> None:
    assert shown(
        protocol.Iterator("it", "one\ntwo\n"),
        protocol.Lost("rb", 3),
        protocol.Trigger("true", "said"),
        protocol.Trigger("true", status=0),
        protocol.Stage("load", True, 0.1),
        protocol.Done(0, "time"),
    ) == ["it", "one", "two", "3 records of rb were lost: they came faster than they were read", "said"]


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
    display.finish({"programs": [long], "maps": [array("latency", {3: 4, 5: 8})]})
    assert max(map(cells, terminal.text.splitlines())) <= 80
    assert "\x1b[32m" in terminal.getvalue()
