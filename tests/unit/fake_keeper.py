"""A guest as far as its keeper goes: two FIFOs, held open as a hypervisor does, and a thread that answers."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class FakeKeeper:
    """Answers every request at ``channel`` with its token and keeps it in ``requests``, unless it is ``deaf``.

    ``before`` is said to the first that asks, ahead of the answer.
    """

    def __init__(self, channel: Path, *, before: bytes = b"", deaf: bool = False) -> None:
        self.requests: list[str] = []
        self._fifos = [Path(f"{channel}.in"), Path(f"{channel}.out")]
        for fifo in self._fifos:
            os.mkfifo(fifo)
        self._in, self._out = (os.open(fifo, os.O_RDWR) for fifo in self._fifos)
        self._before = before and before + b"\n"
        self.deaf = deaf
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeKeeper:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        os.write(self._in, b"end\n")
        self._thread.join()
        for handle in (self._in, self._out):
            os.close(handle)
        for fifo in self._fifos:
            fifo.unlink()

    def _serve(self) -> None:
        with os.fdopen(os.dup(self._in), "rb") as requests:
            for line in requests:
                token, _, request = line.decode().strip().partition(" ")
                if token == "end":
                    return
                self.requests.append(request)
                if not self.deaf:
                    os.write(self._out, self._before + token.encode() + b"\n")
                    self._before = b""
