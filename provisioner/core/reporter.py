"""What working code may say while it works. It never prints: it tells a reporter (see ``ui/``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol


class Step(Protocol):
    """One piece of work in progress; made by ``Reporter.step``."""

    def progress(self, done: float, total: float, unit: str = "") -> None:
        """Say how much is done; ``unit`` is ``"bytes"`` or a plural noun such as ``"packages"``."""

    def detail(self, text: str) -> None:
        """Show what is being done right now; replaces the former detail."""


class Reporter(Protocol):
    """Passed as a parameter to whatever takes longer than a second; everything goes to stderr."""

    def step(self, title: str) -> StepContext:
        """Announce a piece of work: ``with reporter.step("Building ...") as step:``."""

    def note(self, text: str) -> None:
        """One line worth knowing, for example a fall back."""

    def warn(self, text: str) -> None:
        """One line that the user should act on some day."""

    def debug(self, text: str) -> None:
        """Shown with ``-v`` only."""


class StepContext(Protocol):
    def __enter__(self) -> Step: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None: ...


class _SilentStep:
    def progress(self, done: float, total: float, unit: str = "") -> None:
        pass

    def detail(self, text: str) -> None:
        pass


class SilentReporter:
    """Says nothing; for callers that have no one to tell."""

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        yield _SilentStep()

    def note(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass

    def debug(self, text: str) -> None:
        pass
