"""dnf in the guest (Fedora), with its progress made visible; the other implementation of ``manager.py``."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence

from provisioner.core.errors import GuestError
from provisioner.core.reporter import Reporter, Step
from provisioner.guest.base import Guest
from provisioner.guest.kernel_pairs import KernelPair, parse_repoquery

#: update-ca-trust(8); it is quick, and takes no names of files.
CA_PREFIX = "/etc/pki/ca-trust/source/anchors/ebpf-dev-"
TRUST_NEW = TRUST_ANEW = "update-ca-trust"
#: dnf5.conf(5): drop-ins beside the distribution's own.
PROXY_FILE = "/etc/dnf/libdnf5.conf.d/90-ebpf-dev-proxy.conf"
PROXY_TEMPLATE = "network/dnf-proxy.conf.j2"

_DNF = ("env", "LC_ALL=C.UTF-8", "dnf", "-y", "--setopt=install_weak_deps=False", "--setopt=retries=3")
# A line of dnf5 for each package that it has fetched, installed or removed.
_COUNT = re.compile(r"^\[\s*(\d+)/(\d+)\]\s+(.*?)(?:\s{2,}|$)")
_UNREACHABLE = ("Could not resolve", "Couldn't connect", "Failed to download", "Curl error", "all mirrors")


def find_missing(guest: Guest, packages: Sequence[str]) -> list[str]:
    """Those of ``packages`` that are not installed, by name or by what they provide."""
    if not packages:
        return []
    script = 'for name in "$@"; do rpm -q --whatprovides "$name" >/dev/null 2>&1 || echo "$name"; done'
    return guest.run(["sh", "-c", script, "rpm", *packages]).stdout.split()


def update(guest: Guest, reporter: Reporter) -> None:
    """Fetch the repositories' lists; raises GuestError("mirror-unreachable") or "dnf-failed"."""
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
        raise _dnf_error(words, status, tail)


def _dnf_error(words: Sequence[str], status: int, tail: Sequence[str]) -> GuestError:
    details = "\n".join(tail)
    if any(word in details for word in _UNREACHABLE):
        return GuestError(
            "The guest cannot reach its package mirror",
            code="mirror-unreachable",
            details=details,
            hint="Check the network. Behind a proxy set `proxy:` in ebpf-dev.yaml (or --proxy); "
            "`ebpf-dev up` then goes on where it stopped.",
        )
    if "No space left" in details or "needs at least" in details:
        return GuestError(
            "The guest's disk is full",
            code="guest-disk-full",
            details=details,
            hint="Give it more: `ebpf-dev delete`, then `ebpf-dev up --disk 40G`.",
        )
    return GuestError(
        f"dnf {words[0]} failed in the guest with status {status}",
        code="dnf-failed",
        details=details,
        hint="`ebpf-dev up` tries again from where it stopped.",
    )
