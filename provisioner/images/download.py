"""Fetching a large file over HTTP so that it is whole and right, or not there: resumed, verified, atomic."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from provisioner.core.errors import HostError
from provisioner.core.files import locked, write_json
from provisioner.core.paths import ensure_dir
from provisioner.core.reporter import Reporter, Step
from provisioner.images.catalogue import DIGEST_LENGTHS, RemoteFile
from provisioner.images.disk import check_space, disk_full, is_disk_full

#: Seconds to wait for a host to answer: short, because there is another source behind this one.
CONNECT_TIMEOUT = 5.0
#: Seconds without a byte before a connection counts as cut.
READ_TIMEOUT = 30.0
#: Connections that may be cut in a row without bringing a single byte.
FRUITLESS_TRIES = 3
_CHUNK = 1 << 18
_PURPOSE = "to download the image"


@dataclass(frozen=True)
class Link:
    """The way out: ``proxy`` as a URL, None for the environment's; ``ca`` are trusted beside the system's."""

    proxy: str | None = None
    ca: tuple[Path, ...] = ()

    def open(self, location: str, headers: Mapping[str, str]) -> Any:
        """The response to a GET, also when that is 416; raises HostError for every other failure."""
        request = urllib.request.Request(location, headers={"User-Agent": "ebpf-dev", **headers})
        try:
            return self._opener().open(request, timeout=CONNECT_TIMEOUT)
        except urllib.error.HTTPError as exc:
            if exc.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return exc
            raise _http_error(location, exc) from exc
        except (OSError, http.client.HTTPException) as exc:
            raise _unreachable(location, getattr(exc, "reason", exc)) from exc

    def _opener(self) -> urllib.request.OpenerDirector:
        context = ssl.create_default_context()
        for path in self.ca:
            context.load_verify_locations(path)
        handlers: list[urllib.request.BaseHandler] = [_HTTPHandler(), _HTTPSHandler(context=context)]
        if self.proxy:
            handlers.append(urllib.request.ProxyHandler({"http": self.proxy, "https": self.proxy}))
        return urllib.request.build_opener(*handlers)


def download(file: RemoteFile, downloads: Path, reporter: Reporter, link: Link | None = None) -> Path:
    """The verified file below ``downloads``; the caller moves it to where it belongs.

    What an earlier time left is resumed when the server still has the same file. Raises HostError:
    "network-unreachable", "download-404", "download-cut", "download-failed", "digest-mismatch" (the file is
    thrown away), "disk-full".
    """
    ensure_dir(downloads)
    title = Path(urlsplit(file.location).path).name
    name = f"{hashlib.sha256(file.location.encode()).hexdigest()[:12]}-{title}"
    part = downloads / f"{name}.part"
    with (
        locked(downloads / f"{name}.lock", lambda: reporter.note("Another ebpf-dev downloads it; waiting.")),
        reporter.step(f"Downloading {title}") as step,
    ):
        link = link or Link()
        digest = file.digest or find_digest(file, link)
        try:
            _fetch(file, digest, part, step, link)
        except OSError as exc:
            if is_disk_full(exc):
                raise disk_full(downloads, _PURPOSE, str(exc)) from exc
            raise
    return part


def _fetch(file: RemoteFile, digest: str, part: Path, step: Step, link: Link) -> None:
    """Fetch and verify. The rest of a pinned file may come from any server: its digest tells whether it fits."""
    while True:
        transfer = _Transfer(file.location, part, step, link, pinned=bool(file.digest))
        transfer.finish()
        step.detail("verifying")
        try:
            return _verify(part, digest, file.location)
        except HostError:
            if not transfer.resumed_blindly:
                raise
        step.detail("its parts do not fit, starting over")


def find_digest(file: RemoteFile, link: Link) -> str:
    """The digest that the checksum file beside a rolling image gives it; raises HostError("no-digest")."""
    assert file.checksums is not None
    location = urljoin(file.location, file.checksums)
    with link.open(location, {}) as response:
        text = response.read(4 << 20).decode(errors="replace")
    name = Path(urlsplit(file.location).path).name
    found = parse_checksums(text).get(name)
    if found is None:
        raise HostError(
            f"{location} does not name {name}", code="no-digest", hint="The image may have been renamed."
        )
    return found


def parse_checksums(text: str) -> dict[str, str]:
    """Digests by file name, from any of the usual formats; which algorithm it is, its length tells.

    >>> parse_checksums("SHA256 (a.img) = " + 64 * "0")["a.img"][:10]
    'sha256:000'
    """
    algorithms = {length: name for name, length in DIGEST_LENGTHS.items()}
    found = {}
    for line in text.splitlines():
        coreutils = re.fullmatch(r"([0-9a-f]+) [ *](\S+)", line.strip())
        bsd = re.fullmatch(r"SHA\d+ \((\S+)\) = ([0-9a-f]+)", line.strip())
        value, name = (coreutils[1], coreutils[2]) if coreutils else (bsd[2], bsd[1]) if bsd else ("", "")
        if len(value) in algorithms:
            found[name] = f"{algorithms[len(value)]}:{value}"
    return found


class _Transfer:
    """One file on its way into ``part``; beside it lies what tells whether the server still has the same."""

    def __init__(self, location: str, part: Path, step: Step, link: Link, *, pinned: bool) -> None:
        self.resumed_blindly = False
        self._pinned = pinned
        self._location = location
        self._part = part
        self._validator_file = part.with_suffix(".json")
        self._step = step
        self._link = link

    def finish(self) -> None:
        """Ask, and ask again for the rest after a cut, as long as that brings something."""
        fruitless = 0
        while True:
            before = self._have()
            try:
                if self._ask_once():
                    return
                reason = "the server ended the connection early"
            except (OSError, http.client.HTTPException) as exc:
                if is_disk_full(exc) if isinstance(exc, OSError) else False:
                    raise
                reason = str(exc) or type(exc).__name__
            fruitless = 0 if self._have() > before else fruitless + 1
            if fruitless >= FRUITLESS_TRIES:
                raise HostError(
                    f"The download of {self._location} was cut off again and again",
                    code="download-cut",
                    details=f"{reason}; {self._have()} bytes arrived",
                    hint="`ebpf-dev up` goes on from there.",
                )
            self._step.detail(f"connection cut, going on at {self._have() >> 20} MiB")

    def _have(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _ask_once(self) -> bool:
        """Whether the file is whole after one more request."""
        have = self._have()
        headers = self._resume_headers(have)
        with self._link.open(self._location, headers) as response:
            if response.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                # Whole already, or longer than what the server has now; the digest decides.
                return True
            resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
            self.resumed_blindly |= resumed and "If-Range" not in headers
            start = have if resumed else 0
            length = response.headers.get("Content-Length")
            total = start + int(length) if length else 0
            check_space(self._part.parent, max(0, total - have), _PURPOSE)
            self._remember(response.headers)
            self._receive(response, "ab" if resumed else "wb", start, total)
            return not total or self._have() >= total

    def _resume_headers(self, have: int) -> dict[str, str]:
        if have and self._pinned:
            return {
                "Range": f"bytes={have}-"
            }  # mirrors that a redirector picks in turn have validators of their own
        try:
            validator = json.loads(self._validator_file.read_bytes())["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {"Range": f"bytes={have}-", "If-Range": validator} if have and validator else {}

    def _remember(self, headers: Mapping[str, Any]) -> None:
        # If-Range needs a strong validator (RFC 9110, 13.1.5); without one a cut download starts over.
        etag = headers.get("ETag", "")
        validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
        write_json(self._validator_file, {"validator": validator})

    def _receive(self, response: IO[bytes], mode: str, start: int, total: int) -> None:
        done = start
        with self._part.open(mode) as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                self._step.progress(done, max(total, done), "bytes")


class _Connection(http.client.HTTPConnection):
    """Gives up soon on a host that does not answer, and is patient with one that does."""

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(READ_TIMEOUT)


class _SecureConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(READ_TIMEOUT)


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._trusted = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req, context=self._trusted)


def _unreachable(location: str, reason: object) -> HostError:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return HostError(
            f"the certificate of {urlsplit(location).hostname} is not trusted ({reason.verify_message})",
            code="tls-untrusted",
            details=f"{location}: {reason}",
            hint="Behind a proxy that looks into TLS set `ca: [FILE.pem]` in ebpf-dev.yaml (or --ca). On a Mac "
            "python.org's Python has certificates once its `Install Certificates.command` was run.",
        )
    return HostError(
        f"{urlsplit(location).hostname} cannot be reached",
        code="network-unreachable",
        details=f"{location}: {reason}",
        hint="Check the network, and http_proxy and https_proxy if there is a proxy.",
    )


def _http_error(location: str, exc: urllib.error.HTTPError) -> HostError:
    gone = exc.code in {http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE}
    return HostError(
        f"{location} {'is no longer there' if gone else 'was refused'}",
        code="download-404" if gone else "download-failed",
        details=f"HTTP {exc.code} {exc.reason}",
        hint="A newer ebpf-dev may know a newer image.",
    )


def _verify(part: Path, digest: str, location: str) -> None:
    algorithm, _, wanted = digest.partition(":")
    found = hash_file(part, algorithm)
    if found == wanted:
        return
    for path in (part, part.with_suffix(".json")):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    raise HostError(
        f"{location} is not the file it should be",
        code="digest-mismatch",
        details=f"{algorithm} expected {wanted}\n{algorithm} received {found}",
        hint="It was thrown away. A proxy may have changed it; otherwise do not trust that server.",
    )


def hash_file(path: Path, algorithm: str) -> str:
    """The digest of a file's content as lower-case hex."""
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
