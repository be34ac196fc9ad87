"""Reporters: what working code says, shown on stderr as it happens.

On a terminal, running steps are redrawn in place and each leaves one line when it is done. Elsewhere (a file,
a CI log) a step gives a line at its start, one at its end, and few between.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from provisioner.core.reporter import Reporter, Step, StepContext
from provisioner.ui.screen import Part, Screen, byte_pair, cells, clipped, duration, padded, safe

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

Clock = Callable[[], float]

#: A plain reporter says how far a step is when this long has passed and it has moved on by a tenth, or
#: whatever it has done after the longer time: CI systems end jobs that are silent for minutes.
PLAIN_INTERVAL = 10.0
PLAIN_SILENCE = 60.0
_RATE_WINDOW = 5.0
_REDRAWS_PER_SECOND = 8
_BAR = 20


def make_reporter(verbose: bool = False, stream: TextIO | None = None) -> Reporter:
    """The reporter that fits ``stream`` (default: stderr); ``verbose`` shows what ``debug`` says."""
    screen = Screen(stream or sys.stderr)
    return TerminalReporter(screen, verbose) if screen.fancy else PlainReporter(screen, verbose)


class Work:
    """How far one step is; knows nothing about where it is shown. ``clock`` tells monotonic seconds."""

    def __init__(self, title: str, clock: Clock, depth: int = 0) -> None:
        self.title = safe(title)
        self.depth = depth
        self.done = 0.0
        self.total = 0.0
        self.unit = ""
        self.doing = ""
        self._clock = clock
        self._start = clock()
        self._samples: deque[tuple[float, float]] = deque([(self._start, 0.0)], maxlen=64)

    def update(self, done: float, total: float, unit: str) -> None:
        if done < self.done or unit != self.unit:  # a new count has begun
            self._samples.clear()
        self.done, self.total, self.unit = done, total, unit
        now = self._clock()
        # One sample for each redraw is all that can be seen; more would shorten the window.
        if not self._samples or now - self._samples[-1][0] >= 1 / _REDRAWS_PER_SECOND:
            self._samples.append((now, done))

    @property
    def elapsed(self) -> float:
        return self._clock() - self._start

    @property
    def fraction(self) -> float | None:
        """Between 0 and 1; None when the total is not known."""
        return min(1.0, max(0.0, self.done / self.total)) if self.total > 0 else None

    @property
    def rate(self) -> float:
        """Units per second over the last seconds; 0 when it cannot be told."""
        recent = [sample for sample in self._samples if sample[0] >= self._clock() - _RATE_WINDOW]
        if len(recent) < 2 or recent[-1][0] <= recent[0][0]:
            return 0.0
        return (recent[-1][1] - recent[0][1]) / (recent[-1][0] - recent[0][0])

    @property
    def amount(self) -> str:
        """ "15.4/320.0 MB  3.1 MB/s" or "12/59 packages"; "" while nothing is known."""
        if not self.done and not self.total:
            return ""
        if self.unit == "bytes":
            rate = f"  {byte_pair(self.rate)}/s" if self.rate > 0 else ""
            return byte_pair(self.done, self.total) + rate
        count = f"{self.done:.0f}/{self.total:.0f}" if self.total else f"{self.done:.0f}"
        return f"{count} {self.unit}".strip()


class _Running:
    """A step between its beginning and its end, for either reporter."""

    def __init__(self, begin: Callable[[], Work], moved: Callable[[Work], None], end: _End) -> None:
        self._begin, self._moved, self._end = begin, moved, end

    def __enter__(self) -> Step:
        self._work = self._begin()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end(self._work, _outcome(exc[0] if exc else None))

    def progress(self, done: float, total: float, unit: str = "") -> None:
        self._work.update(done, total, unit)
        self._moved(self._work)

    def detail(self, text: str) -> None:
        self._work.doing = safe(text.strip())
        self._moved(self._work)


_End = Callable[[Work, str], None]


def _outcome(exception: object) -> str:
    if exception is None:
        return "done"
    return "interrupted" if exception is KeyboardInterrupt else "failed"


class PlainReporter:
    """Lines for a stream that is no terminal; ``clock`` is a monotonic clock."""

    def __init__(self, screen: Screen, verbose: bool = False, clock: Clock = time.monotonic) -> None:
        self._screen, self._verbose, self._clock = screen, verbose, clock
        self._said: dict[Work, tuple[float, float]] = {}

    def step(self, title: str) -> StepContext:
        return _Running(lambda: self._begin(title), self._moved, self._end)

    def note(self, text: str) -> None:
        self._screen.line(safe(text))

    def warn(self, text: str) -> None:
        self._screen.line("Warning: ", safe(text))

    def debug(self, text: str) -> None:
        if self._verbose:
            self._screen.line(safe(text))

    def _begin(self, title: str) -> Work:
        work = Work(title, self._clock)
        self._said[work] = (self._clock(), 0.0)
        self._screen.line(f"{work.title} ...")
        return work

    def _moved(self, work: Work) -> None:
        last, at = self._said.get(work, (0.0, 0.0))
        quiet = self._clock() - last
        fraction = work.fraction or 0.0
        if quiet >= PLAIN_SILENCE or (quiet >= PLAIN_INTERVAL and fraction - at >= 0.1):
            self._said[work] = (self._clock(), fraction)
            self._screen.line(f"{work.title}: {_plain_state(work)}")

    def _end(self, work: Work, outcome: str) -> None:
        self._said.pop(work, None)
        self._screen.line(f"{work.title}: {outcome} ({duration(work.elapsed)})")


def _plain_state(work: Work) -> str:
    percent = f"{work.fraction:.0%}" if work.fraction is not None else ""
    return "  ".join(filter(None, (percent, work.amount))) or work.doing or f"{duration(work.elapsed)} so far"


class TerminalReporter:
    """Running steps redrawn in place at the bottom of a terminal; safe to use from several threads."""

    def __init__(self, screen: Screen, verbose: bool = False, clock: Clock = time.monotonic) -> None:
        self._screen, self._verbose, self._clock = screen, verbose, clock
        # The drawing thread takes only the second one, so that it can be waited for under the first.
        self._switching = threading.RLock()
        self._listing = threading.Lock()
        self._works: list[Work] = []
        self._live: Live | None = None
        self._draw = _Drawing(screen)

    def step(self, title: str) -> StepContext:
        return _Running(lambda: self._begin(title), lambda work: None, self._end)

    def note(self, text: str) -> None:
        self._screen.line(safe(text))

    def warn(self, text: str) -> None:
        self._screen.line(("Warning: ", "bold yellow"), safe(text))

    def debug(self, text: str) -> None:
        if self._verbose:
            self._screen.line((safe(text), "dim"))

    def _begin(self, title: str) -> Work:
        with self._switching:
            with self._listing:
                work = Work(title, self._clock, depth=len(self._works))
                self._works.append(work)
            if self._live is None:
                self._live = self._start_live()
            else:
                self._live.refresh()
        return work

    def _end(self, work: Work, outcome: str) -> None:
        with self._switching:
            with self._listing:
                self._works.remove(work)
            if self._live is not None and self._works:
                self._live.refresh()
            elif self._live is not None:
                self._live.stop()
                self._live = None
        self._screen.line(*self._draw.finished(work, outcome))

    def _start_live(self) -> Live:
        from rich.live import Live

        live = Live(
            console=self._screen.console,
            get_renderable=self._render,
            refresh_per_second=_REDRAWS_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start(refresh=True)
        # A process that is killed or suspended cannot bring a hidden cursor back, so it stays visible.
        self._screen.console.show_cursor(True)
        return live

    def _render(self) -> Text:
        from rich.text import Text

        with self._listing:
            lines = [Text.assemble(*parts) for work in self._works for parts in self._draw.running(work)]
        return Text("\n", no_wrap=True, overflow="crop", end="").join(lines)


class _Drawing:
    """The look of a step: spinner, title, bar, amount, time in one line; what it is doing in a second."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        fine = screen.unicode
        self._frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if fine else "-\\|/"
        self._marks = {"done": "✓" if fine else "+", "failed": "✗" if fine else "x"}
        self._full, self._rest = ("━", "─") if fine else ("#", ".")

    def running(self, work: Work) -> list[list[Part]]:
        # The last column stays empty: some terminals wrap when it is filled.
        width = self._screen.width - 1
        margin = "  " * work.depth
        frame = self._frames[int(work.elapsed * 10) % len(self._frames)]
        tail = self._tail(work, width)
        room = width - len(margin) - 2 - sum(cells(text) for text, _ in tail)
        line: list[Part] = [
            margin,
            (frame, "cyan"),
            " ",
            clipped(work.title, room, self._screen.ellipsis),
            *tail,
        ]
        if not work.doing:
            return [line]
        doing = clipped(work.doing, width - len(margin) - 2, self._screen.ellipsis)
        return [line, [margin, "  ", (self._screen.encodable(doing), "dim")]]

    def finished(self, work: Work, outcome: str) -> list[Part]:
        mark = self._marks.get(outcome, self._marks["failed"])
        word = "" if outcome == "done" else f"{outcome} after "
        style = "green" if outcome == "done" else "bold red"
        return ["  " * work.depth, (mark, style), f" {work.title}  ", (word + duration(work.elapsed), "dim")]

    def _tail(self, work: Work, width: int) -> list[tuple[str, str]]:
        elapsed = (f"  {duration(int(work.elapsed)).replace('.0', '')}", "dim")
        amount = (f"  {work.amount}" if work.amount else "", "")
        bar = self._bar(work.fraction) if work.fraction is not None else []
        # A title needs some room: give up the bar first (its last part is the percentage), then the amount.
        for tail in ([*bar, amount, elapsed], [*bar[-1:], amount, elapsed], [amount, elapsed]):
            if width - 2 - sum(cells(text) for text, _ in tail) >= min(cells(work.title), width // 2):
                return tail
        return [elapsed]

    def _bar(self, fraction: float) -> list[tuple[str, str]]:
        filled = int(fraction * _BAR)
        percent = padded(f"{int(fraction * 100)}%", 5, right=True)
        return [
            ("  ", ""),
            (self._full * filled, "green"),
            (self._rest * (_BAR - filled), "dim"),
            (percent, ""),
        ]
