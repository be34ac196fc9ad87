"""Kernels that a guest's distribution offers, as whole pairs: image, modules and headers; all pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from provisioner.core.errors import UsageError

#: The kernel that the image itself brings, and the two words that stand for a pair found by looking.
DEFAULT, BACKPORTS, LATEST = "default", "backports", "latest"
_BACKPORTS_SUFFIX = "-backports"


@dataclass(frozen=True)
class KernelPair:
    """One kernel release. ``packages`` are to be installed for it, ``suites`` where they come from.

    ``missing`` names what the archive does not have any more: then it is no whole pair, and cannot be installed.
    ``config`` is the kernel's own configuration when the pair is installed, None before.
    """

    release: str
    suites: tuple[str, ...]
    packages: tuple[str, ...]
    missing: tuple[str, ...] = ()
    config: Mapping[str, str] | None = field(default=None, compare=False)

    @property
    def whole(self) -> bool:
        return not self.missing

    @property
    def installed(self) -> bool:
        return self.config is not None

    @property
    def usable(self) -> bool:
        return self.whole or self.installed

    @property
    def from_backports(self) -> bool:
        return bool(self.suites) and all(suite.endswith(_BACKPORTS_SUFFIX) for suite in self.suites)

    @property
    def origin(self) -> str:
        """Where it comes from, in one word: "backports", "security", "updates", the suite, or "installed"."""
        if not self.suites:
            return "installed"
        return self.suites[-1].rpartition("-")[2]


def flavour(release: str) -> str:
    """What follows the version in a kernel release: "cloud-amd64", "generic", or "" where nothing does.

    >>> flavour("6.12.117+deb13-cloud-amd64"), flavour("6.14.0-63.fc42.x86_64")
    ('cloud-amd64', '')
    """
    found = re.search(r"-([a-z][a-z0-9-]*)$", release)
    return found[1] if found else ""


def release_key(release: str) -> tuple[int, ...]:
    """Sorts releases by age; a release candidate comes before its release."""
    version = release.removesuffix(f"-{flavour(release)}").replace("~rc", ".-1.")
    return tuple(int(number) for number in re.findall(r"(?:(?<=\.)-)?\d+", version))


def newest_release(releases: Iterable[str]) -> str:
    return max(releases, key=release_key)


def newest_first(pairs: Iterable[KernelPair]) -> list[KernelPair]:
    return sorted(pairs, key=lambda pair: release_key(pair.release), reverse=True)


def with_installed(pairs: Sequence[KernelPair], configs: Mapping[str, Mapping[str, str]]) -> list[KernelPair]:
    """Mark the pairs that the guest has, by release; one that no archive offers any more is added."""
    known = {pair.release for pair in pairs}
    marked = [replace(pair, config=configs.get(pair.release)) for pair in pairs]
    others = [KernelPair(name, (), (), config=config) for name, config in configs.items() if name not in known]
    return newest_first([*marked, *others])


def choose_pair(word: str, pairs: Sequence[KernelPair], like: str) -> KernelPair:
    """The newest whole pair that ``word`` means: "backports", "latest", a version, or a release in full.

    ``like`` is a release of the flavour to choose from. Raises UsageError("kernel-incomplete") when the
    distribution has lost a part of it, and UsageError("unknown-kernel").
    """
    kin = [pair for pair in newest_first(pairs) if flavour(pair.release) == flavour(like)]
    fitting = {
        BACKPORTS: [pair for pair in kin if pair.from_backports],
        LATEST: kin,
    }.get(word) or [pair for pair in pairs if pair.release == word]
    fitting = fitting or [pair for pair in kin if _is_version(word, pair.release)]
    for pair in fitting:
        if pair.usable:
            return pair
    offered = [pair.release for pair in kin if pair.usable]
    details = "\n".join(f"on offer: {release}" for release in offered[:12])
    hint = "`ebpf-dev kernels` lists what there is."
    if fitting:
        pair = fitting[0]
        raise UsageError(
            f"The distribution has only a part of Linux {pair.release}",
            code="kernel-incomplete",
            details=f"missing: {', '.join(pair.missing)}\n{details}",
            hint=hint,
        )
    raise UsageError(
        f"The guest's distribution offers no kernel {word!r}", code="unknown-kernel", details=details, hint=hint
    )


def _is_version(word: str, release: str) -> bool:
    """Whether the release is of that version: "7.3" and "7.3.4" are both those of 7.3.4+deb13-cloud-amd64."""
    return release.startswith(word) and not release[len(word) : len(word) + 1].isdigit()


# --- what apt's package lists say ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Package:
    name: str
    version: str
    suite: str
    depends: tuple[tuple[str, ...], ...]


def parse_index(text: str) -> list[KernelPair]:
    """The pairs in paragraphs of apt's Packages files, each with a field ``Suite`` of where it stood.

    A pair is whole when everything that its image and its headers need of their own version is there too:
    archives keep some packages of a kernel long after they have removed the others.
    """
    packages: dict[str, list[_Package]] = {}
    for paragraph in text.split("\n\n"):
        package = _parse_package(paragraph)
        if package is not None:
            packages.setdefault(package.name, []).append(package)
    images = (re.fullmatch(r"linux-image-(\d\S*)", name) for name in packages)
    releases = [found[1] for found in images if found and not found[1].endswith(("-dbg", "-unsigned"))]
    return newest_first(_pair(release, packages) for release in releases)


def _pair(release: str, packages: Mapping[str, Sequence[_Package]]) -> KernelPair:
    wanted: tuple[str, ...] = (f"linux-image-{release}", f"linux-headers-{release}")
    # Ubuntu keeps bpftool there (before 25.10), and calls the one of the release that runs.
    tools = f"linux-tools-{release}"
    if tools in packages:
        wanted = (*wanted, tools)
    suites = tuple(dict.fromkeys(package.suite for package in packages[wanted[0]]))
    return KernelPair(release, suites, wanted, tuple(sorted(_missing(wanted, packages))))


def _missing(wanted: Iterable[str], packages: Mapping[str, Sequence[_Package]]) -> set[str]:
    """What is needed, directly or not, and is not there; only the kernel's own packages are looked at."""
    missing, seen, left = set[str](), set[str](), list(wanted)
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in packages:
            missing.add(name)
            continue
        for alternatives in packages[name][0].depends:
            own = [other for other in alternatives if re.match(r"linux-(?!initramfs)", other)]
            if own and len(own) == len(alternatives):
                left.append(next((other for other in own if other in packages), own[0]))
    return missing


def _parse_package(paragraph: str) -> _Package | None:
    fields = dict(re.findall(r"^(Package|Version|Suite|Depends|Pre-Depends): (.*)$", paragraph, re.MULTILINE))
    if "Package" not in fields:
        return None
    needs = [fields[name] for name in ("Pre-Depends", "Depends") if fields.get(name)]
    depends = [
        tuple(choice.split()[0].partition(":")[0] for choice in need.split("|"))
        for needed in needs
        for need in needed.split(",")
    ]
    return _Package(fields["Package"], fields.get("Version", ""), fields.get("Suite", ""), tuple(depends))


# --- what dnf's repoquery says ------------------------------------------------------------------------------

_FEDORA_PARTS = ("kernel-core", "kernel-modules", "kernel-devel")


def parse_repoquery(text: str) -> list[KernelPair]:
    """The pairs in lines of "NAME RELEASE REPOSITORY", as ``guest/dnf.py`` asks for them."""
    parts: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] in _FEDORA_PARTS:
            parts.setdefault(words[1], {})[words[0]] = words[2]
    return newest_first(
        KernelPair(
            release,
            tuple(dict.fromkeys(found.values())),
            tuple(f"{name}-{release}" for name in _FEDORA_PARTS),
            tuple(f"{name}-{release}" for name in _FEDORA_PARTS if name not in found),
        )
        for release, found in parts.items()
    )


def parse_configs(text: str) -> dict[str, dict[str, str]]:
    """Releases and their ``CONFIG_...=`` lines, from blocks that begin with "release NAME"."""
    found: dict[str, dict[str, str]] = {}
    options: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("release "):
            options = found.setdefault(line.removeprefix("release "), {})
        elif line.startswith("CONFIG_"):
            name, _, value = line.partition("=")
            options[name] = value
    return found
