"""How many ring buffer records a second the runner decodes, and whether each one that is lost is known.

`events.bpf.c` sends a thousand records for each kill(): once through the tool, where the host takes what it can,
and once with the runner writing to memory in the guest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from provisioner.guest.recipe import HOME, runner_path
from tests.bench.lab import NAME, Lab
from tests.bench.measure import Line

PROGRAM = Path(__file__).with_name("events.bpf.c")
SECONDS = 10
TRIGGER = "for i in $(seq 100); do kill -0 $$; done"
#: A hundred thousand a second for three seconds, as far as the guest's processor sends that many.
PACED = "for i in $(seq 30); do for j in 0 1 2 3 4 5 6 7 8 9; do kill -0 $$; done; sleep 0.1; done"

# The processor time is what limits it: the program that sends shares the processor with the runner.
ALONE = """
object=$(ls -t "$1"/build/*/events*.o | head -1)
TIMEFORMAT='%U %S'
{ time "$2" --object "$object" --no-stdin --for "$3" --trigger "$4" > /dev/shm/events; } 2>&1 | tail -1
tail -2 /dev/shm/events | head -1
grep -c '"type":"event"' /dev/shm/events
rm /dev/shm/events
"""


def events(lab: Lab) -> Iterator[Line]:
    """Ring buffer records: how many arrive, how many are lost unknown, how many a second are decoded."""
    lab.running()
    words = ("run", str(PROGRAM), "-i", NAME, "--json", "--for", str(SECONDS), "--trigger", TRIGGER)
    report = json.loads(lab.cli(*words))
    output, counts = report["output"], counters(report["maps"])
    arrived = len(output["events"]) + output["left_out"].get("events", 0)
    unknown = counts["sent"] + counts["refused"] - arrived - output["lost"].get("events", 0)
    yield Line("records sent through the tool", [counts["sent"]], unit="")
    yield Line("records lost that nobody counted", [unknown], limit=0, unit="")
    yield Line("decoded in a second of processor", [speed(lab) for _ in range(lab.runs)], unit="")
    yield Line("found no room at 100,000 a second", [refused(lab) for _ in range(lab.runs)], limit=0, unit="")


def speed(lab: Lab) -> float:
    """Records that the runner decodes in a second of the processor, start and end of the run included."""
    seconds, _, decoded = alone(lab, TRIGGER)
    return int(decoded) / sum(map(float, seconds.split()))


def refused(lab: Lab) -> float:
    """Records that the ring buffer had no room for when as many came as one may ask for."""
    _, maps, _ = alone(lab, PACED)
    return float(counters([json.loads(maps)])["refused"])


def alone(lab: Lab, trigger: str) -> list[str]:
    """Seconds of the processor, the message with the counters, and how many records were decoded."""
    words = ("bash", "-c", ALONE, "alone", HOME, runner_path(), str(SECONDS), trigger)
    return lab.cli("exec", "-i", NAME, "--", *words).splitlines()


def counters(maps: list[dict[str, Any]]) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for item in maps for entry in item["entries"]}


ROWS = {"events": events}
