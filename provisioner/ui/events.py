"""Records of ring and perf buffers in columns, or in name=value form when they have too many fields for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from provisioner.ui.screen import Part, Screen, cells, clipped, padded, safe
from provisioner.ui.values import NOTHING_SHOWN, Shown, bytes_text, hex_lines, nested_text, stacks, value_text

#: TASK_COMM_LEN of the kernel's <linux/sched.h>, without its terminating NUL.
COMM_WIDTH = 15
# Columns that would otherwise jump with each longer value; process ids have at most 7 digits (2**22).
_USUAL_WIDTHS = {"comm": COMM_WIDTH, "pid": 7, "ppid": 7, "tid": 7, "tgid": 7}
#: What one column may take of a terminal, unless it is the last one.
_MAX_COLUMN = 32
_MAX_HEX_LINES = 8
#: How far the further lines of a wrapped record are indented.
_WRAPPED = 4

Lines = list[list[Part]]
_Kind = tuple[str, tuple[str, ...]]


class EventColumns:
    """Lays records out in columns that only ever grow; a kind is named once there is more than one."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._widths: dict[_Kind, list[int]] = {}
        self._sources = set[str]()

    def lines(self, event: Mapping[str, Any]) -> Lines:
        """The lines of one record; the first of a kind with the names of its columns above it."""
        source = safe(str(event.get("map") or ""))
        self._sources.add(source)
        fields = event.get("fields")
        if not isinstance(fields, Mapping):
            return self._dump(source, str(event.get("hex") or ""))
        shown = event.get("shown") or NOTHING_SHOWN
        kind = (source, tuple(map(str, fields)))
        if self._is_wide(kind):
            lines = self._wide(kind, [nested_text(value, shown, name) for name, value in fields.items()])
        else:
            lines = self._row(kind, [value_text(value, shown, name) for name, value in fields.items()])
        if event.get("rest"):
            lines.append([("  then ", "dim"), bytes_text(str(event["rest"]))])
        return [*lines, *stack_lines(shown)]

    def _dump(self, source: str, text: str) -> Lines:
        rows = hex_lines(text)
        left_out = len(rows) - _MAX_HEX_LINES if self._screen.fancy else 0
        lines: Lines = [
            [(f"{source}  " if at == 0 else " " * (cells(source) + 2), "dim"), row]
            for at, row in enumerate(rows[:_MAX_HEX_LINES] if left_out > 0 else rows)
        ]
        if left_out > 0:
            lines.append([(f"  {left_out * 16} more bytes with --json", "dim")])
        return lines

    @property
    def _room(self) -> int:
        # The last column stays empty: some terminals wrap when it is filled.
        return self._screen.width - 1

    def _is_wide(self, kind: _Kind) -> bool:
        if not self._screen.fancy or kind in self._widths:
            return False
        least = sum(max(cells(name), 4) + 2 for name in kind[1])
        return least + cells(kind[0]) > self._room

    def _wide(self, kind: _Kind, texts: Sequence[str]) -> Lines:
        """Pairs of name and value, as many a line as there is room for."""
        lines: Lines = [[(kind[0], "dim")]]
        used = cells(kind[0])
        for name, text in zip(map(safe, kind[1]), texts, strict=True):
            text = clipped(text, self._room - _WRAPPED - cells(name) - 1, self._screen.ellipsis)
            width = 2 + cells(name) + 1 + cells(text)
            if used + width > self._room:
                lines.append([" " * (_WRAPPED - 2)])
                used = _WRAPPED - 2
            lines[-1] += ["  ", (f"{name}=", "dim"), text]
            used += width
        return lines

    def _row(self, kind: _Kind, texts: Sequence[str]) -> Lines:
        new = kind not in self._widths
        widths = self._widths.setdefault(kind, [_USUAL_WIDTHS.get(name, cells(name)) for name in kind[1]])
        limit = _MAX_COLUMN if self._screen.fancy else None
        for at, text in enumerate(texts[:-1]):
            grown = max(widths[at], cells(text))
            widths[at] = grown if limit is None else max(min(grown, limit), widths[at])
        row: Lines = [[self._columns(kind, texts)]]
        if not new:
            return row
        return [[(self._columns(kind, [safe(name).upper() for name in kind[1]]), "dim")], *row]

    def _columns(self, kind: _Kind, texts: Sequence[str]) -> str:
        source = f"{kind[0]}  " if len(self._sources) > 1 else ""
        pairs = list(zip(texts, self._widths[kind], strict=True))
        if not self._screen.fancy:
            return (source + "  ".join(padded(text, width) for text, width in pairs)).rstrip()
        ellipsis = self._screen.ellipsis
        cut = [padded(clipped(text, width, ellipsis), width) for text, width in pairs[:-1]]
        line = source + "  ".join([*cut, *texts[-1:]])
        return clipped(line, self._room, ellipsis).rstrip()


def stack_lines(shown: Shown, indent: int = 4) -> Lines:
    """Each stack below its name, one frame a line."""
    lines: Lines = []
    for path, frames in stacks(shown):
        name = safe(path.rsplit(".", 1)[-1])
        for at, frame in enumerate(frames):
            label = padded(name if at == 0 else "", cells(name))
            lines.append([" " * indent, (f"{label}  ", "dim"), frame])
    return lines
