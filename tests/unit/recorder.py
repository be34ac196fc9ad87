"""A reporter that remembers what it was told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from provisioner.core.reporter import SilentReporter, Step


@dataclass
class RecordingStep:
    amounts: list[tuple[float, float, str]] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def progress(self, done: float, total: float, unit: str = "") -> None:
        self.amounts.append((done, total, unit))

    def detail(self, text: str) -> None:
        self.details.append(text)


class Recorder(SilentReporter):
    """Keeps titles, notes, warnings, and everything that its steps were told in ``last``."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.last = RecordingStep()

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        self.titles.append(title)
        yield self.last

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)
