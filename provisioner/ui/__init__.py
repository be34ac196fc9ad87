"""What the user sees: progress, errors, tables, the report of a run. The only package that imports rich.

Everything has a plain twin for pipes and files; rich is imported only when a terminal is there to show it on.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provisioner.ui.errors import error_as_dict, render_error
    from provisioner.ui.explain import print_explanation, print_hint
    from provisioner.ui.progress import make_reporter
    from provisioner.ui.report import RunDisplay, SilentDisplay
    from provisioner.ui.tables import print_checks, print_table, print_values
    from provisioner.ui.watch import WatchDisplay, WatchLines

__all__ = [
    "RunDisplay",
    "SilentDisplay",
    "WatchDisplay",
    "WatchLines",
    "error_as_dict",
    "make_reporter",
    "print_checks",
    "print_explanation",
    "print_hint",
    "print_table",
    "print_values",
    "render_error",
]

_MODULES = ("progress", "errors", "tables", "explain", "report", "watch")


def __getattr__(name: str) -> Any:
    """One of ``__all__``, its module imported now: to show a run takes a lot that `up` has no use for."""
    for module in map(_load, _MODULES if name in __all__ else ()):
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _load(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")
