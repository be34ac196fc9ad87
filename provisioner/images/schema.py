"""A small validator for catalogue files: reads fields by name and collects every mistake."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any


class Mistakes:
    """What was wrong, each with the field it was found in; empty means false."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, field: str, problem: str) -> None:
        self._found.append(f"{field}: {problem}")

    def __len__(self) -> int:
        return len(self._found)

    def __str__(self) -> str:
        return "\n".join(self._found)

    @property
    def summary(self) -> str:
        return "1 mistake" if len(self) == 1 else f"{len(self)} mistakes"


class Section:
    """A mapping in a YAML file, read key by key; ``finish`` complains about the keys nobody asked for.

    Every reading method returns a harmless value after a mistake, so that reading goes on to find the rest.
    """

    def __init__(self, data: Any, where: str, mistakes: Mistakes) -> None:
        self._where = where
        self._mistakes = mistakes
        self._known: set[str] = set()
        self._broken = not isinstance(data, dict)
        self._data: dict[Any, Any] = data if isinstance(data, dict) else {}
        if self._broken:
            mistakes.add(where, f"must be a mapping, not {_kind(data)}")

    def __contains__(self, key: str) -> bool:
        self._known.add(key)
        return key in self._data

    def mistake(self, key: str, problem: str) -> None:
        self._mistakes.add(self._field(key), problem)

    def text(self, key: str, pattern: re.Pattern[str] | None = None) -> str:
        """A required string that is not empty and fits ``pattern`` when given."""
        value = self._required(key)
        if value is None:
            return ""
        if not isinstance(value, str) or not value.strip():
            self.mistake(key, f"must be text, not {_kind(value)}")
            return ""
        if pattern is not None and not pattern.fullmatch(value):
            self.mistake(key, f"{value!r} is not acceptable (it must match {pattern.pattern})")
            return ""
        return value

    def choice(self, key: str, values: Sequence[str]) -> str:
        """A required string out of a few."""
        value = self.text(key)
        if value and value not in values:
            self.mistake(key, f"{value!r} is none of {', '.join(values)}")
        return value

    def flag(self, key: str) -> bool:
        """A truth value that may be left out (false)."""
        value = self._data.get(key, False) if key in self else False
        if not isinstance(value, bool):
            self.mistake(key, f"must be true or false, not {_kind(value)}")
            return False
        return value

    def words(self, key: str) -> tuple[str, ...]:
        """A required list of strings without white space, such as package names."""
        value = self._required(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not value:
            self.mistake(key, f"must be a list of words, not {_kind(value)}")
            return ()
        for index, word in enumerate(value):
            if not isinstance(word, str) or not word or len(word.split()) != 1:
                self.mistake(f"{key}[{index}]", f"must be one word, not {word!r}")
        return tuple(str(word) for word in value)

    def section(self, key: str) -> Section:
        """A required mapping."""
        value = self._required(key)
        inner = Section({} if value is None else value, self._field(key), self._mistakes)
        inner._broken = inner._broken or value is None
        return inner

    def sections(self, key: str) -> list[Section]:
        """A required list of mappings; it may be empty."""
        value = self._required(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.mistake(key, f"must be a list, not {_kind(value)}")
            return []
        return [Section(item, f"{self._field(key)}[{index}]", self._mistakes) for index, item in enumerate(value)]

    def finish(self) -> None:
        """Complain about every key that is unknown."""
        for key in self._data:
            if key not in self._known:
                near = difflib.get_close_matches(str(key), self._known, n=1)
                self.mistake(str(key), "unknown key" + (f"; did you mean {near[0]}?" if near else ""))

    def _required(self, key: str) -> Any:
        # Inside something that is no mapping at all, missing keys are not worth a line each.
        if key not in self and not self._broken:
            self.mistake(key, "is missing")
        return self._data.get(key)

    def _field(self, key: str) -> str:
        joint = ": " if self._where.endswith(".yaml") else "."
        return f"{self._where}{joint}{key}"


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true/false", type(None): "nothing"}
    return "empty text" if value == "" else names.get(type(value), f"{value!r}")
