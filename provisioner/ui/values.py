"""Decoded values in one line of text. Pure: what the runner decoded in, text out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.ui.screen import safe

Shown = Mapping[str, Any]
"""Better readings of some values by their path: ``{"key.saddr": "192.0.2.1", "kstack": ["vfs_read+0x1a"]}``."""

NOTHING_SHOWN: Shown = {}


def value_text(value: object, shown: Shown = NOTHING_SHOWN, path: str = "") -> str:
    """A decoded value in one line: ``5``, ``text``, ``a=1 b=2``, ``[1, 2]``; ``path`` is its own in ``shown``."""
    reading = shown.get(path) if shown else None
    if isinstance(reading, str):
        return safe(reading)
    if isinstance(reading, list):
        return f"{len(reading)} frame{'s' * (len(reading) != 1)}"
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, Mapping):
        return " ".join(
            f"{safe(name)}={nested_text(item, shown, joined(path, name))}" for name, item in value.items()
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(nested_text(item) for item in value) + "]"
    return json.dumps(value)


def nested_text(value: object, shown: Shown = NOTHING_SHOWN, path: str = "") -> str:
    """The same for a value beside others: a struct is in braces."""
    text = value_text(value, shown, path)
    return f"{{{text}}}" if isinstance(value, Mapping) and path not in shown else text


def joined(path: str, name: str) -> str:
    """The path of a field below ``path``."""
    return f"{path}.{name}" if path else name


def stacks(shown: Shown) -> Iterator[tuple[str, list[str]]]:
    """The stacks among the readings, by path, innermost frame first."""
    for path, reading in shown.items():
        if isinstance(reading, list):
            yield path, [safe(str(frame)) for frame in reading]


def hex_lines(text: str) -> list[str]:
    """Bytes given as hex, 16 a line, with those that are ASCII characters behind them."""
    data = bytes.fromhex(text)
    rows = [data[at : at + 16] for at in range(0, len(data), 16)]
    width = 47 if len(rows) > 1 else 0
    return [f"{row.hex(' '):{width}}  {_ascii(row)}" for row in rows]


def bytes_text(text: str) -> str:
    """Bytes given as hex: as a text when they are one, else as they are."""
    data = bytes.fromhex(text)
    characters = data.rstrip(b"\0")
    if characters and _ascii(characters) == characters.decode("latin-1"):
        return f'"{characters.decode("ascii")}"'
    return data.hex(" ")


def _ascii(data: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
