"""Figures: taken several times, shown as medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


class NotTakenError(Exception):
    """A figure that cannot be had here, with the reason."""


@dataclass(frozen=True)
class Line:
    """One line of the table.

    With ``other``, which was taken in turn with ``ours``, ``limit`` is for the median of the ratios of each
    pair; without it, for the median of ``ours``, in ``unit``.
    """

    title: str
    ours: Sequence[float]
    other: Sequence[float] = ()
    limit: float | None = None
    unit: str = "s"

    def __str__(self) -> str:
        if not self.other:
            return columns(
                self.title, self._median(self.ours), "", _spread(self.ours), self._limit(f" {self.unit}")
            )
        ratios = [one / another for one, another in zip(self.ours, self.other, strict=True)]
        ratio = f"{statistics.median(ratios):.2f}x {_spread(ratios)}"
        return columns(self.title, self._median(self.ours), self._median(self.other), ratio, self._limit("x"))

    def _median(self, values: Sequence[float]) -> str:
        return f"{_number(statistics.median(values))} {self.unit}"

    def _limit(self, unit: str) -> str:
        return "" if self.limit is None else f"{self.limit:g}{unit}"


def columns(title: str, ours: str, other: str, ratio: str, limit: str) -> str:
    """A line of 80 columns, unless the title is a long one."""
    return f"{title:37} {ours:>8} {other:>8} {ratio:>17} {limit:>6}".rstrip()


def timed(action: Callable[[], object]) -> float:
    """Seconds that ``action`` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def repeat(runs: int, ours: Callable[[], float]) -> list[float]:
    return [ours() for _ in range(runs)]


def in_turn(runs: int, ours: Callable[[], float], other: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Both figures ``runs`` times, one after the other, so that both see the same machine."""
    pairs = [(ours(), other()) for _ in range(runs)]
    return [one for one, _ in pairs], [another for _, another in pairs]


def _spread(values: Sequence[float]) -> str:
    return f"{_number(min(values))}-{_number(max(values))}" if len(values) > 1 else ""


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
