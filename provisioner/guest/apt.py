"""apt-get in the guest, with its progress made visible; one implementation of ``manager.py``."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence

from provisioner.core.errors import GuestError
from provisioner.core.reporter import Reporter, Step
from provisioner.guest.base import HOME, Guest
from provisioner.guest.kernel_pairs import KernelPair, parse_index
from provisioner.guest.manager import Words, package_error

# Status-Fd=1 mixes progress lines into stdout (apt's doc/progress-reporting.md.gz); a lock held by the
# guest's own timers, or by an apt-get that a lost connection left behind, is waited for.
_APT = (
    "env", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y",
    "-o", "APT::Status-Fd=1", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300",
    "-o", "Acquire::Retries=3",
)  # fmt: skip
#: update-ca-certificates(8). It would go through the hundred other certificates too, in some thousand processes:
#: minutes on an emulated processor. So ours are linked as it would, and it finds them when it is next run.
CA_PREFIX = "/usr/local/share/ca-certificates/ebpf-dev-"
TRUST = r"""
set -e
cd "$1"
prefix=${2##*/}
shift 2
find . -maxdepth 1 \( -lname "*/$prefix*" -o -lname "$prefix*" \) -delete
for file in "$@"; do
    name=$(basename "$file" .crt)
    hash=$(openssl x509 -noout -subject_hash -in "$file")
    number=0
    while [ -e "$hash.$number" ]; do number=$((number + 1)); done
    ln -s "$file" "$name.pem"
    ln -s "$name.pem" "$hash.$number"
done
find . -maxdepth 1 -type l -xtype f -name '*.pem' -exec sed -s '$a\' {} + > ca-certificates.new
mv ca-certificates.new ca-certificates.crt
"""
CA_STORE = "/etc/ssl/certs"
PROXY_FILE = "/etc/apt/apt.conf.d/90ebpf-dev-proxy"
PROXY_TEMPLATE = "network/apt-proxy.conf.j2"

#: Where a kernel may come from: the guest's own sources, and beside them the suite of backports in a file of ours.
#: A guest that only looks keeps its sources as they are; both share the lists that were fetched. A provisioned
#: guest has none at first, and without --no-release-info apt then names no archive at all.
_KERNEL_SOURCES = f"{HOME}/kernel-sources.d"
_BACKPORTS_FILE = "ebpf-dev-backports.list"
_PREPARE_SOURCES = r"""
set -e
parts=$1 file=$2 suite=$3
rm -rf "$parts"
mkdir -p "$parts"
for source in /etc/apt/sources.list.d/*; do
    [ ! -e "$source" ] || ln -s "$source" "$parts/"
done
[ -n "$suite" ] || exit 0
archives=$(apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI) $(COMPONENT)' \
    'Created-By: Packages')
case "
$archives" in *"
$suite "*) exit 0 ;; esac
echo "$archives" | while read -r release uri component; do
    if [ "$release" = "${suite%-backports}" ] && [ "$component" = main ]; then
        echo "deb $uri $suite main"
        break
    fi
done > "$parts/$file"
"""
# Paragraphs of everything that belongs to a kernel, each with its suite; the whole of the lists is a hundred times
# as long, too much to carry over.
_READ_INDEX = r"""
apt-get -o Dir::Etc::SourceParts="$1" indextargets --format '$(RELEASE) $(FILENAME)' 'Created-By: Packages' |
while read -r suite file; do
    [ -e "$file" ] || continue
    /usr/lib/apt/apt-helper cat-file "$file" | awk -v suite="$suite" '
        /^Package: / { own = /^Package: linux-/; if (own) print "\nSuite: " suite }
        own && /^(Package|Version|Depends|Pre-Depends): /'
done
"""
# Only sources are taken from that suite, whose programs would not run here; apt checks their signature.
_BUILD_LIBBPF = """
set -e
dir=$1 suite=$2
[ ! -e "$dir/built" ] || exit 0
uri=$(apt-get indextargets --no-release-info --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 == "main" { print $1; exit }')
rm -rf "$dir"
mkdir -p "$dir/sources.d" "$dir/lists/partial"
echo "deb-src $uri $suite main" > "$dir/sources.d/libbpf.list"
set -- -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$dir/sources.d"
set -- "$@" -o Dir::State::Lists="$dir/lists"
cd "$dir"
apt-get "$@" update >&2
apt-get "$@" source --download-only libbpf >&2
tar -xf libbpf_*.orig.tar.*
make -s -C libbpf-*/src install install_uapi_headers PREFIX=/usr/local LIBDIR=/usr/local/lib >&2
ldconfig
rm -rf "$dir"/*
touch "$dir/built"
"""
_WITH_KERNEL_SOURCES = ("-o", f"Dir::Etc::SourceParts={_KERNEL_SOURCES}")
_NEED = re.compile(r"Need to get ([\d.,]+) ([kMG]?B)")
_COUNT = re.compile(r"(\d+) upgraded, (\d+) newly installed")
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_WORDS = Words(
    unreachable=("Could not resolve", "Could not connect", "Failed to fetch", "Temporary failure resolving"),
    full=("No space left", "You don't have enough free space"),
    unknown=re.compile(r"Unable to locate package (\S+)|Package '?([\w+.-]+)'? has no installation candidate"),
    search="apt-cache search",
)


def find_missing(guest: Guest, packages: Sequence[str]) -> list[str]:
    """Those of ``packages`` that are not installed in full; one with a wanted version (``a=1``) always is one.

    An image built from packages has the toolchain already, and unpacking it under emulation takes minutes.
    """
    words = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\\n", *packages]
    listed = guest.run(words, check=False).stdout.splitlines()
    return [name for name in packages if f"installed {name}" not in listed]


def find_versions(guest: Guest, packages: Sequence[str]) -> dict[str, str]:
    """Bare name -> version of those of ``packages``, which may name versions, that are installed."""
    names = [package.partition("=")[0] for package in packages]
    words = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\\n", *names]
    lines = (line.split() for line in guest.run(words, check=False).stdout.splitlines())
    versions = {fields[1]: fields[2] for fields in lines if len(fields) == 3 and fields[0] == "installed"}
    return {name: versions[name] for name in names if name in versions}


def update(guest: Guest, reporter: Reporter) -> None:
    """Fetch the package lists; errors as ``package_error``."""
    with reporter.step("Fetching package lists") as step:
        _apt_get(guest, ["update"], step)


def install(guest: Guest, packages: Sequence[str], reporter: Reporter, title: str) -> None:
    """Install packages without recommendations; finishes first what an interrupted time began."""
    with reporter.step(title) as step:
        step.detail("checking for interrupted work")
        guest.run(["dpkg", "--configure", "-a", "--force-confold"], timeout=900, check=False)
        _apt_get(guest, ["install", "--no-install-recommends", "--fix-broken", *packages], step)


def clean(guest: Guest) -> None:
    """Remove downloaded packages and package lists' caches that no instance needs."""
    guest.run(["sh", "-c", "apt-get clean; rm -f /var/cache/apt/*.bin"])


def build_libbpf(guest: Guest, suite: str, reporter: Reporter) -> None:
    """Build the libbpf of a newer suite of the guest's archive into /usr/local, unless that is done.

    Raises GuestError("libbpf-build-failed").
    """
    with reporter.step(f"Building the libbpf of {suite}"):
        built = guest.run(
            ["sh", "-c", _BUILD_LIBBPF, "libbpf", f"{HOME}/libbpf", suite], timeout=1800, check=False
        )
    if not built.ok:
        raise GuestError(
            f"The libbpf of {suite} did not build in the guest",
            code="libbpf-build-failed",
            details=built.stderr.strip()[-4000:],
            hint="`ebpf-dev up` tries again; a mirror of your own must have sources and that suite.",
        )


def find_kernels(guest: Guest, backports: str, reporter: Reporter) -> list[KernelPair]:
    """What is on offer, also in the suite ``backports`` ("" for none), which the guest need not know yet."""
    guest.run(["sh", "-c", _PREPARE_SOURCES, "sources", _KERNEL_SOURCES, _BACKPORTS_FILE, backports])
    with reporter.step("Fetching package lists") as step:
        _apt_get(guest, ["update", *_WITH_KERNEL_SOURCES], step)
    with reporter.step("Looking for kernels"):
        return parse_index(guest.run(["sh", "-c", _READ_INDEX, "index", _KERNEL_SOURCES], timeout=300).stdout)


def install_kernel(guest: Guest, pair: KernelPair, reporter: Reporter) -> None:
    """Install a pair that ``find_kernels`` found just now; the guest keeps the suite that it comes from."""
    words: tuple[str, ...] = ()
    if pair.from_backports:
        # Of no weight for anything else: the archive itself says that nothing of it is installed unasked.
        script = '[ -L "$1/$2" ] || [ ! -s "$1/$2" ] || cp "$1/$2" /etc/apt/sources.list.d/'
        guest.run(["sh", "-c", script, "keep", _KERNEL_SOURCES, _BACKPORTS_FILE])
        # What the kernel's scripts need (linux-base) may be newer than the guest's own suite has it.
        words = ("-t", pair.suites[-1])
    install(guest, (*words, *pair.packages), reporter, f"Installing Linux {pair.release}")


class AptProgress:
    """Turns apt-get's output lines into progress; pure, fed line by line.

    Downloading is counted in bytes, unpacking and configuring in packages (two steps each).
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._bytes = 0.0
        self._actions = 0
        self._done = 0

    def feed(self, line: str) -> None:
        kind, _, rest = line.partition(":")
        if kind == "dlstatus":
            _, percent, text = rest.split(":", 2)
            self._step.progress(self._bytes * float(percent) / 100, self._bytes, "bytes")
            self._step.detail(text)
        elif kind == "pmstatus":
            self._step.detail(rest.split(":", 2)[-1])
        elif line.startswith(("Unpacking ", "Setting up ")):
            self._done += 1
            self._step.progress(self._done / 2, max(self._actions, self._done) / 2, "packages")
        else:
            self._read_summary(line)

    def _read_summary(self, line: str) -> None:
        if match := _NEED.search(line):
            self._bytes = float(match[1].replace(",", "")) * _UNITS[match[2]]
        elif match := _COUNT.search(line):
            self._actions = 2 * (int(match[1]) + int(match[2]))


def _apt_get(guest: Guest, words: Sequence[str], step: Step) -> None:
    progress, tail = AptProgress(step), deque[str](maxlen=25)

    def on_line(_: str, line: str) -> None:
        progress.feed(line)
        if not line.startswith(("dlstatus:", "pmstatus:")):
            tail.append(line)

    status = guest.stream([*_APT, *words], on_line, timeout=3600)
    failed = [line for line in tail if line.startswith(("E: ", "W: Failed", "Err:"))]
    # `update` ends with 0 when a list could not be fetched; stale lists would fail later and stranger.
    if status != 0 or (words[0] == "update" and failed):
        # Of a package's own script that failed apt only says that there was one.
        told = failed and not any("Sub-process" in line for line in failed)
        evidence = "\n".join(failed if told else tail)
        raise package_error(f"apt-get {words[0]}", status, evidence, _WORDS)
