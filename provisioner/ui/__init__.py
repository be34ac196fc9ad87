"""What the user sees: progress, errors, tables, the report of a run. The only package that imports rich.

Everything has a plain twin for pipes and files; rich is imported only when a terminal is there to show it on.
"""

from provisioner.ui.errors import error_as_dict, render_error
from provisioner.ui.explain import print_explanation, print_hint
from provisioner.ui.progress import make_reporter
from provisioner.ui.report import RunDisplay, SilentDisplay
from provisioner.ui.tables import print_checks, print_table, print_values

__all__ = [
    "RunDisplay",
    "SilentDisplay",
    "error_as_dict",
    "make_reporter",
    "print_checks",
    "print_explanation",
    "print_hint",
    "print_table",
    "print_values",
    "render_error",
]
