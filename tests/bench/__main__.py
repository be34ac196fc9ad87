"""How long things take and what they need, as medians of several runs, each ratio's two sides taken in turn.

    python -m tests.bench [ROW ...] [--runs 5] [--list]

Uses instances of its own (`bench`, `bench-1`, ...) in the user's usual home; provisions first when nothing is
there yet. Stop other virtual machines before: everything here is bound by the processor when it is emulated.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from provisioner.backends.qemu import tools
from provisioner.core.errors import EbpfDevError
from provisioner.core.host import host_arch
from tests.bench import boot, events, memory, others, programs, resume, warm
from tests.bench.lab import Lab
from tests.bench.measure import Line, NotTakenError, columns

Row = Callable[[Lab], Iterable[Line]]
#: In the order in which they are taken; those of each module leave `bench` as they like.
ROWS: dict[str, Row] = {
    **boot.ROWS, **resume.ROWS, **warm.ROWS, **programs.ROWS, **events.ROWS, **memory.ROWS, **others.ROWS
}  # fmt: skip
#: Rows that take many minutes: only when they are asked for.
LONG = ("first-up",)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="one of those that --list shows; default: all")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--list", action="store_true", help="show the rows and what they measure")
    parser.add_argument("--keep", action="store_true", help="keep the instances for the next time")
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    if arguments.list:
        for name, row in ROWS.items():
            print(f"{name:14} {(row.__doc__ or '').splitlines()[0]}")
        return 0
    chosen = arguments.rows or [name for name in ROWS if name not in LONG]
    with tempfile.TemporaryDirectory(prefix="ebpf-dev-bench-", dir="/var/tmp") as scratch:
        lab = Lab(arguments.runs, Path(scratch))
        print(describe_machine())
        print(f"median of {arguments.runs}; ratios of pairs taken in turn; ranges are the least and the most")
        print(columns("ours / other", "ours", "other", "ratio or range", "most"), flush=True)
        try:
            for name in chosen:
                show(name, ROWS[name], lab)
        finally:
            if not arguments.keep:
                lab.clean()
    for name in set(LONG) - set(chosen):
        print(f"{name}: not taken: it takes many minutes; name it to have it")
    return 0


def show(name: str, row: Row, lab: Lab) -> None:
    """Print the lines of a row as they are taken, or why they could not be."""
    try:
        for line in row(lab):
            print(line, flush=True)
    except (NotTakenError, EbpfDevError) as exc:
        print(f"{name}: not taken: {exc}", flush=True)


def describe_machine() -> str:
    emulator = tools.show_version(tools.check_version(host_arch()))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.platform()}, {os.cpu_count()} processors, {memory:.0f} GB, QEMU {emulator}, "
        f"Python {platform.python_version()}, load {load}"
    )


if __name__ == "__main__":
    sys.exit(main())
