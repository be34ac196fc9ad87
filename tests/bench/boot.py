"""The tool's own start, and machines that boot."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioner.backends.banner import BannerWatch
from provisioner.backends.base import Endpoint
from provisioner.backends.qemu.layout import QemuFiles
from provisioner.backends.qemu.record import recorded_argv
from provisioner.core.paths import Paths, find_paths
from provisioner.core.reporter import SilentReporter, Step
from provisioner.guest.connection import connect
from provisioner.guest.identity import Identity
from provisioner.workflows.up import bring_up
from tests.bench.lab import NAME, TOOL, Lab, run
from tests.bench.measure import Line, in_turn, timed


class Phases(SilentReporter):
    """Keeps the seconds that each step took, those of the same title added up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        start = time.perf_counter()
        with super().step(title) as step:
            yield step
        self.seconds[title] = self.seconds.get(title, 0.0) + time.perf_counter() - start


def start(lab: Lab) -> Iterator[Line]:
    """`ebpf-dev version` and `--help` against a Python that does nothing."""
    bare = command(sys.executable, "-c", "pass")
    for word, limit in (("version", 8), ("--help", 14)):
        ours, other = in_turn(3 * lab.runs, command(*TOOL, word), bare)
        yield Line(f"{word} / python -c pass", ours, other, limit)


def by_hand(lab: Lab) -> Iterator[Line]:
    """A stopped instance booted, against its very QEMU command line started by hand."""

    def ours() -> float:
        lab.stopped(saved=False)
        seconds = timed(lambda: bring_up(NAME, lab.settings, lab.paths, SilentReporter(), cold=True))
        lab.stopped(saved=False)
        return seconds

    yield Line("boot / its QEMU by hand", *in_turn(lab.runs, ours, lambda: boot_by_hand(lab)), limit=1.15)


def cold_up(lab: Lab) -> Iterator[Line]:
    """`up --cold` of a stopped instance, by phase."""

    def boot() -> Phases:
        lab.stopped(saved=False)
        return timed_phases(lab.paths, cold=True)

    yield from by_phase("up --cold", [boot() for _ in range(lab.runs)])


def first_up(lab: Lab) -> Iterator[Line]:
    """The very first `up`, in a home of its own, by phase; once, for it takes many minutes."""
    paths = find_paths({**os.environ, "EBPF_DEV_HOME": str(lab.scratch / "home")})
    try:
        yield from by_phase("first up", [timed_phases(paths)])
    finally:
        Lab(1, lab.scratch, paths).clean()


def overlay(lab: Lab) -> Iterator[Line]:
    """What the disk of an instance takes that has booted once."""
    lab.clean()
    bring_up(NAME, lab.settings, lab.paths, SilentReporter(), cold=True)
    size = lab.instance().machine.overlay.stat().st_blocks * 512
    yield Line("overlay after a boot", [size / 1e6], limit=100, unit="MB")


def timed_phases(paths: Paths, *, cold: bool = False) -> Phases:
    """Bring `bench` up and keep what every step took."""
    phases = Phases()
    lab = Lab(1, Path(), paths)
    phases.seconds["in all"] = timed(lambda: bring_up(NAME, lab.settings, paths, phases, cold=cold))
    return phases


def by_phase(title: str, taken: list[Phases]) -> Iterator[Line]:
    for phase in taken[0].seconds:
        yield Line(
            f"{title}: {phase[:1].lower()}{phase[1:]}", [phases.seconds.get(phase, 0.0) for phases in taken]
        )


def boot_by_hand(lab: Lab) -> float:
    """Seconds from starting the very same QEMU command line to its SSH banner.

    Looked at every 50 ms, with the tool's own way of asking: a new connection for every look, dropped after
    half a second, keeps an emulated sshd so busy that its banner comes 45 s later.
    """
    machine = lab.instance().machine
    argv = recorded_argv(machine)
    port = int(next(word for word in argv if "hostfwd=" in word).rsplit("127.0.0.1:", 1)[1].split("-")[0])
    fifos = QemuFiles(machine).fifos
    for fifo in fifos:
        os.mkfifo(fifo)
    start = time.perf_counter()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with BannerWatch(Endpoint("127.0.0.1", port)) as banner:
            while not banner.poll(0.05):
                pass
        return time.perf_counter() - start
    finally:
        _power_off(lab, port)
        process.wait()
        for fifo in fifos:
            fifo.unlink()


def _power_off(lab: Lab, port: int) -> None:
    with connect(Endpoint("127.0.0.1", port), Identity(lab.paths.identity)) as guest:
        guest.run(["systemctl", "poweroff"], check=False)


def command(*argv: str) -> Callable[[], float]:
    """What takes the seconds that a command needs."""
    return lambda: timed(lambda: run(argv))


ROWS = {"start": start, "by-hand": by_hand, "cold-up": cold_up, "first-up": first_up, "overlay": overlay}
