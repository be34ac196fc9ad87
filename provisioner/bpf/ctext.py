"""C source as text: what can be told about it without a compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(r'/\*.*?\*/|//(?:\\\n|[^\n])*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.MULTILINE)
_LICENSE = re.compile(r'SEC\s*\(\s*"license"\s*\)|section\s*\(\s*"license"\s*\)')
_DEFINITION = re.compile(r"\b(\w+)\s*\(([^{};]*?)\)\s*\{")


def without_comments(text: str, *, keep_strings: bool = True) -> str:
    """``text`` with comments blanked (and what string literals hold, unless kept); line numbers stay."""

    def blank(match: re.Match[str]) -> str:
        token = match[0]
        if token[0] in "\"'":
            return token if keep_strings else token[0] * 2
        return " " + "\n" * token.count("\n")

    return _TOKEN.sub(blank, text)


def includes(text: str) -> list[tuple[bool, str]]:
    """Each #include in order: whether it is the form with quotes, and the name.

    >>> includes('#include <a.h>\\n  # include "b/c.h"')
    [(False, 'a.h'), (True, 'b/c.h')]
    """
    return [(quote == '"', name) for quote, name in _INCLUDE.findall(text)]


def has_license(text: str) -> bool:
    """Whether some variable of the program goes into the section "license"."""
    return bool(_LICENSE.search(without_comments(text)))


def calls(text: str, name: str) -> bool:
    """Whether ``name`` is called; a declaration looks the same, a definition of one's own does not count."""
    return bool(re.search(rf"\b{name}\s*\(", text)) and not defines(text, name)


def defines(text: str, name: str) -> bool:
    """Whether ``text`` defines a function or macro called ``name``."""
    macro = re.search(rf"#[ \t]*define[ \t]+{name}\b", text)
    return bool(macro) or any(match[1] == name for match in _DEFINITION.finditer(text))


def arguments(text: str, start: int) -> list[str]:
    """The arguments of a call, ``start`` being just behind its opening parenthesis; [] when it never closes.

    >>> arguments("f(&a, g(b, c), sizeof(d));", 2)
    ['&a', 'g(b, c)', 'sizeof(d)']
    """
    found, depth, begin = [], 0, start
    for at in range(start, len(text)):
        character = text[at]
        if character in "([{":
            depth += 1
        elif character in ")]}":
            if depth == 0:
                found.append(text[begin:at].strip())
                return found
            depth -= 1
        elif character == "," and depth == 0:
            found.append(text[begin:at].strip())
            begin = at + 1
    return []


def functions(text: str) -> Iterator[tuple[str, str, int, int]]:
    """Each function at file level: its name, its parameters, and where parameters begin and the body ends.

    For ``BPF_PROG(name, ...)`` and its like the name is the macro's.
    """
    end = 0
    for match in _DEFINITION.finditer(text):
        if match.start() < end:
            continue
        end = _closing_brace(text, match.end())
        yield match[1], match[2], match.start(2), end


def _closing_brace(text: str, start: int) -> int:
    depth = 1
    for match in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.end()
    return len(text)
