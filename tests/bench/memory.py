"""What idle instances need when several of them stand on one template."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.lab import NAME, Lab
from tests.bench.measure import Line, NotTakenError

COUNTS = (1, 4, 8)
#: Seconds for what a resumed guest does at first.
SETTLE = 20.0


def space(lab: Lab) -> Iterator[Line]:
    """Memory (PSS: what several share counts once) and disk of 1, 4 and 8 new instances."""
    lab.clean()
    memory: dict[int, float] = {}
    for count in range(1, max(COUNTS) + 1):
        lab.running(_name(count))
        if count in COUNTS:
            time.sleep(SETTLE)
            names = [_name(number) for number in range(1, count + 1)]
            memory[count] = sum(_pss(lab, name) for name in names) / 1e6
            disk = sum(_bytes_below(lab.instance(name).machine.directory) for name in names) / 1e6
            yield Line(f"memory of {count}", [memory[count]], unit="MB")
            yield Line(f"disk of {count}", [disk], unit="MB")
    yield Line("memory of 4 / of 1", [memory[4]], [memory[1]], limit=2, unit="MB")
    yield Line("what all of them stand on", [_bytes_below(lab.paths.templates) / 1e6], unit="MB")


def _name(number: int) -> str:
    return f"{NAME}-{number}"


def _pss(lab: Lab, name: str) -> int:
    """Bytes of the machine's process; kB in proc_pid_smaps_rollup(5)."""
    pid = lab.instance(name).status().pid
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError as exc:
        raise NotTakenError(f"this system does not tell what processes share: {exc}") from exc
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _bytes_below(directory: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


ROWS = {"space": space}
