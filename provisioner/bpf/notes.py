"""Why a run that went well may still have shown nothing, from its report alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

#: Names of global variables that programs compare with before they say anything. libbpf-bootstrap, bcc's
#: libbpf-tools and bpf-developer-tutorial all leave them at 0 for their own loader to set.
_FILTER = re.compile(r"(?:^|_)(?:pid|tgid|tid|ppid|uid|gid|comm|port|ifindex|cgroup|cgid|dev|inode?)(?:_|$)")
_RESULT = re.compile(r"(?:^|_)(?:count|counts|cnt|num|nr|total|last|seen)(?:_|$)")


def find_notes(report: Mapping[str, Any]) -> list[str]:
    """Sentences about programs of ``report`` (schema 1) that did not run or said nothing; usually none."""
    counted = [item for item in report["programs"] if item["run_count"] is not None]
    if not counted or _said_something(report):
        return []
    if not any(item["run_count"] for item in counted):
        return [_never_ran(counted)]
    if any(_has_content(item) for item in report["maps"]):
        return []
    causes = [*_filters(report["maps"]), *_empty_maps(report["maps"])]
    if causes or not any(item["verdicts"] for item in counted):
        return [_ran_silently(counted), *causes]
    return []


def _never_ran(programs: Sequence[Mapping[str, Any]]) -> str:
    names = _listed([item["name"] for item in programs])
    return f"Nothing in the guest set off {names}. --trigger 'COMMAND' runs a command there that does."


def _ran_silently(programs: Sequence[Mapping[str, Any]]) -> str:
    ran = [item for item in programs if item["run_count"]]
    total = sum(item["run_count"] for item in ran)
    times = "once" if total == 1 else f"{total} times"
    return f"{_listed([item['name'] for item in ran])} ran {times} and neither printed, sent nor counted anything."


def _listed(names: Sequence[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _said_something(report: Mapping[str, Any]) -> bool:
    output = report["output"]
    return bool(report["iterators"]) or any(output[kind] for kind in ("printk", "events", "companion", "lost"))


def _has_content(item: Mapping[str, Any]) -> bool:
    """Whether a program wrote there; .data and .rodata begin with values of their own."""
    if item["name"].startswith(".") and not item["name"].startswith(".bss"):
        return False
    counts_places = item["type"].endswith("array") or item["name"].startswith(".")
    return any(not counts_places or not _is_zero(entry["value"]) for entry in item["entries"])


def _is_zero(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_zero, value.values()))
    if isinstance(value, list):
        return all(map(_is_zero, value))
    return value in (0, "", None, "0x0000000000000000")


def _filters(maps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for section in maps:
        for entry in section["entries"] if section["name"].startswith(".") else ():
            name = str(entry["key"])
            if _FILTER.search(name) and not _RESULT.search(name) and _is_zero(entry["value"]):
                yield _filter_note(name, entry["value"])


def _filter_note(name: str, value: object) -> str:
    nothing = "empty" if value == "" else "0"
    return f"{name} is {nothing}; if it is a filter, --set {name}=VALUE lets something through."


def _empty_maps(maps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for item in maps:
        if item.get("only_read") and not item["entries"]:
            name = item["name"]
            yield f"The map {name} is empty and no program fills it: --map {name} KEY=VALUE adds an entry."
