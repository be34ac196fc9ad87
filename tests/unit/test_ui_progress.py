"""Reporters: what a step leaves on a terminal and in a file."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import threading

import pytest

from provisioner.core.errors import InstanceError
from provisioner.ui import make_reporter, render_error
from provisioner.ui.progress import PlainReporter, TerminalReporter, Work
from provisioner.ui.screen import Screen, cells
from tests.unit.terminals import Clock, Terminal, lines


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
        "import signal\n"
        "from provisioner.ui import make_reporter\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell has it ignored
        "with make_reporter().step('Booting'):\n"
        "    signal.raise_signal(signal.SIGINT)\n"  # to this thread, which then has it before the step ends
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
