"""Commands on an instance that runs, against one plain `ssh guest true` with a handshake of its own."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.lab import NAME, TOOL, Lab, run
from tests.bench.measure import Line, in_turn, timed


def up_again(lab: Lab) -> Iterator[Line]:
    """`up` on a running instance against a cold `ssh guest true`."""
    yield Line("up, running / cold ssh true", *_against_ssh(lab, "up", NAME), limit=0.35)


def execute(lab: Lab) -> Iterator[Line]:
    """`exec true` with a warm connection against a cold `ssh guest true`."""
    lab.running()
    lab.cli("exec", "-i", NAME, "--", "true")
    yield Line("exec true / cold ssh true", *_against_ssh(lab, "exec", "-i", NAME, "--", "true"), limit=0.35)


def _against_ssh(lab: Lab, *words: str) -> tuple[list[float], list[float]]:
    lab.running()
    return in_turn(
        2 * lab.runs, lambda: timed(lambda: run((*TOOL, *words))), lambda: timed(lambda: lab.ssh("true"))
    )


ROWS = {"up-again": up_again, "exec": execute}
