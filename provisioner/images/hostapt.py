"""What the host's apt is configured with: mirrors and fetch options, to be used for building images.

The names of package mirrors are never written into the tool; this is where they come from.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.errors import HostError
from provisioner.core.host import find_tool
from provisioner.core.process import run_tool

APT_DIR = Path("/etc/apt")

# Suite names tell whose archive a URI is; a vendor's own repository often borrows one ("bookworm main"), which
# is why find_mirror also looks at how many suites of the family a URI serves.
_SUITES = {
    "debian": frozenset(
        [
            "oldoldstable",
            "oldstable",
            "stable",
            "testing",
            "unstable",
            "sid",
            "buster",
            "bullseye",
            "bookworm",
            "trixie",
            "forky",
            "duke",
        ]
    ),
    "ubuntu": frozenset(["focal", "jammy", "noble", "oracular", "plucky", "questing", "resolute", "devel"]),
}
_POCKETS = ("-updates", "-security", "-backports", "-proposed", "-backports-sloppy")
# Options that say how to fetch. Everything else in apt's configuration is about the host, not about the mirror.
_OPTION = re.compile(
    r"Acquire::("
    r"https?::(Proxy(::\S+)?|Timeout|Verify-Peer|Verify-Host|CaInfo|Proxy-Auto-Detect|ProxyAutoDetect)"
    r"|Check-Valid-Until|Check-Date|Retries|ForceIPv4|ForceIPv6|By-Hash)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Source:
    """One configured archive: a URI with its suites and components."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


@dataclass(frozen=True)
class HostApt:
    """``sources`` in the order configured; ``options`` are (name, value) pairs about fetching."""

    sources: tuple[Source, ...]
    options: tuple[tuple[str, str], ...]

    def find_mirror(self, distribution: str) -> str | None:
        """The URI of the main archive of "debian" or "ubuntu"; None when the host has none."""
        return self._best(distribution, lambda suite: not suite.endswith("-security"))

    def find_security_mirror(self, distribution: str) -> str | None:
        """The URI that serves the security suites; on Ubuntu that is often the main one."""
        return self._best(distribution, lambda suite: suite.endswith("-security"))

    def _best(self, distribution: str, wanted: object) -> str | None:
        assert callable(wanted)
        scores: dict[str, int] = {}
        for source in self.sources:
            if "main" not in source.components:
                continue
            suites = [suite for suite in source.suites if _family(suite) == distribution and wanted(suite)]
            if suites:
                scores[source.uri] = scores.get(source.uri, 0) + len(suites)
        return max(scores, key=lambda uri: scores[uri]) if scores else None


def read_host_apt(directory: Path = APT_DIR) -> HostApt:
    """The host's apt sources and fetch options; empty on hosts without apt."""
    return HostApt(sources=tuple(_read_sources(directory)), options=_read_options())


def parse_one_line(text: str) -> list[Source]:
    """The binary archives of a ``sources.list`` (sources.list(5), one-line style)."""
    found = []
    for line in text.splitlines():
        words = re.sub(r"\[[^\]]*\]", " ", line.partition("#")[0]).split()
        if len(words) >= 3 and words[0] == "deb":
            found.append(Source(words[1].rstrip("/"), (words[2],), tuple(words[3:])))
    return found


def parse_deb822(text: str) -> list[Source]:
    """The binary archives of a ``*.sources`` file (sources.list(5), deb822 style); disabled ones are left out."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        fields = _parse_fields(paragraph)
        if fields.get("enabled", "yes").lower() in {"no", "false", "0"}:
            continue
        if "deb" in fields.get("types", "").split():
            suites, components = fields.get("suites", "").split(), fields.get("components", "").split()
            found += [
                Source(uri.rstrip("/"), tuple(suites), tuple(components)) for uri in fields.get("uris", "").split()
            ]
    return found


def parse_options(text: str) -> tuple[tuple[str, str], ...]:
    """The fetch options out of ``apt-config dump``; empty values are left out."""
    found = []
    for line in text.splitlines():
        name, _, value = line.strip().removesuffix(";").partition(" ")
        value = value.strip('"')
        if value and _OPTION.fullmatch(name):
            found.append((name, value))
    return tuple(found)


def _read_sources(directory: Path) -> Iterator[Source]:
    parts = directory / "sources.list.d"
    files = [directory / "sources.list", *(sorted(parts.iterdir()) if parts.is_dir() else ())]
    for path in files:
        parse = {".list": parse_one_line, ".sources": parse_deb822}.get(path.suffix)
        if parse is None:
            continue
        try:
            sources: Iterable[Source] = parse(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        # Others (cdrom:, mirror+file:, ...) mean something on this host only.
        yield from (source for source in sources if source.uri.startswith(("http://", "https://")))


def _read_options() -> tuple[tuple[str, str], ...]:
    if find_tool("apt-config") is None:
        return ()
    try:
        return parse_options(run_tool(["apt-config", "dump"], needed_for="to learn apt's proxies").stdout)
    except HostError:
        return ()


def _parse_fields(paragraph: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _family(suite: str) -> str | None:
    # Debian's security suites were called "buster/updates" up to Debian 10.
    base = suite.rstrip("/").split("/")[0]
    for pocket in _POCKETS:
        base = base.removesuffix(pocket)
    return next((family for family, suites in _SUITES.items() if base in suites), None)


def apt_option_words(options: Iterable[tuple[str, str]]) -> list[str]:
    """Options as lines of apt.conf(5), for tools that take them so."""
    return [f"{name} {_quoted(value)};" for name, value in options]


def _quoted(value: str) -> str:
    # apt.conf(5) has no escape for a double quote inside a value.
    if '"' in value:
        raise HostError(
            "An option of the host's apt holds a double quote and cannot be passed on",
            code="bad-apt-option",
            details=shlex.quote(value),
            hint="Look at `apt-config dump` and correct the option.",
        )
    return f'"{value}"'
