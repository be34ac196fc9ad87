"""A run as it happens and what it found: programs, printk lines, events, verdicts, maps.

The dictionaries are those of the report (schema 1), whole for ``finish`` and one by one for the live methods.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from provisioner.bpf import protocol
from provisioner.ui.charts import bar_lines
from provisioner.ui.events import COMM_WIDTH, EventColumns
from provisioner.ui.maps import change_lines, map_lines
from provisioner.ui.screen import Part, Screen, clipped, duration, padded, safe, wrapped
from provisioner.ui.tables import table_lines
from provisioner.ui.values import hex_lines

Clock = Callable[[], float]

_STATE_STYLES = {"attached": "green", "skipped": "yellow", "failed": "bold red"}
_STAGE_WORDS = {"sync": "sent", "build": "built", "load": "loaded", "attach": "attached", "run": "ran"}
_MAX_PROGRAM_LINE = 40
#: Lines of programs that a terminal is given in a second: far more than anyone reads, few enough to keep up.
MAX_LINES_PER_SECOND = 500


class RunDisplay:
    """Shows one run on ``stream`` (default: stdout), line by line; its methods may come from any thread.

    What the tool itself has to say about the run goes to ``errors`` (default: stderr).
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        errors: TextIO | None = None,
        verbose: bool = False,
        clock: Clock = time.monotonic,
    ) -> None:
        self._screen = Screen(stream or sys.stdout)
        self._errors = Screen(errors or sys.stderr)
        self._verbose = verbose
        self._lock = threading.Lock()
        self._first_time: float | None = None
        self._events = EventColumns(self._screen)
        self._pace = _Pace(clock) if self._screen.fancy else None
        self._losing = set[str]()

    def show(self, message: protocol.Message) -> None:
        """One message of the runner. Those about stages, maps and failures wait for the summary."""
        if isinstance(message, (protocol.Printk, protocol.Event)):
            self._show_output(message)
        elif isinstance(message, protocol.Companion):
            self.companion(message.text, message.stream)
        elif isinstance(message, protocol.Trigger):
            self._show_trigger(message)
        elif isinstance(message, protocol.Iterator) and message.records is not None:
            for record in message.records:
                self.event({"map": message.program, **record})
        elif isinstance(message, protocol.Iterator):
            self.iterator(message.program, message.text or "\n".join(hex_lines(message.hex or "")))
        elif isinstance(message, protocol.Change):
            self.change(vars(message))
        elif isinstance(message, protocol.Lost):
            self._show_loss(message.source)
        elif isinstance(message, protocol.Log):
            self._show_log(message)
        elif isinstance(message, protocol.Program) and message.run_count is None:
            self.program(vars(message))  # the second time, with counts, it is for the summary

    def program(self, program: Mapping[str, Any]) -> None:
        """A program was attached, skipped or failed."""
        state = str(program.get("state") or "")
        name = clipped(safe(str(program.get("name"))), _MAX_PROGRAM_LINE, self._screen.ellipsis)
        parts: list[Part] = [
            (state, _STATE_STYLES.get(state, "")),
            f"  {name}",
            (f"  {_where(program)}", "dim"),
        ]
        if program.get("reason"):
            parts.append(f"  ({safe(str(program['reason']))})")
        self._say(*parts)

    def printk(
        self,
        text: str,
        *,
        comm: str | None = None,
        pid: int | None = None,
        cpu: int | None = None,
        time: float | None = None,
    ) -> None:
        """A line of ``bpf_printk``; ``time`` is the guest's, in seconds, and shown since the first line."""
        parts: list[Part] = []
        if time is not None:
            self._first_time = time if self._first_time is None else self._first_time
            parts.append((f"{time - self._first_time:9.3f}  ", "dim"))
        if pid is not None:
            parts += [(padded(safe(comm or "?"), COMM_WIDTH), "cyan"), (f" {pid:>7}  ", "dim")]
        if cpu is not None and self._verbose:
            parts.append((f"[{cpu:03}]  ", "dim"))
        self._say(*parts, safe(text))

    def event(self, event: Mapping[str, Any]) -> None:
        """A record from a ring or perf buffer: its ``fields`` in columns, or its ``hex``."""
        with self._lock:
            for parts in self._events.lines(event):
                self._screen.line(*parts)

    def change(self, change: Mapping[str, Any]) -> None:
        """Entries of a map that have changed within the last second."""
        with self._lock:
            for parts in change_lines(self._screen, change):
                self._screen.line(*parts)

    def companion(self, line: str, stream: str = "stdout") -> None:
        """A line that the companion program printed on "stdout" or "stderr", passed on as it is."""
        with self._lock:
            (self._screen if stream == "stdout" else self._errors).raw(line)

    def iterator(self, program: str, text: str) -> None:
        """What a BPF iterator wrote."""
        self._say((safe(program), "bold"))
        for line in text.splitlines():
            self._say(safe(line))

    def note(self, text: str) -> None:
        """A line about the run that none of the programs printed."""
        self._say((safe(text), "dim"))

    def finish(self, report: Mapping[str, Any]) -> None:
        """The summary: programs with their counts, verdicts, maps, stages. The error is not shown here."""
        with self._lock:
            self._say_left_out(self._pace.left_out() if self._pace else 0)
            for block in _summary(self._screen, report, self._verbose):
                self._screen.line()
                for parts in block:
                    self._screen.line(*parts)

    def _show_output(self, message: protocol.Printk | protocol.Event) -> None:
        if self._pace and not self._pace.allows():
            return
        if self._pace:
            self._say_left_out(self._pace.left_out())
        if isinstance(message, protocol.Event):
            self.event(vars(message))
        else:
            self.printk(message.text, comm=message.comm, pid=message.pid, cpu=message.cpu, time=message.time)

    def _say_left_out(self, count: int) -> None:
        if count:
            self._screen.line((f"{count} more that came too fast for a terminal; --json has them", "dim"))

    def _show_trigger(self, message: protocol.Trigger) -> None:
        if message.text is not None:
            self.note(message.text)
        elif message.status:
            self._warn(f"the trigger `{message.command}` ended with status {message.status}")

    def _show_loss(self, source: str) -> None:
        """The first time; the summary says how many they were in the end."""
        if source not in self._losing:
            self._losing.add(source)
            self._warn(f"records of {source} are lost: they come faster than they are read")

    def _show_log(self, log: protocol.Log) -> None:
        if log.level == "warning":
            self._warn(log.text)
        elif log.level == "note" or self._verbose:
            with self._lock:
                self._errors.line((safe(log.text), "dim"))

    def _warn(self, text: str) -> None:
        with self._lock:
            self._errors.paragraph(safe(text), first=("Warning: ", "bold yellow"))

    def _say(self, *parts: Part) -> None:
        with self._lock:
            self._screen.line(*parts)


class SilentDisplay:
    """Shows nothing; for ``--json``, where the report says it all at the end."""

    def show(self, message: protocol.Message) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def finish(self, report: Mapping[str, Any]) -> None:
        pass


class _Pace:
    """Lets through what a person can at most scroll by, and counts the rest; ``clock`` is a monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = 0
        self._count = 0
        self._held = 0

    def allows(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        self._held += self._count > MAX_LINES_PER_SECOND
        return self._count <= MAX_LINES_PER_SECOND

    def left_out(self) -> int:
        """How many were held back since this was asked last."""
        count, self._held = self._held, 0
        return count


def _where(program: Mapping[str, Any]) -> str:
    section, target = str(program.get("section") or ""), _target(program)
    return safe(f"{section} -> {target}" if target else section)


def _target(program: Mapping[str, Any]) -> str:
    """What the program was attached to, unless its section says it already."""
    target = str(program.get("target") or "")
    return "" if target in str(program.get("section")) else target


def _summary(screen: Screen, report: Mapping[str, Any], verbose: bool) -> Iterator[list[list[Part]]]:
    """The blocks of a summary, each a list of lines; there is no empty one."""
    programs = list(report.get("programs") or ())
    blocks = [_program_block(screen, programs)]
    blocks += [_verdict_block(screen, program) for program in programs if program.get("verdicts")]
    blocks += [list(map_lines(screen, item)) for item in _maps_to_show(report)]
    blocks += [_note_block(screen, report), _closing_block(report, verbose)]
    return filter(None, blocks)


def _maps_to_show(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All, but a map of stacks only when nothing else shows the stacks in it."""
    maps = list(report.get("maps") or ())
    others = [entry for item in maps if item.get("type") != "stack_trace" for entry in item.get("entries") or ()]
    records = [*others, *((report.get("output") or {}).get("events") or ())]
    if any(isinstance(reading, list) for record in records for reading in (record.get("shown") or {}).values()):
        return [item for item in maps if item.get("type") != "stack_trace"]
    return maps


def _program_block(screen: Screen, programs: Sequence[Mapping[str, Any]]) -> list[list[Part]]:
    if not programs:
        return []
    columns = ["program", "section", "state", "target", "runs", "average"]
    lines = table_lines(screen, columns, [_program_row(item) for item in programs], styles=dict(_STATE_STYLES))
    for item in programs:
        if item.get("reason"):
            lines.append([f"  {safe(str(item.get('name')))}: {safe(str(item['reason']))}"])
    return lines


def _program_row(program: Mapping[str, Any]) -> list[object]:
    count = program.get("run_count")
    where = [program.get("name"), program.get("section"), program.get("state"), _target(program) or "-"]
    return [*where, "-" if count is None else count, _average(program)]


def _average(program: Mapping[str, Any]) -> str:
    """How long one run took, as the kernel measured it."""
    count, total = program.get("run_count"), program.get("run_time_ns")
    if not count or not total:
        return "-"
    average = float(total) / float(count)
    for unit in ("ns", "us", "ms"):
        if average < 999.5:
            return f"{average:.{int(average < 9.95 and unit != 'ns')}f} {unit}"
        average /= 1000
    return duration(average)


def _verdict_block(screen: Screen, program: Mapping[str, Any]) -> list[list[Part]]:
    rows = [(safe(str(name)), int(count)) for name, count in program["verdicts"].items()]
    title: list[Part] = [(safe(str(program.get("name"))), "bold"), ("  verdicts", "dim")]
    return [title, *bar_lines(screen, rows, indent=2)]


def _note_block(screen: Screen, report: Mapping[str, Any]) -> list[list[Part]]:
    """What is worth knowing: losses, and why nothing was seen."""
    lost = (report.get("output") or {}).get("lost") or {}
    lines: list[list[Part]] = [
        [("Lost: ", "bold yellow"), f"{count} records of {safe(source)}, which came faster than they were read"]
        for source, count in lost.items()
    ]
    for note in report.get("notes") or ():
        pieces = wrapped(screen, safe(note), indent=3)
        lines.append([("-> ", "cyan"), pieces[0]])
        lines += [["   ", piece] for piece in pieces[1:]]
    return lines


def _closing_block(report: Mapping[str, Any], verbose: bool) -> list[list[Part]]:
    lines: list[list[Part]] = []
    where = " ".join(filter(None, (str(report.get("kernel") or ""), str(report.get("arch") or ""))))
    if report.get("instance"):
        lines.append([(f"{report['instance']}: Linux {where}".rstrip(), "dim")])
    stages = [
        f"{_STAGE_WORDS.get(stage['name'], stage['name'])} {duration(float(stage['seconds']))}"
        for stage in report.get("stages") or ()
        if stage.get("ok") and (verbose or stage["name"] != "sync")
    ]
    if stages:
        lines.append([("  ".join(stages), "dim")])
    return lines
