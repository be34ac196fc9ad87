"""A small HTTP server on loopback that behaves like a mirror, and misbehaves on request."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_CHUNK = 1 << 16


@dataclass
class Mirror:
    """What is served, below ``/``: the content of memory ``files`` or else of the directory ``root``.

    ``cuts`` says how many bytes of a path's next answers are sent before the connection is dropped, one
    number an answer. With ``ranges`` off, Range is ignored, as some proxies do; with ``new_tags`` every answer has
    another ETag, as when a redirector sends to mirrors in turn.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    root: Path | None = None
    cuts: dict[str, list[int]] = field(default_factory=dict)
    ranges: bool = True
    new_tags: bool = False
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def read(self, path: str) -> bytes | None:
        if path in self.files:
            return self.files[path]
        found = self.root / path.lstrip("/") if self.root else None
        return found.read_bytes() if found and found.is_file() else None


@contextlib.contextmanager
def serving(mirror: Mirror) -> Iterator[Mirror]:
    """Serve ``mirror`` while inside; its ``url`` says where, without a slash at the end."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(mirror))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    mirror.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(mirror: Mirror) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.requests.append((self.path, self.headers.get("Range")))
            data = mirror.read(self.path)
            if data is None:
                self.send_error(404)
                return
            tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
            if mirror.new_tags:
                tag = f'"{len(mirror.requests)}"'
            start = self._start(tag) if mirror.ranges else 0
            if start >= len(data) > 0:
                self.send_error(416)
                return
            self._head(data, start, tag)
            self._body(data[start:])

        def _start(self, tag: str) -> int:
            wanted = self.headers.get("Range", "")
            fresh = self.headers.get("If-Range", tag) == tag
            return int(wanted.removeprefix("bytes=").split("-")[0]) if wanted and fresh else 0

        def _head(self, data: bytes, start: int, tag: str) -> None:
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.send_header("ETag", tag)
            self.end_headers()

        def _body(self, data: bytes) -> None:
            pending = mirror.cuts.get(self.path)
            if pending:
                data = data[: pending.pop(0)]
            with contextlib.suppress(ConnectionError):
                for offset in range(0, len(data), _CHUNK):
                    self.wfile.write(data[offset : offset + _CHUNK])

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
