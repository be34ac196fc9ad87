"""The examples that travel with the tool: ``examples/NAME/example.yaml``, read, checked, turned into values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.core.errors import UsageError
from provisioner.core.resources import data_dir

_RECORD = "example.yaml"


@dataclass(frozen=True)
class Example:
    """One example: ``source`` is what ``ebpf-dev run NAME`` builds, ``directory`` holds it and its README.

    ``trigger`` are shell commands for the guest that make the program say something, ``seconds`` how long
    a run needs to show it all (on an emulated processor), and each regular expression of ``expect`` must be
    found in at least one of the run's ``output_lines``.
    """

    name: str
    title: str
    directory: Path
    source: Path
    trigger: tuple[str, ...]
    seconds: float
    expect: tuple[str, ...]


def load_examples(directory: Path | None = None) -> dict[str, Example]:
    """All examples by name, in alphabetical order; ``directory`` replaces the folder that was shipped.

    Raises UsageError("example-invalid") naming every mistake of the first wrong one.
    """
    return {name: _load(path) for name, path in _records(directory).items()}


def find_example(name: str, directory: Path | None = None) -> Example | None:
    """The example called ``name``, reading no other; raises UsageError("example-invalid")."""
    path = _records(directory).get(name)
    return _load(path) if path else None


def output_lines(report: Mapping[str, Any]) -> list[str]:
    """What a run's report (schema 1) shows, a line each: text as it was, events and maps as JSON."""
    output = report.get("output", {})
    lines = [*output.get("printk", []), *output.get("companion", [])]
    return lines + [json.dumps(value) for value in [*output.get("events", []), *report.get("maps", [])]]


def find_missing(example: Example, report: Mapping[str, Any]) -> list[str]:
    """The expectations of ``example`` that nothing in ``report`` meets; empty when all is well."""
    lines = output_lines(report)
    return [pattern for pattern in example.expect if not any(re.search(pattern, line) for line in lines)]


def _records(directory: Path | None) -> dict[str, Path]:
    # Looked up by listing, never by joining: a name is the user's and may hold "/" or "..".
    paths = (directory or data_dir("examples")).glob(f"*/{_RECORD}")
    return {path.parent.name: path for path in sorted(paths)}


def _load(path: Path) -> Example:
    data = _read(path)
    mistakes = _find_mistakes(data, path.parent)
    if mistakes:
        raise _invalid(path, "\n".join(mistakes))
    return Example(
        name=path.parent.name,
        title=data["title"],
        directory=path.parent,
        source=path.parent / data["file"],
        trigger=tuple(data.get("trigger", ())),
        seconds=float(data["seconds"]),
        expect=tuple(data["expect"]),
    )


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as exc:
        raise _invalid(path, str(exc)) from exc
    if not isinstance(data, dict):
        raise _invalid(path, "must be a mapping")
    return data


def _invalid(path: Path, details: str) -> UsageError:
    return UsageError(
        f"The example {path.parent.name} is not usable: {path}",
        code="example-invalid",
        details=details,
        hint="Undo your changes to this file, or install the tool again.",
    )


def _find_mistakes(data: dict[str, Any], directory: Path) -> list[str]:
    """Every mistake, by key; a key that is unknown or missing is one too."""
    unknown = [f"{key}: unknown key" for key in data if key not in _RULES]
    missing = [f"{key}: missing" for key in _RULES if key not in data and key not in _OPTIONAL]
    wrong = [
        f"{key}: must be {rule.wanted}, not {data[key]!r}"
        for key, rule in _RULES.items()
        if key in data and not rule.check(data[key])
    ]
    if not wrong and "file" in data and not (directory / data["file"]).is_file():
        wrong.append(f"file: {data['file']} is not in {directory}")
    return unknown + missing + wrong


def _is_source(value: object) -> bool:
    return isinstance(value, str) and value.endswith(".c") and Path(value).name == value


def _is_title(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\n" not in value


def _is_duration(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value)


def _are_regexes(value: object) -> bool:
    if not isinstance(value, list) or not value or not _are_texts(value):
        return False
    try:
        return all(re.compile(item) for item in value)
    except re.error:
        return False


@dataclass(frozen=True)
class _Rule:
    wanted: str
    check: Callable[[object], bool]


_RULES = {
    "file": _Rule("the name of a C file in the same folder", _is_source),
    "title": _Rule("one line of text", _is_title),
    "trigger": _Rule("a list of shell commands", _are_texts),
    "seconds": _Rule("a number above 0", _is_duration),
    "expect": _Rule("a list of regular expressions, at least one", _are_regexes),
}
_OPTIONAL = {"trigger"}
