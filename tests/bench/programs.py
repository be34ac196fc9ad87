"""From a source on the host to a program that is attached, against `clang` and `bpftool` over plain SSH."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from provisioner.guest.connection import connect
from provisioner.guest.identity import Identity
from tests.bench.lab import NAME, TOOL, Lab
from tests.bench.measure import Line, NotTakenError, in_turn, timed

SOURCE = Path(__file__).with_name("opens.bpf.c").read_text()
#: Seconds for anything to be attached, also on a drowning host.
PATIENCE = 300.0
_EDITIONS = itertools.count(1)

# What a page on the web says. The header is made beforehand.
HEADER = "test -s vmlinux.h || bpftool btf dump file /sys/kernel/btf/vmlinux format c > vmlinux.h"
BY_HAND = (
    "cat > opens.bpf.c && clang -g -O2 -target bpf -I. -c opens.bpf.c -o opens.bpf.o && "
    "bpftool prog loadall opens.bpf.o /sys/fs/bpf/by-hand autoattach"
)
CLEAN = "rm -rf /sys/fs/bpf/by-hand"


def first(lab: Lab) -> Iterator[Line]:
    """`run` of a file never seen, on an instance as new, against clang and bpftool over plain SSH."""

    def ours() -> float:
        lab.cli("reset", NAME)
        return run_until_attached(edited(lab))

    def other() -> float:
        lab.cli("reset", NAME)
        return by_hand(lab)

    lab.running()
    yield Line("run, first / ssh clang && bpftool", *in_turn(lab.runs, ours, other))


def changed(lab: Lab) -> Iterator[Line]:
    """`run` of a file that was changed, against the same."""
    lab.running()
    run_until_attached(edited(lab))
    pair = in_turn(lab.runs, lambda: run_until_attached(edited(lab)), lambda: by_hand(lab))
    yield Line("run, changed / ssh clang && bpftool", *pair, limit=0.40)


def unchanged(lab: Lab) -> Iterator[Line]:
    """`run` of a file that was run before, against the same."""
    lab.running()
    source = edited(lab)
    run_until_attached(source)
    pair = in_turn(lab.runs, lambda: run_until_attached(source), lambda: by_hand(lab))
    yield Line("run, unchanged / ssh clang && bpftool", *pair, limit=0.15)


def watch(lab: Lab) -> Iterator[Line]:
    """`watch`: from a save to the program reloaded, against the same."""
    lab.running()
    source = edited(lab)
    with started("watch", str(source), "-i", NAME) as output:
        wait_for_line(output, "attached")

        def ours() -> float:
            begin = time.perf_counter()
            edited(lab)
            wait_for_line(output, "attached")
            return time.perf_counter() - begin

        yield Line(
            "watch, saved / ssh clang && bpftool", *in_turn(lab.runs, ours, lambda: by_hand(lab)), limit=0.25
        )


def whole_run(lab: Lab) -> Iterator[Line]:
    """A whole `run --for 1`, against two handshakes, that second and what the runner takes."""
    words = ("run", "hello", "-i", NAME, "--for", "1", "--no-trigger")
    lab.running()
    lab.cli(*words)

    def floor() -> float:
        stages = {stage["name"]: stage["seconds"] for stage in json.loads(lab.cli(*words, "--json"))["stages"]}
        runner = float(max(1.0, stages["run"]) + stages["load"] + stages["attach"])
        return 2 * timed(lambda: handshake(lab)) + runner

    pair = in_turn(lab.runs, lambda: timed(lambda: lab.cli(*words)), floor)
    yield Line("run --for 1 / handshakes, runner", *pair, limit=1.5)


def edited(lab: Lab) -> Path:
    """The source file with a number in it that it never had."""
    source = lab.scratch / "opens.bpf.c"
    source.write_text(_another())
    return source


def _another() -> str:
    return SOURCE.replace("EDITION 0", f"EDITION {next(_EDITIONS)}")


def run_until_attached(source: Path) -> float:
    """Seconds from starting the command to its word that the program is attached."""
    begin = time.perf_counter()
    with started("run", str(source), "-i", NAME, "--for", "60", "--no-trigger") as output:
        wait_for_line(output, "attached")
        return time.perf_counter() - begin


def by_hand(lab: Lab) -> float:
    """The same in one plain SSH command."""
    lab.ssh(HEADER)
    source = _another().encode()
    try:
        return timed(lambda: lab.ssh(BY_HAND, stdin=source))
    finally:
        lab.ssh(CLEAN)


def handshake(lab: Lab) -> None:
    endpoint = lab.instance().status().endpoint
    assert endpoint
    with connect(endpoint, Identity(lab.paths.identity)):
        pass


@contextmanager
def started(*words: str) -> Iterator[IO[str]]:
    """What a command says on stdout while it runs; it is interrupted afterwards."""
    process = subprocess.Popen(
        [*TOOL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout
    try:
        yield process.stdout
    except EOFError as exc:
        said = process.communicate()[1].strip().splitlines()
        raise NotTakenError(f"ebpf-dev {words[0]}: {said[-1] if said else 'it ended'}") from exc
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)


def wait_for_line(output: IO[str], word: str) -> None:
    """Read up to a line that begins with ``word``; raises EOFError when there is none."""
    for line in output:
        if line.startswith(word):
            return
    raise EOFError


ROWS = {"run-first": first, "run-changed": changed, "run-unchanged": unchanged, "watch": watch, "run": whole_run}
