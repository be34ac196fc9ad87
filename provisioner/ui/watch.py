"""``watch`` on the screen: what was saved, what came of it, and what the programs say; and as JSON lines."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from provisioner.bpf import protocol
from provisioner.core.errors import EbpfDevError
from provisioner.ui.errors import error_as_dict, render_error
from provisioner.ui.report import RunDisplay
from provisioner.ui.screen import Screen, cells, duration, safe

#: Messages that are told as they come; the others are in the report at the end of a run.
_TOLD = (
    protocol.Printk, protocol.Event, protocol.Program, protocol.Companion, protocol.Trigger, protocol.Iterator,
    protocol.Change, protocol.Lost, protocol.Log,
)  # fmt: skip


class _Outcome(Protocol):
    report: dict[str, Any]
    error: EbpfDevError | None


class WatchDisplay:
    """Shows it for people: programs on ``stream`` (default: stdout), refusals on ``errors`` (default: stderr)."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        errors: TextIO | None = None,
        verbose: bool = False,
        clock: Callable[[], str] = lambda: time.strftime("%H:%M:%S"),
    ) -> None:
        self._stream, self._errors = stream or sys.stdout, errors or sys.stderr
        self._screen = Screen(self._stream)
        self._verbose = verbose
        self._clock = clock
        self._running = 0
        self._current = self._pending = self._display()

    def saved(self, files: Sequence[Path]) -> None:
        self._pending = self._display()
        self._separate(f"{', '.join(safe(path.name) for path in files)} saved")

    def loaded(self, number: int, seconds: float) -> None:
        self._running = number
        self._current = self._display()
        if number > 1:
            self._screen.line((f"loaded after {duration(seconds)}, in the place of the one before", "dim"))

    def show(self, number: int, message: protocol.Message) -> None:
        (self._current if number else self._pending).show(message)

    def refused(self, error: EbpfDevError) -> None:
        self._stream.flush()
        render_error(error, self._errors, verbose=self._verbose)
        rest = "the program loaded before runs on" if self._running else "nothing runs"
        Screen(self._errors).line((f"{rest}; save to try again", "dim"))

    def ended(self, number: int, outcome: _Outcome, *, replaced: bool) -> None:
        if replaced:
            return
        self._running = 0
        self._current.finish(outcome.report)
        if outcome.error:
            self._stream.flush()
            render_error(outcome.error, self._errors, verbose=self._verbose)

    def _display(self) -> RunDisplay:
        return RunDisplay(self._stream, errors=self._errors, verbose=self._verbose)

    def _separate(self, title: str) -> None:
        dash = "─" if self._screen.unicode else "-"
        head = f"{dash * 2} {self._clock()}  {title} "
        self._screen.line()
        self._screen.line((head + dash * max(2, self._screen.width - cells(head)), "bold"))


class WatchLines:
    """The same for programs: one JSON object a line on ``stream`` (default: stdout), its kind in "type"."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()

    def saved(self, files: Sequence[Path]) -> None:
        self._say("saved", files=[str(path) for path in files])

    def loaded(self, number: int, seconds: float) -> None:
        self._say("loaded", number=number, seconds=round(seconds, 3))

    def show(self, number: int, message: protocol.Message) -> None:
        if isinstance(message, _TOLD):
            self._say(type(message).__name__.lower(), number=number, **dataclasses.asdict(message))

    def refused(self, error: EbpfDevError) -> None:
        self._say("refused", error=error_as_dict(error))

    def ended(self, number: int, outcome: _Outcome, *, replaced: bool) -> None:
        self._say("ended", number=number, replaced=replaced, report=outcome.report)

    def _say(self, kind: str, **fields: object) -> None:
        with self._lock:
            self._stream.write(json.dumps({"type": kind, **fields}, default=str) + "\n")
            self._stream.flush()
