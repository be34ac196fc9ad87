"""C source as text: what can be told about it without a compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_TOKEN = re.compile(r'/\*.*?\*/|//(?:\\\n|[^\n])*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.MULTILINE)
_LICENSE = re.compile(r'SEC\s*\(\s*"license"\s*\)|section\s*\(\s*"license"\s*\)')
_MACRO = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)\(([^)]*)\)((?:\\\n|[^\n])*)", re.MULTILINE)
#: Macros that use macros are followed so far.
_MACRO_DEPTH = 4
#: They may stand before a function's name, and look like one.
_ATTRIBUTE = re.compile(r"\bSEC\s*\([^()]*\)|\b__attribute__\s*\(\([^;{}]*?\)\)")
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


def expand_macros(text: str, names: Sequence[str]) -> str:
    """``text`` with macros of parameters expanded if they mention one of ``names``, also by another macro.

    >>> expand_macros("#define SEND(m) out(&m)\\nint f() { SEND(rb); }", ["out"])
    '\\nint f() { out(&rb); }'
    """
    macros = {match[1]: (_words(match[2]), match[3].replace("\\\n", " ")) for match in _MACRO.finditer(text)}
    wanted = set(names)
    for _ in range(_MACRO_DEPTH):
        wanted |= {name for name, (_, body) in macros.items() if wanted.intersection(_words(body))}
    macros = {name: macro for name, macro in macros.items() if name in wanted}
    if not macros:
        return text
    text = _MACRO.sub(lambda match: "" if match[1] in macros else match[0], text)
    for _ in range(_MACRO_DEPTH):
        text = _expand_once(text, macros)
    return text


def _expand_once(text: str, macros: dict[str, tuple[list[str], str]]) -> str:
    pieces, at = [], 0
    for match in re.finditer(rf"\b({'|'.join(macros)})\s*\(", text):
        given = arguments(text, match.end())
        if match.start() < at or not given:
            continue
        pieces += [text[at : match.start()], _with_arguments(*macros[match[1]], given)]
        at = _closing(text, match.end(), "()")
    return "".join((*pieces, text[at:]))


def _with_arguments(parameters: list[str], body: str, given: list[str]) -> str:
    values = dict(zip(parameters, given, strict=False))
    body = re.sub(r"\b\w+\b", lambda match: values.get(match[0], match[0]), body)
    return re.sub(r"\s*##\s*", "", body).strip()


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


#: A function's name, its parameters, and where parameters begin and the body ends.
Function = tuple[str, str, int, int]


def functions(text: str) -> Iterator[Function]:
    """Each function at file level.

    For ``BPF_PROG(name, ...)`` and its like the name is the macro's.
    """
    end = 0
    text = _ATTRIBUTE.sub(lambda match: " " * len(match[0]), text)
    for match in _DEFINITION.finditer(text):
        if match.start() < end:
            continue
        end = _closing(text, match.end(), "{}")
        yield match[1], match[2], match.start(2), end


def _closing(text: str, start: int, pair: str) -> int:
    depth = 1
    for match in re.compile(f"[{pair}]").finditer(text, start):
        depth += 1 if match[0] == pair[0] else -1
        if depth == 0:
            return match.end()
    return len(text)
