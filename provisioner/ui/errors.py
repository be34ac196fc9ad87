"""How a failure is shown: what failed, the evidence, the next step."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from provisioner.core.errors import EbpfDevError
from provisioner.ui.explain import show_explanation
from provisioner.ui.screen import Screen, safe

#: Evidence beyond this is cut in its middle: the beginning says what was done, the end what went wrong.
MAX_DETAIL_LINES = 30
_KEPT_AT_START = 8


def render_error(
    error: EbpfDevError, stream: TextIO | None = None, *, as_json: bool = False, verbose: bool = False
) -> None:
    """Show ``error`` on ``stream`` (default: stderr; stdout as JSON); ``verbose`` shows all its details."""
    if as_json:
        json.dump({"error": error_as_dict(error)}, stream or sys.stdout, indent=2)
        (stream or sys.stdout).write("\n")
        return
    screen = Screen(stream or sys.stderr)
    screen.paragraph(safe(error.brief), first=("Error: ", "bold red"), style="bold")
    explanation = getattr(error, "explanation", None)
    if explanation:
        show_explanation(screen, explanation)
    lines = [] if explanation and not verbose else error.details.rstrip().splitlines()
    for line in lines if verbose else summarised(lines):
        screen.line("  ", safe(line))
    for number, line in enumerate(error.hint.splitlines()):
        screen.paragraph(safe(line), first=("      " if number else "Hint: ", "bold cyan"))


def error_as_dict(error: EbpfDevError) -> dict[str, Any]:
    """The error as in the report of a run (schema 1); ``file`` and ``line`` are None where unknown."""
    explanation = getattr(error, "explanation", None)
    return {
        "code": error.code,
        "brief": error.brief,
        "details": error.details,
        "hint": error.hint,
        "file": getattr(error, "file", None),
        "line": getattr(error, "line", None),
        **({"explanation": explanation} if explanation else {}),
    }


def summarised(lines: list[str], limit: int = MAX_DETAIL_LINES) -> list[str]:
    """At most ``limit`` of the lines, with one that says how many were left out."""
    if len(lines) <= limit:
        return lines
    tail = limit - _KEPT_AT_START - 1
    left_out = len(lines) - _KEPT_AT_START - tail
    return [*lines[:_KEPT_AT_START], f"[{left_out} lines left out]", *lines[-tail:]]
