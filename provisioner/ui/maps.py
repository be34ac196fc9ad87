"""Maps and global variables: histograms where the numbers are one, else tables; and what changes in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner.ui.charts import bar_lines, log2_rows
from provisioner.ui.events import stack_lines
from provisioner.ui.screen import Part, Screen, clipped, safe
from provisioner.ui.tables import table_lines
from provisioner.ui.values import NOTHING_SHOWN, Shown, joined, stacks, value_text

MapReport = Mapping[str, Any]
Lines = Iterator[list[Part]]

MAX_ROWS = 10
_MAX_FIELDS = 6
#: As in the tools of BCC and libbpf-tools: a log2 histogram has a slot for each bit of its values, up to 64.
_MAX_SLOTS = 64
_HISTOGRAM_NAME = re.compile(r"hist|slots|latency", re.IGNORECASE)
# Constants that the compiler or the kernel put there; what a program counts is elsewhere.
_CONSTANTS = (".rodata", ".kconfig")


def map_lines(screen: Screen, report: MapReport) -> Lines:
    """A map with its title; nothing for a map of constants and for one that cannot be listed."""
    name, entries = str(report["name"]), list(report.get("entries") or ())
    if name.startswith(_CONSTANTS) or not entries:
        return
    if name.startswith("."):
        yield from _variables(screen, name, entries)
        return
    yield _title(report, entries)
    slots = _as_slots(name, entries)
    if slots is not None:
        yield from histogram_lines(screen, slots)
    elif all(_inner_slots(entry["value"]) for entry in entries):
        yield from _keyed_histograms(screen, entries)
    elif any(True for entry in entries for _ in stacks(_shown(entry))):
        yield from _stacked(screen, report, entries)
    else:
        yield from _table(screen, report, entries)


def change_lines(screen: Screen, change: MapReport) -> Lines:
    """A line for each entry that has changed; histograms are drawn at the end only."""
    name, entries = str(change["map"]), list(change["entries"])
    if _HISTOGRAM_NAME.search(name) and _as_slots(name, entries) is not None:
        return
    for entry in entries:
        if _is_slots(entry) or _inner_slots(entry["value"]):
            continue
        shown = _shown(entry)
        key, value = value_text(entry["key"], shown, "key"), value_text(entry["value"], shown, "value")
        title = "" if name.startswith(".") else f"{safe(name)}  "
        room = screen.width - len(title) - 1
        text = f"{key}  {value}" if not screen.fancy else clipped(f"{key}  {value}", room, screen.ellipsis)
        yield [(title, "dim"), text]
    if change.get("more"):
        yield [(f"{safe(name)}  and {change['more']} more", "dim")]


def histogram_lines(screen: Screen, slots: Sequence[int]) -> Lines:
    """A log2 histogram as bars; one line that says so when nothing was counted."""
    rows = log2_rows(slots)
    if rows:
        yield from bar_lines(screen, rows, indent=2)
    else:
        yield [("  nothing was counted", "dim")]


def _title(report: MapReport, entries: Sequence[Any]) -> list[Part]:
    count = len(entries) + int(report.get("truncated") or 0) + int(report.get("zeros") or 0)
    what = "entry" if count == 1 else "entries"
    return [(safe(str(report["name"])), "bold"), (f"  {report.get('type', 'map')}, {count} {what}", "dim")]


def _table(screen: Screen, report: MapReport, entries: list[Any]) -> Lines:
    shown = _sorted(str(report.get("type")), entries)[:MAX_ROWS]
    columns, rows = _columns(shown)
    yield from table_lines(screen, columns, rows, indent=2)
    remarks = (
        (len(entries) - len(shown), "more with --json"),
        (report.get("truncated"), "more that were not read"),
        (report.get("zeros"), "more that are zero"),
    )
    for count, words in remarks:
        if count:
            yield [(f"  {count} {words}", "dim")]


def _stacked(screen: Screen, report: MapReport, entries: list[Any]) -> Lines:
    """Entries whose readings have stacks: each in a line, the frames below."""
    shown = _sorted(str(report.get("type")), entries)[:MAX_ROWS]
    for entry in shown:
        readings = _shown(entry)
        key, value = value_text(entry["key"], readings, "key"), value_text(entry["value"], readings, "value")
        yield [f"  {clipped(f'{value}  {key}', screen.width - 3, screen.ellipsis)}"]
        yield from stack_lines(readings, indent=6)
    if len(entries) > len(shown):
        yield [(f"  {len(entries) - len(shown)} more with --json", "dim")]


def _shown(entry: Mapping[str, Any]) -> Shown:
    return entry.get("shown") or NOTHING_SHOWN


def _sorted(kind: str, entries: list[Any]) -> list[Any]:
    """Counters of a hash with the largest first, as it has no order of its own; anything else as it comes."""
    if "hash" in kind and all(_is_int(entry["value"]) for entry in entries):
        return sorted(entries, key=lambda entry: -int(entry["value"]))
    return entries


def _columns(entries: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    """Column names and cells; a struct that all entries share gives a column for each of its fields."""
    parts = [_fields("key", entries), _fields("value", entries)]
    if sum(len(names) for names, _ in parts) > _MAX_FIELDS:
        parts = [_whole("key", entries), _whole("value", entries)]
    names = parts[0][0] + parts[1][0]
    return names, [[*key, *value] for key, value in zip(parts[0][1], parts[1][1], strict=True)]


def _fields(part: str, entries: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    values = [entry[part] for entry in entries]
    first = values[0]
    if not isinstance(first, Mapping) or any(part in _shown(entry) for entry in entries):
        return _whole(part, entries)
    if not all(isinstance(value, Mapping) and value.keys() == first.keys() for value in values):
        return _whole(part, entries)
    return list(first), [
        [value_text(value, _shown(entry), joined(part, name)) for name, value in entry[part].items()]
        for entry in entries
    ]


def _whole(part: str, entries: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    return [part], [[value_text(entry[part], _shown(entry), part)] for entry in entries]


def _variables(screen: Screen, section: str, entries: Sequence[Any]) -> Lines:
    yield [("global variables", "bold"), (f"  {section}", "dim")]
    plain = [entry for entry in entries if not _is_slots(entry)]
    for entry in entries:
        if _is_slots(entry):
            yield [f"  {safe(str(entry['key']))}"]
            yield from histogram_lines(screen, entry["value"])
    rows = [[str(entry["key"]), value_text(entry["value"], _shown(entry), "value")] for entry in plain]
    yield from table_lines(screen, ["variable", "value"], rows, indent=2) if rows else []


def _keyed_histograms(screen: Screen, entries: Sequence[Any]) -> Lines:
    for entry in entries[:MAX_ROWS]:
        rest = {name: item for name, item in entry["value"].items() if name != "slots"}
        yield [f"  {value_text(entry['key'], _shown(entry), 'key')}  {value_text(rest)}".rstrip()]
        yield from histogram_lines(screen, _inner_slots(entry["value"]) or ())
    if len(entries) > MAX_ROWS:
        yield [(f"  {len(entries) - MAX_ROWS} more with --json", "dim")]


def _as_slots(name: str, entries: Sequence[Any]) -> list[int] | None:
    """The counts of a map that is a histogram by its name and its small whole keys; zeros were left out."""
    if not _HISTOGRAM_NAME.search(name):
        return None
    pairs = [(entry["key"], entry["value"]) for entry in entries]
    if not all(_is_int(key) and 0 <= key < _MAX_SLOTS and _is_int(value) for key, value in pairs):
        return None
    counts = dict(pairs)
    return [counts.get(at, 0) for at in range(max(counts) + 1)]


def _is_slots(entry: Mapping[str, Any]) -> bool:
    return bool(_HISTOGRAM_NAME.search(str(entry["key"]))) and _is_int_list(entry["value"])


def _inner_slots(value: object) -> list[int] | None:
    slots = value.get("slots") if isinstance(value, Mapping) else None
    return slots if _is_int_list(slots) else None


def _is_int_list(value: object) -> bool:
    return isinstance(value, list) and 1 < len(value) <= _MAX_SLOTS and all(map(_is_int, value))


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
