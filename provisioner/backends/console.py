"""What the guest wrote to its serial console, made readable."""

from __future__ import annotations

import re
from pathlib import Path

#: How much of a log's end is looked at when its last lines are wanted.
_TAIL_BYTES = 64 * 1024

# ECMA-48: control sequences (CSI), strings ended by BEL or ST (OSC and its like), and two-byte escapes.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_PANIC = re.compile(r"Kernel panic - not syncing.*")


def plain_text(raw: bytes) -> str:
    """Console bytes without escape sequences, carriage returns and other control characters."""
    text = raw.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def last_lines(path: Path, count: int = 20) -> str:
    """The last lines of a log that are not empty; "" when there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            raw = file.read()
    except OSError:
        return ""
    lines = [line.rstrip() for line in plain_text(raw).split("\n")]
    return "\n".join([line for line in lines if line][-count:])


class ConsoleWatch:
    """Follows a console log from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self.silent = True
        self.last_line = ""
        self.panic = ""

    def poll(self) -> None:
        """Take in what was written since; sets ``silent``, ``last_line`` and ``panic``."""
        new = self._read()
        if not new:
            return
        self.silent = False
        # The part after the last line end is looked at again with what follows it.
        text = plain_text(self._rest + new)
        self._rest = (self._rest + new).rpartition(b"\n")[2]
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        if lines:
            self.last_line = lines[-1]
        if not self.panic and (match := _PANIC.search(text)):
            self.panic = match.group().strip()

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except OSError:
            return b""
        self._offset += len(new)
        return new
