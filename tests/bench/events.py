"""How many ring buffer records a second the runner decodes, and whether each one that is lost is known.

    python tests/bench/events.py [--instance default] [--bursts 100]

Runs `events.bpf.c` in a running instance, which sends a thousand records for each kill(): once through the tool,
where the host takes what it can, and once with the runner writing to memory in the guest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from provisioner.guest.recipe import HOME, runner_path

PROGRAM = Path(__file__).with_name("events.bpf.c")
TOOL = [sys.executable, "-m", "provisioner"]
SECONDS = 10

# The processor time is what limits it: the program that sends shares the processor with the runner.
ALONE = """
object=$(ls -t "$1"/build/*/events*.o | head -1)
TIMEFORMAT='%U %S'
time "$2" --object "$object" --no-stdin --for "$3" --trigger "$4" > /dev/shm/events
tail -2 /dev/shm/events | head -1
grep -c '"type":"event"' /dev/shm/events
rm /dev/shm/events
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instance", default="default")
    parser.add_argument("--bursts", type=int, default=100)
    arguments = parser.parse_args()
    trigger = f"for i in $(seq {arguments.bursts}); do kill -0 $$; done"
    show_through_the_tool(arguments.instance, trigger)
    show_alone(arguments.instance, trigger)


def show_through_the_tool(instance: str, trigger: str) -> None:
    argv = [*TOOL, "run", str(PROGRAM), "-i", instance, "--json", "--for", str(SECONDS), "--trigger", trigger]
    report = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)
    output = report["output"]
    counts = counters(report["maps"])
    arrived = len(output["events"]) + output["left_out"].get("events", 0)
    dropped = output["lost"].get("events", 0)
    print(f"through the tool: {counts['sent']} sent, {counts['refused']} refused by a full buffer")
    print(f"  {arrived} arrived, {dropped} dropped and counted, {counts['sent'] - arrived - dropped} unknown")


def show_alone(instance: str, trigger: str) -> None:
    words = ["bash", "-c", ALONE, "alone", HOME, runner_path(), str(SECONDS), trigger]
    done = subprocess.run(
        [*TOOL, "exec", "-i", instance, "--", *words], capture_output=True, text=True, check=True
    )
    maps, decoded = done.stdout.splitlines()
    seconds = sum(map(float, done.stderr.split()[-2:]))
    counts = counters([json.loads(maps)])
    print(f"in the guest: {counts['sent']} sent, {counts['refused']} refused by a full buffer, {decoded} decoded")
    print(f"  {int(decoded) / seconds:.0f} for each second of the processor, start and end of the run included")


def counters(maps: list[dict[str, Any]]) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for item in maps for entry in item["entries"]}


if __name__ == "__main__":
    main()
