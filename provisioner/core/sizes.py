"""Sizes in bytes, as people write and read them."""

from __future__ import annotations

import re

from provisioner.core.names import shown

MIB = 1 << 20
GIB = 1 << 30
_UNITS = (("T", GIB * 1024), ("G", GIB), ("M", MIB), ("K", 1024))


def parse_size(text: str) -> int:
    """Bytes of "2G", "2048M", "1.5GiB"; units are powers of 1024, as in QEMU. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?", text.strip(), re.IGNORECASE | re.ASCII)
    if match:
        scale = 1024 ** ("kmgt".index(match[2].lower()) + 1)
        return int(float(match[1]) * scale)
    if re.fullmatch(r"\d+", text.strip()):
        raise ValueError(f"{text.strip()} has no unit; write for example {text.strip()}M or 2G")
    raise ValueError(f"{shown(text)} is not a size; write for example 2G or 2048M")


def format_size(size: int) -> str:
    """A size in bytes, exactly where one decimal of a unit can say it, else rounded in the largest unit."""
    units = [(unit, scale) for unit, scale in _UNITS if size >= scale]
    exact = [(unit, scale) for unit, scale in units if size * 10 % scale == 0 and size < scale * 10_000]
    for unit, scale in exact[:1] or units[:1]:
        return f"{size / scale:.1f}".removesuffix(".0") + unit
    return f"{size}B"
