"""A run as it happens and what it found: programs, printk lines, events, verdicts, maps.

The dictionaries are those of the report (schema 1), whole for ``finish`` and one by one for the live methods.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from provisioner.bpf import protocol
from provisioner.ui.charts import bar_lines
from provisioner.ui.maps import map_lines, value_text
from provisioner.ui.screen import Part, Screen, cells, clipped, duration, padded, safe
from provisioner.ui.tables import table_lines

_STATE_STYLES = {"attached": "green", "skipped": "yellow", "failed": "bold red"}
_STAGE_WORDS = {"sync": "sent", "build": "built", "load": "loaded", "attach": "attached", "run": "ran"}
#: TASK_COMM_LEN of the kernel's <linux/sched.h>, without its terminating NUL.
_COMM = 15
# Columns that would otherwise jump with each longer value; process ids have at most 7 digits (2**22).
_USUAL_WIDTHS = {"comm": _COMM, "pid": 7, "ppid": 7, "tid": 7, "tgid": 7}
_MAX_PROGRAM_LINE = 40


class RunDisplay:
    """Shows one run on ``stream`` (default: stdout), line by line; its methods may come from any thread."""

    def __init__(self, stream: TextIO | None = None, *, verbose: bool = False) -> None:
        self._screen = Screen(stream or sys.stdout)
        self._verbose = verbose
        self._lock = threading.Lock()
        self._first_time: float | None = None
        self._events = _EventColumns()

    def show(self, message: protocol.Message) -> None:
        """One message of the runner. Those about stages, maps and failures wait for the summary."""
        if isinstance(message, protocol.Printk):
            self.printk(message.text, comm=message.comm, pid=message.pid, cpu=message.cpu, time=message.time)
        elif isinstance(message, protocol.Event):
            self.event(vars(message))
        elif isinstance(message, protocol.Companion):
            self.companion(message.text, message.stream)
        elif isinstance(message, protocol.Trigger) and message.text is not None:
            self.note(message.text)
        elif isinstance(message, protocol.Iterator) and message.records is not None:
            for record in message.records:
                self.event({"map": message.program, "fields": record})
        elif isinstance(message, protocol.Iterator):
            self.iterator(message.program, message.text or _spaced_hex(message.hex or ""))
        elif isinstance(message, protocol.Lost):
            self.note(
                f"{message.count} records of {message.source} were lost: they came faster than they were read"
            )
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
            parts += [(padded(safe(comm or "?"), _COMM), "cyan"), (f" {pid:>7}  ", "dim")]
        if cpu is not None and self._verbose:
            parts.append((f"[{cpu:03}]  ", "dim"))
        self._say(*parts, safe(text))

    def event(self, event: Mapping[str, Any]) -> None:
        """A record from a ring or perf buffer: its ``fields`` in columns, or its ``hex``."""
        with self._lock:
            for parts in self._events.lines(event):
                self._screen.line(*parts)

    def companion(self, line: str, stream: str = "stdout") -> None:
        """A line that the companion program printed on "stdout" or "stderr", passed on as it is."""
        with self._lock:
            (self._screen if stream == "stdout" else Screen(sys.stderr)).raw(line)

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
            for block in _summary(self._screen, report, self._verbose):
                self._screen.line()
                for parts in block:
                    self._screen.line(*parts)

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


class _EventColumns:
    """Lays records out in columns that only ever grow; a kind is named once there is more than one."""

    def __init__(self) -> None:
        self._widths: dict[tuple[str, tuple[str, ...]], list[int]] = {}

    def lines(self, event: Mapping[str, Any]) -> list[list[Part]]:
        fields = event.get("fields")
        source = safe(str(event.get("map") or ""))
        if not isinstance(fields, Mapping):
            return [[(f"{source}  ", "dim"), _spaced_hex(str(event.get("hex") or ""))]]
        kind = (source, tuple(map(str, fields)))
        texts = [value_text(value) for value in fields.values()]
        new = kind not in self._widths
        widths = self._widths.setdefault(kind, [_USUAL_WIDTHS.get(name, cells(name)) for name in kind[1]])
        widths[:] = [max(width, cells(text)) for width, text in zip(widths, texts, strict=True)]
        names = [safe(name).upper() for name in kind[1]]
        header: list[list[Part]] = [[(self._row(kind, names), "dim")]] if new else []
        return [*header, [self._row(kind, texts)]]

    def _row(self, kind: tuple[str, tuple[str, ...]], texts: Sequence[str]) -> str:
        source = f"{kind[0]}  " if len(self._widths) > 1 else ""
        pairs = zip(texts, self._widths[kind], strict=True)
        return source + "  ".join(padded(text, width) for text, width in pairs).rstrip()


def _spaced_hex(text: str) -> str:
    return " ".join(text[at : at + 2] for at in range(0, len(text), 2))


def _where(program: Mapping[str, Any]) -> str:
    section, target = str(program.get("section") or ""), _target(program)
    return safe(f"{section} -> {target}" if target else section)


def _target(program: Mapping[str, Any]) -> str:
    """What the program was attached to, unless its section says it already."""
    target = str(program.get("target") or "")
    return "" if target in str(program.get("section")) else target


def _summary(screen: Screen, report: Mapping[str, Any], verbose: bool) -> list[list[list[Part]]]:
    """The blocks of a summary, each a list of lines; empty blocks are left out."""
    programs = list(report.get("programs") or ())
    blocks = [_program_block(screen, programs)]
    blocks += [_verdict_block(screen, program) for program in programs if program.get("verdicts")]
    blocks += [list(map_lines(screen, item)) for item in report.get("maps") or ()]
    blocks.append(_closing_block(report, programs, verbose))
    return [block for block in blocks if block]


def _program_block(screen: Screen, programs: Sequence[Mapping[str, Any]]) -> list[list[Part]]:
    if not programs:
        return []
    rows = [
        [item.get("name"), item.get("section"), item.get("state"), _target(item) or "-", _runs(item)]
        for item in programs
    ]
    lines = table_lines(
        screen, ["program", "section", "state", "target", "runs"], rows, styles=dict(_STATE_STYLES)
    )
    for item in programs:
        if item.get("reason"):
            lines.append([f"  {safe(str(item.get('name')))}: {safe(str(item['reason']))}"])
    return lines


def _runs(program: Mapping[str, Any]) -> object:
    count = program.get("run_count")
    return "-" if count is None else count


def _verdict_block(screen: Screen, program: Mapping[str, Any]) -> list[list[Part]]:
    rows = [(safe(str(name)), int(count)) for name, count in program["verdicts"].items()]
    title: list[Part] = [(safe(str(program.get("name"))), "bold"), ("  verdicts", "dim")]
    return [title, *bar_lines(screen, rows, indent=2)]


def _closing_block(
    report: Mapping[str, Any], programs: Sequence[Mapping[str, Any]], verbose: bool
) -> list[list[Part]]:
    lines: list[list[Part]] = []
    attached = [item for item in programs if item.get("state") == "attached"]
    if attached and all(item.get("run_count") == 0 for item in attached):
        lines.append(["Nothing triggered it. --trigger 'COMMAND' runs a command in the guest to do so."])
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
