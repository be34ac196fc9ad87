"""A forward proxy on loopback that remembers what it was asked for."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class ForwardProxy:
    """``url`` is where it listens, ``asked`` the absolute URLs it was asked to get."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def forwarding() -> Iterator[ForwardProxy]:
    """A proxy that runs while inside; it speaks plain HTTP (no CONNECT)."""
    proxy = ForwardProxy()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(proxy: ForwardProxy) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            proxy.asked.append(self.path)
            headers = {"User-Agent": self.headers.get("User-Agent", "")}
            try:
                answer = urllib.request.urlopen(urllib.request.Request(self.path, headers=headers), timeout=60)
            except urllib.error.HTTPError as exc:
                self.send_error(exc.code)
                return
            with answer:
                self.send_response(answer.status)
                self.send_header("Content-Length", answer.headers["Content-Length"])
                self.end_headers()
                shutil.copyfileobj(answer, self.wfile)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
