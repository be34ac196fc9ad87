"""Refusals and failures explained: the verifier's rules, and the symptoms of everything around it.

netgroup-polito/pretty-verifier was tried as an engine first. It prints where we need values, wants the object
and an llvm-objdump for every log, reads one message of those that a log ends with and not the registers before it,
and does not know the reports of Linux 7.3.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provisioner.bpf.explain.explanation import Explanation, explain_log
    from provisioner.bpf.explain.line_table import read_lines
    from provisioner.bpf.explain.source import find_among, find_in
    from provisioner.bpf.explain.symptoms import Hint, find_hint, hint_text

__all__ = [
    "Explanation",
    "Hint",
    "explain_log",
    "find_among",
    "find_hint",
    "find_in",
    "hint_text",
    "read_lines",
]

_MODULES = ("symptoms", "source", "line_table", "explanation")


def __getattr__(name: str) -> Any:
    """One of ``__all__``, its module imported now: most runs are not refused, and the rules take a while."""
    for module in map(_load, _MODULES if name in __all__ else ()):
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _load(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")
