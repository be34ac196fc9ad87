"""Run programs that others wrote, and print how far each of them comes.

    python tests/corpus/corpus.py TABLE.tsv SOURCES [-i INSTANCE] [--for SECONDS] [--jobs N] [--reports DIR]
                                  [--only TEXT ...]

TABLE has a header line and tab-separated columns: repo, path, expected_class, and optionally options (words for
`ebpf-dev run`, for class B) and expected_output, where "trace_pipe" asks for a line of bpf_printk; others are
ignored. `table.py` beside this file makes one. SOURCES holds one work tree a repository, `OWNER/NAME` or
`OWNER+NAME`. The instance must be running.

Classes: A runs with no option, B with one natural option, C runs or its refusal is explained, N is refused with
the right explanation.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

STEPS = ("built", "loaded", "attached", "seen", "decoded")
#: Seconds for one program, its companion's build on an emulated processor included.
LIMIT = 400


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    repo: str
    path: str
    wanted: str
    options: tuple[str, ...] = ()
    output: str = ""

    def file(self, sources: Path) -> Path:
        for name in (self.repo, self.repo.replace("/", "+")):
            if (sources / name).is_dir():
                return sources / name / self.path
        raise SystemExit(f"{sources} has no work tree of {self.repo}")


@dataclass(frozen=True)
class Outcome:
    """What one report proves. ``explained`` is about a refusal: it says where and what to do."""

    built: bool
    loaded: bool
    attached: bool
    seen: bool
    decoded: bool
    explained: bool
    note: str = ""
    seconds: float = 0.0
    report: dict[str, Any] = field(default_factory=dict, repr=False)

    def reaches(self, wanted: str) -> bool:
        runs = all(getattr(self, step) for step in STEPS)
        if wanted == "N":
            return not runs and self.explained
        return runs or (wanted == "C" and self.explained)


def judge(report: dict[str, Any], wanted_output: str = "") -> Outcome:
    """Read an outcome from a report of ``run --json`` alone.

    A companion that ends well has loaded and attached its programs. What it prints is output once it holds a
    number: a greeting and the head of a table do not.
    """
    error = report["error"]
    stages = {stage["name"]: stage["ok"] for stage in report["stages"]}
    companion = report["output"]["companion"]
    states = Counter(program["state"] for program in report["programs"])
    by_companion = bool(companion) and "load" not in stages and stages.get("run", False)
    loaded = by_companion or stages.get("load", False)
    seen = (by_companion and any(map(_tells, companion))) or _seen(report)
    if "trace_pipe" in wanted_output:
        seen = bool(report["output"]["printk"])
    return Outcome(
        built=loaded or "load" in stages or stages.get("build", False),
        loaded=loaded,
        attached=by_companion or (states["attached"] > 0 and not states["failed"]),
        seen=seen,
        decoded=seen and not _undecoded(report),
        explained=bool(error and _is_about_program(error) and (error["details"] or error["hint"])),
        note=f"{error['code']}: {error['brief']}" if error else "; ".join(report.get("notes", [])[:1]),
        report=report,
    )


def _is_about_program(error: dict[str, Any]) -> bool:
    """A guest that does not answer explains nothing about the program."""
    return not error["code"].startswith(("guest-", "instance-", "runner-", "not-running"))


def _tells(line: str) -> bool:
    return not line.startswith("libbpf:") and any(character.isdigit() for character in line)


def _seen(report: dict[str, Any]) -> bool:
    output = report["output"]
    said = output["printk"] or output["events"] or any(_texts(report))
    counted = any(program["verdicts"] for program in report["programs"])
    return bool(said or counted or any(_changed_maps(report)))


def _texts(report: dict[str, Any]) -> Iterator[object]:
    for iterator in report["iterators"]:
        yield from (iterator[key] for key in ("text", "records", "hex") if iterator.get(key))


def _changed_maps(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for found in report["maps"]:
        if found["name"] != ".rodata" and any(_is_more_than_zero(entry["value"]) for entry in found["entries"]):
            yield found


def _is_more_than_zero(value: object) -> bool:
    if isinstance(value, dict):
        return any(_is_more_than_zero(item) for item in value.values())
    if isinstance(value, list):
        return any(_is_more_than_zero(item) for item in value)
    return bool(value) and not (isinstance(value, str) and set(value) <= set("0x "))


def _undecoded(report: dict[str, Any]) -> bool:
    return any("hex" in item for item in (*report["output"]["events"], *report["iterators"]))


def run_case(case: Case, sources: Path, instance: str, seconds: float) -> Outcome:
    """Run one program through the command line, as a user would, and judge its report."""
    start = time.monotonic()
    outcome = _run(case, sources, instance, seconds)
    return replace(outcome, seconds=time.monotonic() - start)


def _run(case: Case, sources: Path, instance: str, seconds: float) -> Outcome:
    argv = [sys.executable, "-m", "provisioner", "run", str(case.file(sources)), "-i", instance, "--json"]
    argv += ["--for", f"{seconds:g}", *case.options]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=LIMIT, stdin=subprocess.DEVNULL,
            check=False, env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        report = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return Outcome(False, False, False, False, False, False, f"no end after {LIMIT} s")
    except ValueError:
        words = done.stderr.strip().splitlines()
        return Outcome(False, False, False, False, False, False, f"no report: {' '.join(words[-2:])}")
    return judge(report, case.output)


def read_table(path: Path) -> list[Case]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Case(
            row["repo"],
            row["path"],
            row["expected_class"],
            tuple(shlex.split(row.get("options") or "")),
            row.get("expected_output") or "",
        )
        for row in rows
    ]


def print_case(case: Case, outcome: Outcome) -> None:
    marks = " ".join(step if getattr(outcome, step) else "-" * len(step) for step in STEPS)
    verdict = "ok  " if outcome.reaches(case.wanted) else "MISS"
    name = f"{case.repo.split('/')[1]}/{case.path}"
    print(f"{verdict} {case.wanted} {marks} {outcome.seconds:4.0f} s {name}  {outcome.note}", flush=True)


def keep_report(case: Case, outcome: Outcome, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{case.repo}/{case.path}.json".replace("/", "+")
    path.write_text(json.dumps(outcome.report, indent=1))


def print_totals(outcomes: list[tuple[Case, Outcome]]) -> None:
    count = len(outcomes)
    for step in STEPS:
        reached = sum(getattr(outcome, step) for _, outcome in outcomes)
        print(f"{step:9} {reached:4} of {count}  {100 * reached / count:5.1f} %")
    for wanted in sorted({case.wanted for case, _ in outcomes}):
        group = [outcome for case, outcome in outcomes if case.wanted == wanted]
        print(f"class {wanted}   {sum(outcome.reaches(wanted) for outcome in group):4} of {len(group)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("sources", type=Path)
    parser.add_argument("-i", "--instance", default="default")
    parser.add_argument("--for", dest="seconds", type=float, default=6.0)
    parser.add_argument(
        "--jobs", type=int, default=1, help="so many at once, which then see each other's activity"
    )
    parser.add_argument("--reports", type=Path, help="keep every report here, as REPO+PATH.json")
    parser.add_argument("--only", action="append", default=[], help="only paths that have this in them")
    arguments = parser.parse_args()
    cases = [case for case in read_table(arguments.table) if _is_chosen(case, arguments.only)]
    outcomes = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        run = partial(run_case, sources=arguments.sources, instance=arguments.instance, seconds=arguments.seconds)
        for case, outcome in zip(cases, pool.map(run, cases), strict=True):
            outcomes.append((case, outcome))
            print_case(case, outcome)
            if arguments.reports:
                keep_report(case, outcome, arguments.reports)
    if outcomes:
        print_totals(outcomes)


def _is_chosen(case: Case, only: list[str]) -> bool:
    return not only or any(text in f"{case.repo}/{case.path}" for text in only)


if __name__ == "__main__":
    main()
