"""Going on from saved memory, against booting."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator

from provisioner.core.store import Store
from tests.bench.lab import NAME, TOOL, Lab, run
from tests.bench.measure import Line, NotTakenError, in_turn, repeat, timed

#: From the start of the command, Python's own included, to QEMU's word that the machine runs.
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
        begin = time.perf_counter()
        running.append(_up_until_running())
        # The first command is the first to be answered over SSH.
        lab.cli("exec", "-i", NAME, "--", "true")
        return time.perf_counter() - begin

    def cold() -> float:
        lab.stopped(saved=False)
        # Its last step is a command over SSH.
        return timed(lambda: run((*TOOL, "up", NAME, "--cold")))

    pair = in_turn(lab.runs, answer, cold)
    yield Line(f"{title}: running", running, limit=TO_RUNNING)
    yield Line(f"{title}: SSH / cold boot", *pair, limit=TO_ANSWER)


def _up_until_running() -> float:
    """Bring `bench` up, and return after how many seconds QEMU ran; raises NotTakenError when it booted."""
    begin, seconds = time.perf_counter(), None
    process = subprocess.Popen([*TOOL, "up", NAME], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    for line in process.stderr:
        if line.startswith("Resuming") and ": done" in line:
            seconds = time.perf_counter() - begin
    if process.wait() or seconds is None:
        raise NotTakenError("`up` did not go on from saved memory")
    return seconds


def _gone(lab: Lab) -> None:
    if Store(lab.paths).find(NAME):
        lab.cli("delete", NAME)


ROWS = {"down": down, "after-down": after_down, "new": new, "reset": reset}
