"""Going on from saved memory, against booting."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from provisioner.core.store import Store
from tests.bench.lab import NAME, TOOL, Lab, run
from tests.bench.measure import Line, in_turn, repeat, timed

#: Whole commands, the start of Python included.
TO_RUNNING = 0.6
TO_ANSWER = 0.10


def down(lab: Lab) -> Iterator[Line]:
    """`down` with the memory saved."""

    def save() -> float:
        lab.running()
        return timed(lambda: lab.cli("down", NAME, "--save"))

    yield Line("down, memory saved", repeat(lab.runs, save))


def after_down(lab: Lab) -> Iterator[Line]:
    """`up` after `down`: to running, and to the first answer over SSH against a cold boot."""
    yield from _lines(lab, "up after down", lambda: lab.stopped(saved=True))


def new(lab: Lab) -> Iterator[Line]:
    """`up` of a new instance from a template: the same two."""
    lab.running()
    yield from _lines(lab, "up of a new instance", lambda: _gone(lab))


def reset(lab: Lab) -> Iterator[Line]:
    """`reset` of a running instance."""
    lab.running()
    yield Line("reset", repeat(lab.runs, lambda: timed(lambda: lab.cli("reset", NAME))))


def _lines(lab: Lab, title: str, prepare: Callable[[], None]) -> Iterator[Line]:
    running: list[float] = []

    def answer() -> float:
        prepare()
        running.append(timed(lambda: run((*TOOL, "up", NAME))))
        return running[-1] + timed(lambda: lab.ssh("true"))

    def cold() -> float:
        lab.stopped(saved=False)
        # Its last step is a command over SSH.
        return timed(lambda: run((*TOOL, "up", NAME, "--cold")))

    pair = in_turn(lab.runs, answer, cold)
    yield Line(f"{title}: running", running, limit=TO_RUNNING)
    yield Line(f"{title}: SSH / cold boot", *pair, limit=TO_ANSWER)


def _gone(lab: Lab) -> None:
    if Store(lab.paths).find(NAME):
        lab.cli("delete", NAME)


ROWS = {"down": down, "after-down": after_down, "new": new, "reset": reset}
