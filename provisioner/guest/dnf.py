"""dnf in the guest (Fedora), with its progress made visible; the other implementation of ``manager.py``."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence

from provisioner.core.reporter import Reporter, Step
from provisioner.guest.base import Guest
from provisioner.guest.kernel_pairs import KernelPair, parse_repoquery
from provisioner.guest.manager import Words, package_error

#: update-ca-trust(8); it is quick, and takes no names.
CA_PREFIX = "/etc/pki/ca-trust/source/anchors/ebpf-dev-"
CA_STORE = "/etc/pki/ca-trust/extracted"
TRUST = "update-ca-trust"
#: dnf5.conf(5): drop-ins beside the distribution's own.
PROXY_FILE = "/etc/dnf/libdnf5.conf.d/90-ebpf-dev-proxy.conf"
PROXY_TEMPLATE = "network/dnf-proxy.conf.j2"

_FIND_MISSING = """
for name in "$@"; do
    rpm -q "$name" >/dev/null 2>&1 || rpm -q --whatprovides "$name" >/dev/null 2>&1 || echo "$name"
done
"""
_FIND_VERSIONS = """
form='%{NAME} %{VERSION}-%{RELEASE}\\n'
for name in "$@"; do
    rpm -q --qf "$form" "$name" 2>/dev/null || rpm -q --qf "$form" --whatprovides "$name" 2>/dev/null
done | grep -v 'is not installed\\|no package provides'
:
"""
_DNF = ("env", "LC_ALL=C.UTF-8", "dnf", "-y", "--setopt=install_weak_deps=False", "--setopt=retries=3")
# A line of dnf5 for each package that it has fetched, installed or removed.
_COUNT = re.compile(r"^\[\s*(\d+)/(\d+)\]\s+(.*?)(?:\s{2,}|$)")
_WORDS = Words(
    unreachable=("Could not resolve", "Couldn't connect", "Failed to download", "Curl error", "all mirrors"),
    full=("No space left", "needs at least"),
    unknown=re.compile(r"No match for argument: (\S+)"),
    search="dnf search",
)


def find_missing(guest: Guest, packages: Sequence[str]) -> list[str]:
    """Those of ``packages`` that are not installed: by name, with a version (``a-1``), or by what they provide."""
    if not packages:
        return []
    return guest.run(["sh", "-c", _FIND_MISSING, "rpm", *packages]).stdout.split()


def find_versions(guest: Guest, packages: Sequence[str]) -> dict[str, str]:
    """Bare name -> version of those of ``packages`` that are installed, or of what provides them."""
    listed = guest.run(["sh", "-c", _FIND_VERSIONS, "rpm", *packages]).stdout
    return dict(line.split() for line in listed.splitlines())


def update(guest: Guest, reporter: Reporter) -> None:
    """Fetch the repositories' lists; errors as ``package_error``."""
    with reporter.step("Fetching package lists") as step:
        _dnf(guest, ["makecache", "--refresh"], step)


def install(guest: Guest, packages: Sequence[str], reporter: Reporter, title: str) -> None:
    """Install packages without weak dependencies; dnf undoes by itself what was interrupted."""
    with reporter.step(title) as step:
        _dnf(guest, ["install", *packages], step)


def clean(guest: Guest) -> None:
    """Remove downloaded packages; the lists stay, they are needed again."""
    guest.run(["dnf", "-q", "clean", "packages"])


def find_kernels(guest: Guest, backports: str, reporter: Reporter) -> list[KernelPair]:
    """What is on offer; Fedora has no backports."""
    update(guest, reporter)
    with reporter.step("Looking for kernels"):
        listed = guest.run(
            ["dnf", "-q", "repoquery", "--available", "--showduplicates",
             "--queryformat", "%{name} %{version}-%{release}.%{arch} %{repoid}\\n",
             "kernel-core", "kernel-modules", "kernel-devel"],
            timeout=300,
        )  # fmt: skip
    return parse_repoquery(listed.stdout)


def install_kernel(guest: Guest, pair: KernelPair, reporter: Reporter) -> None:
    """Install a pair that ``find_kernels`` found just now."""
    install(guest, pair.packages, reporter, f"Installing Linux {pair.release}")


def _dnf(guest: Guest, words: Sequence[str], step: Step) -> None:
    tail = deque[str](maxlen=25)

    def on_line(_: str, line: str) -> None:
        tail.append(line)
        if found := _COUNT.match(line):
            step.progress(int(found[1]), int(found[2]), "packages")
            step.detail(found[3])

    status = guest.stream([*_DNF, *words], on_line, timeout=3600)
    if status != 0:
        raise package_error(f"dnf {words[0]}", status, "\n".join(tail), _WORDS)
