"""A refusal explained: the lines of C with a mark, the verifier's words, the rule, the value, the log's place.

The dictionaries are those of ``explanation`` in the report of a run (schema 1).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TextIO

from provisioner.ui.screen import Screen, safe

_LABELS = (("Rule", "rule"), ("Here", "range"))
_WIDTH = 6


def print_explanation(explanation: Mapping[str, Any], stream: TextIO | None = None) -> None:
    """Show an explanation by itself on ``stream`` (default: stdout), its cure last."""
    screen = Screen(stream or sys.stdout)
    show_explanation(screen, explanation)
    if explanation["fix"]:
        screen.paragraph(safe(explanation["fix"]), first=(f"{'Fix:':{_WIDTH}}", "bold cyan"), indent=2)


def print_hint(cause: str, cure: str, stream: TextIO | None = None) -> None:
    """Show what causes a failure and what cures it."""
    screen = Screen(stream or sys.stdout)
    screen.paragraph(safe(cause), first=(f"{'Why:':{_WIDTH}}", "bold"), indent=2)
    screen.paragraph(safe(cure), first=(f"{'Fix:':{_WIDTH}}", "bold cyan"), indent=2)


def show_explanation(screen: Screen, explanation: Mapping[str, Any]) -> None:
    """Everything about a refusal but its cure, which callers show as their own."""
    if explanation["file"]:
        screen.line("  ", (safe(f"{explanation['file']}:{explanation['line']}"), "bold"))
    for line in explanation["excerpt"]:
        refused = line.startswith(">")
        screen.line("  ", (safe(line), "bold red" if refused else "dim" if line.strip()[:1].isdigit() else "red"))
    for number, line in enumerate(explanation["message"].splitlines()):
        _say(screen, "" if number else "Said", line)
    for label, key in _LABELS:
        if explanation[key]:
            _say(screen, label, explanation[key])
    if explanation["instruction"]:
        instruction = explanation["instruction"]
        text = f": {instruction['text']}" if instruction["text"] else ""
        _say(screen, "At", f"instruction {instruction['number']}{text}")
    if explanation["log"]:
        screen.line("  ", (f"{'Log:':{_WIDTH}}", "bold"), safe(explanation["log"]))


def _say(screen: Screen, label: str, text: str) -> None:
    head = f"{label}:" if label else ""
    screen.paragraph(safe(text), first=(f"{head:{_WIDTH}}", "bold"), indent=2)
