"""The C around a refused line: found by the names that a log gives, shown with a mark."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from provisioner.bpf.explain.verifier_log import Source

#: Lines shown before and after the one refused.
_AROUND = 2

FindFile = Callable[[Source], "Path | None"]


def find_among(files: Iterable[Path]) -> FindFile:
    """A finder that knows ``files``: a log names a file without its directory, so the line's text decides."""
    known = list(files)

    def find(source: Source) -> Path | None:
        name = Path(source.file or "").name
        named = (path for path in known if path.name == name)
        return next((path for path in named if _line(path, source.line) == source.text.strip()), None)

    return find


def find_in(directories: Iterable[Path]) -> FindFile:
    """A finder that looks where the log or the object says, and in ``directories``."""
    places = list(directories)

    def find(source: Source) -> Path | None:
        if not source.file:
            return None
        name = Path(source.file)
        return find_among([name, *(place / name.name for place in places)])(source)

    return find


def _line(path: Path, number: int | None) -> str | None:
    lines = _lines(path)
    return lines[number - 1].strip() if number and 0 < number <= len(lines) else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def excerpt(source: Source, path: Path | None) -> list[str]:
    """The refused line with its neighbours and a mark; the line alone when its file is not at hand."""
    if not path or not source.line:
        return [f"> {source.line or ''} | {source.text}"]
    lines = _lines(path)
    first = max(1, source.line - _AROUND)
    last = min(len(lines), source.line + _AROUND)
    width = len(str(last))
    shown = []
    for number in range(first, last + 1):
        text = lines[number - 1].expandtabs(8)
        shown.append(f"{'>' if number == source.line else ' '} {number:>{width}} | {text}".rstrip())
        if number == source.line and source.column:
            shown.append(f"  {'':>{width}} | {_caret(lines[number - 1], source.column)}")
    return shown


def _caret(line: str, column: int) -> str:
    return " " * len(line[: column - 1].expandtabs(8)) + "^"
