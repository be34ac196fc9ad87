"""One output stream: lines made of styled parts, in colour on a terminal and as bare text anywhere else."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
import unicodedata
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

Part = str | tuple[str, str]
"""A text, or a text and its style: "bold", "dim", "red", "green", "yellow", "cyan" or several of them.

Only the eight colours that every terminal theme, dark or light, maps to something readable.
"""

#: For layouts that must choose a width although nobody's terminal tells one.
PLAIN_WIDTH = 80

# Escape sequences and text direction marks: what a guest prints must not steer the terminal.
_UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Screen:
    """Writes lines to ``stream``. ``fancy`` says whether it is a terminal that understands colours."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.fancy = is_fancy(stream)
        self.unicode = _speaks_unicode(stream)
        self.ellipsis = "…" if self.unicode else "..."
        self._console: Console | None = None

    @property
    def width(self) -> int:
        """Columns to lay out for; a terminal may change them at any time."""
        return shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if self.fancy else PLAIN_WIDTH

    @property
    def console(self) -> Console:
        """The rich console of a fancy stream; it honours NO_COLOR by itself."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(file=self.stream, highlight=False, markup=False, emoji=False)
        return self._console

    def line(self, *parts: Part) -> None:
        """One line, never cut: a terminal wraps it, a file takes it whole."""
        pairs = [(part, "") if isinstance(part, str) else part for part in parts]
        pairs = [(self.encodable(text), style) for text, style in pairs]
        if not self.fancy:
            self.raw("".join(text for text, _ in pairs).rstrip())
            return
        from rich.text import Text

        self.console.print(Text.assemble(*pairs), soft_wrap=True)

    def paragraph(self, text: str, *, first: Part = "", indent: int = 0, style: str = "") -> None:
        """Text after ``first``, wrapped under itself on a terminal; piped, one line stays one line."""
        lead = first if isinstance(first, str) else first[0]
        if not self.fancy:
            self.line(" " * indent, first, text)
            return
        margin = " " * (indent + len(lead))
        for number, piece in enumerate(wrapped(self, text, indent=len(margin))):
            self.line(*([" " * indent, first] if number == 0 else [margin]), (piece, style))

    def raw(self, text: str) -> None:
        """One line exactly as it is."""
        self.stream.write(self.encodable(text) + "\n")
        self.stream.flush()

    def encodable(self, text: str) -> str:
        """The text with what the stream's encoding lacks spelled out, so that writing it cannot fail."""
        encoding = self.stream.encoding or "utf-8"
        return text.encode(encoding, "backslashreplace").decode(encoding)


def wrapped(screen: Screen, text: str, *, indent: int) -> list[str]:
    """A text as lines that fit beside an indentation; one line where nobody's terminal limits it."""
    if not screen.fancy:
        return [text]
    return textwrap.wrap(text, max(20, screen.width - indent), break_on_hyphens=False) or [""]


def is_fancy(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal on which lines can be redrawn."""
    try:
        return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    except ValueError:  # closed
        return False


def _speaks_unicode(stream: TextIO) -> bool:
    # A stream in memory has no encoding and takes any text.
    return (stream.encoding or "utf-8").lower().replace("-", "").startswith("utf")


def safe(text: str) -> str:
    """One line of foreign text with control characters spelled out, as ``\\x1b``; tabs become blanks."""
    if text.isprintable():  # nearly always, and much quicker than to look for what is not
        return text
    return _UNSAFE.sub(lambda match: _spelled(match.group()), text.expandtabs(8))


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def cells(text: str) -> int:
    """Columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_cell(character) for character in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def clipped(text: str, width: int, ellipsis: str) -> str:
    """The text in at most ``width`` columns, its end replaced by ``ellipsis`` when it is longer."""
    if cells(text) <= width:
        return text
    kept, room = [], width - cells(ellipsis)
    for character in text:
        room -= _cell(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + ellipsis if width > 0 else ""


def padded(text: str, width: int, *, right: bool = False) -> str:
    """The text filled with blanks up to ``width`` columns."""
    blanks = " " * max(0, width - cells(text))
    return blanks + text if right else text + blanks


def duration(seconds: float) -> str:
    """ "0.4 s", "12 s", "2 min 16 s", "1 h 02 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def byte_pair(done: float, total: float = 0) -> str:
    """ "15.4/320.0 MB", or "15.4 MB" of an unknown total; decimal units, as download sizes are given."""
    largest = max(done, total)
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if largest >= scale:
            amounts = [done, total] if total else [done]
            return "/".join(f"{amount / scale:.1f}" for amount in amounts) + f" {unit}"
    return (f"{done:.0f}/{total:.0f}" if total else f"{done:.0f}") + " B"
