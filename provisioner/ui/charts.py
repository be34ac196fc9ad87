"""Numbers drawn with characters: bars and log2 histograms. Pure: text in, lines out."""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.ui.screen import Part, Screen, padded

_EIGHTHS = " ▏▎▍▌▋▊▉"
#: A bar says more when one can compare it at a glance than when it fills a wide terminal.
MAX_BAR = 48


def bar(value: int, largest: int, width: int, *, fine: bool) -> str:
    """``value`` as a bar of at most ``width`` columns, where ``largest`` fills all; ``fine`` needs Unicode.

    What is not zero shows: its bar is never empty.
    """
    if value <= 0 or largest <= 0:
        return ""
    eighths = max(1, round(value * width * 8 / largest))
    if not fine:
        return "#" * max(1, eighths // 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def bar_lines(screen: Screen, rows: Sequence[tuple[str, int]], *, indent: int = 0) -> list[list[Part]]:
    """A line a row: label, count, bar."""
    names = max((len(name) for name, _ in rows), default=0)
    counts = max((len(str(count)) for _, count in rows), default=0)
    room = min(MAX_BAR, max(8, screen.width - 1 - indent - names - counts - 4))
    largest = max((count for _, count in rows), default=0)
    return [
        [
            " " * indent + padded(name, names) + "  ",
            padded(str(count), counts, right=True) + "  ",
            (bar(count, largest, room, fine=screen.unicode), "cyan"),
        ]
        for name, count in rows
    ]


def log2_rows(slots: Sequence[int]) -> list[tuple[str, int]]:
    """Slot i counts values from 2**i up to 2**(i+1), slot 0 also the zeros; empty ends are left out."""
    filled = [at for at, count in enumerate(slots) if count]
    if not filled:
        return []
    ends = [_rounded(1 << at) for at in range(filled[0], filled[-1] + 2)]
    starts = ["0" if at == 0 else _rounded(1 << at) for at in range(filled[0], filled[-1] + 1)]
    left, right = max(map(len, starts)), max(map(len, ends[1:]))
    return [
        (f"[{start:>{left}}, {end:>{right}})", slots[filled[0] + at])
        for at, (start, end) in enumerate(zip(starts, ends[1:], strict=True))
    ]


def _rounded(value: int) -> str:
    for unit in ("", "K", "M", "G", "T", "P"):
        if value < 1024:
            return f"{value}{unit}"
        value //= 1024
    return f"{value}E"
