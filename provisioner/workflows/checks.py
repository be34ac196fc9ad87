"""One finding of ``doctor``: what was looked at, whether it is well, and what would make it so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """``ok`` None means that it could not be looked at.

    ``needed`` False is something one can work without. ``packages`` are what to install, by the names of the
    host's package manager, and ``commands`` what to run as root, so that it becomes well; both may be empty
    although there is a ``cure`` in words.
    """

    name: str
    ok: bool | None
    summary: str
    details: str = ""
    cure: str = ""
    needed: bool = True
    packages: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()


def all_well(checks: Iterable[Check]) -> bool:
    """Whether nothing that is needed failed."""
    return not any(check.ok is False and check.needed for check in checks)
