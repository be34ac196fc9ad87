"""Files that an editor saves, looked at again and again.

A program has a handful of files, and looking at one takes a microsecond. Libraries that let the system tell them
(watchfiles, watchdog) bring compiled code, differ between Linux and macOS, hear nothing of network file systems,
and have to watch whole directories, because most editors put another file in the place of the one that is saved.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

#: What tells one state of a file from another: when it was written, its size, and which file it is.
_Look = tuple[int, int, int]


class Saves:
    """Says which of some files were saved. Their directories count as well: a file may be missing as yet."""

    def __init__(self, files: Iterable[Path] = ()) -> None:
        self._seen: dict[Path, _Look | None] = {}
        self._settling: dict[Path, _Look | None] | None = None
        self.follow(files)

    def follow(self, files: Iterable[Path]) -> None:
        """From now on these; what was saved before and has not been told yet is not forgotten."""
        files = list(files)
        wanted = dict.fromkeys([*files, *(file.parent for file in files)])
        self._seen = {path: self._seen[path] if path in self._seen else _look(path) for path in wanted}

    def poll(self) -> list[Path]:
        """What was saved since the last time, once it has come to rest: the same at two looks.

        So an editor that writes in pieces, or removes the old file before the new one is there, is waited for.
        """
        now = {path: _look(path) for path in self._seen}
        if now == self._seen or now != self._settling:
            self._settling = now
            return []
        changed = [path for path, look in now.items() if look != self._seen[path]]
        self._seen, self._settling = now, None
        return changed


def _look(path: Path) -> _Look | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
