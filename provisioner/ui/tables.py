"""Tables and lists on stdout: aligned, cut to a terminal's width, whole when piped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

from provisioner.ui.screen import Part, Screen, cells, clipped, padded, safe

_GAP = 2
_NARROWEST = 8
_MARK = 6


class Checked(Protocol):
    """What ``print_checks`` shows; ``workflows.doctor.Check`` is one."""

    @property
    def name(self) -> str: ...
    @property
    def ok(self) -> bool | None: ...
    @property
    def summary(self) -> str: ...
    @property
    def details(self) -> str: ...
    @property
    def cure(self) -> str: ...
    @property
    def needed(self) -> bool: ...


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], stream: TextIO | None = None) -> None:
    """Rows below their column names; columns that hold only numbers are aligned to the right."""
    screen = Screen(stream or sys.stdout)
    for parts in table_lines(screen, columns, rows):
        screen.line(*parts)


def print_values(pairs: Sequence[tuple[str, object]], stream: TextIO | None = None) -> None:
    """Names and values, one pair a line, the values aligned."""
    screen = Screen(stream or sys.stdout)
    width = max((cells(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        screen.line((padded(safe(name), width + _GAP), "dim"), safe(str(value)))


def print_checks(checks: Sequence[Checked], stream: TextIO | None = None, *, verbose: bool = False) -> None:
    """One line a check, and below those that failed the evidence and the cure."""
    screen = Screen(stream or sys.stdout)
    width = max((cells(check.name) for check in checks), default=0)
    margin = _MARK + width + _GAP
    for check in checks:
        mark, style = _mark(check)
        title = padded(padded(mark, _MARK) + check.name, margin)
        screen.paragraph(safe(check.summary), first=(title, style))
        if check.ok is False or verbose:
            for line in check.details.splitlines():
                screen.paragraph(safe(line), indent=margin, style="dim")
        if check.ok is False and check.cure:
            screen.paragraph(safe(check.cure), first=("-> ", "cyan"), indent=margin)


def _mark(check: Checked) -> tuple[str, str]:
    if check.ok is None:
        return "-", "dim"
    if check.ok:
        return "ok", "green"
    return ("FAIL", "bold red") if check.needed else ("note", "yellow")


def table_lines(
    screen: Screen,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    indent: int = 0,
    styles: dict[str, str] | None = None,
) -> list[list[Part]]:
    """The lines of a table as parts; ``styles`` gives a style to cells with a certain text."""
    texts = [[safe(str(cell)) for cell in row] for row in rows]
    widths = [max(cells(text) for text in column) for column in zip(columns, *texts, strict=True)]
    if screen.fancy:
        widths = fitted(widths, screen.width - indent - _GAP * (len(columns) - 1))
    right = [bool(rows) and all(_is_number(row[at]) for row in texts) for at in range(len(columns))]
    styles = styles or {}

    def line(row: Sequence[str], style: str | None) -> list[Part]:
        parts: list[Part] = [" " * indent]
        for at, text in enumerate(row):
            cell = padded(clipped(text, widths[at], screen.ellipsis), widths[at], right=right[at])
            parts += [(cell, style if style is not None else styles.get(text, "")), " " * _GAP]
        return parts[:-1]

    return [line([name.upper() for name in columns], "dim"), *(line(row, None) for row in texts)]


def fitted(widths: Sequence[int], room: int) -> list[int]:
    """Column widths that together take at most ``room``, taken from the widest ones first."""
    fit = list(widths)
    while sum(fit) > room and max(fit) > _NARROWEST:
        fit[fit.index(max(fit))] -= 1
    return fit


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).removeprefix("-").isdecimal() or text == "-"
