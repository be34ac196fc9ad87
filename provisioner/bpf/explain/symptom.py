"""One symptom: a message that compiler, libbpf or kernel print, with cause and cure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Symptom:
    """``cause`` and ``cure`` may name groups of ``pattern`` in braces; ``code`` names it in reports and tests.

    In a table of them the first match wins, so that what is special stands before what is general.
    """

    code: str
    pattern: str
    cause: str
    cure: str
