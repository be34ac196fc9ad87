"""What provisioning makes of a bare guest: toolchain, matching kernel headers, vmlinux.h and the runner."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.errors import GuestError
from provisioner.core.host import parse_os_release
from provisioner.core.reporter import Reporter
from provisioner.core.resources import runner_sources
from provisioner.guest.apt import build_libbpf
from provisioner.guest.base import HOME as HOME
from provisioner.guest.base import Guest
from provisioner.guest.kernels import find_kernel_pair
from provisioner.guest.manager import package_manager

#: Raised when provisioning itself changes in a way that its packages do not show.
RECIPE_VERSION = 2

# Two runs may build it at the same time, and any may be interrupted.
# Unoptimised and by clang it takes a fifth of the time of `gcc -O1`, which an emulated guest needs minutes for; it
# decodes an event in 3.2 us instead of 1.7 us (on the same host, without emulation).
_BUILD_RUNNER = """
set -e
[ -x "$1" ] && exit 0
new=$(mktemp -d "$1.XXXXXX")
trap 'rm -rf "$new"' EXIT
tar -x -C "$new"
make -s -C "$new" CC=clang CFLAGS=-O0
mv "$new/runner" "$1"
"""
# The root is either the whole disk or, in a foreign image, one of its partitions; Fedora's is a btrfs, of which
# findmnt names the subvolume too.
_GROW_ROOT = """
set -e
root=$(findmnt -nvo SOURCE /)
part=/sys/class/block/${root#/dev/}/partition
if [ -e "$part" ]; then
    number=$(cat "$part")
    growpart "${root%"$number"}" "$number" || :
fi
case $(findmnt -no FSTYPE /) in
btrfs) btrfs filesystem resize max / ;;
xfs) xfs_growfs / ;;
*) resize2fs "$root" ;;
esac
"""


@dataclass(frozen=True)
class Recipe:
    """The packages to install: ``kernel`` (image and headers of one series), ``toolchain`` and the user's.

    ``manager`` is who installs them, see ``guest/manager.py``. ``libbpf`` is a newer suite to build libbpf from,
    where the distribution's own is older than the runner needs.
    """

    kernel: tuple[str, ...]
    toolchain: tuple[str, ...]
    extra: tuple[str, ...] = ()
    manager: str = "apt"
    libbpf: str = ""

    @property
    def digest(self) -> str:
        """Part of a golden's key. The runner is left out: a newer one is built when first needed."""
        further = [*sorted(self.extra), *(["", self.libbpf] if self.libbpf else [])]
        text = "\n".join((str(RECIPE_VERSION), *self.kernel, "", *self.toolchain, "", *further))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def provision(guest: Guest, recipe: Recipe, reporter: Reporter) -> str:
    """Carry the recipe out and return the kernel release that an instance must boot.

    Safe to repeat after an interruption anywhere. Raises GuestError ("mirror-unreachable", "packages-failed",
    "headers-missing", "libbpf-build-failed", "runner-build-failed").
    """
    manager = package_manager(recipe.manager)
    # All or nothing: image and headers that come at different times are of different releases.
    kernel = recipe.kernel if manager.find_missing(guest, recipe.kernel) else ()
    missing = [*kernel, *manager.find_missing(guest, (*recipe.toolchain, *recipe.extra))]
    if missing:
        manager.update(guest, reporter)
        manager.install(guest, missing, reporter, "Installing headers and toolchain")
    if recipe.libbpf:
        build_libbpf(guest, recipe.libbpf, reporter)
    release = find_kernel_pair(guest)
    with reporter.step("Building the runner"):
        ensure_runner(guest)
    manager.clean(guest)
    return release


def read_os_release(guest: Guest) -> dict[str, str]:
    """What the guest's os-release(5) says."""
    return parse_os_release(guest.run(["cat", "/etc/os-release"]).stdout)


def grow_root(guest: Guest) -> None:
    """Let the root file system fill its disk; quick when it does already."""
    guest.run(["sh", "-c", _GROW_ROOT], timeout=300)


def runner_path(sources: Mapping[str, Path] | None = None) -> str:
    """Where the runner built from these sources is in the guest; its name changes with its content."""
    digest = hashlib.sha256()
    for name, path in (sources or runner_sources()).items():
        digest.update(name.encode() + b"\0" + path.read_bytes())
    return f"{HOME}/runner-{digest.hexdigest()[:12]}"


def ensure_runner(guest: Guest) -> str:
    """Build the runner in the guest unless this very one is there, and return its path."""
    sources = runner_sources()
    path = runner_path(sources)
    guest.run(["mkdir", "-p", HOME])
    make = ["sh", "-c", _BUILD_RUNNER, "runner", path]
    built = guest.run(make, input=make_tar(sources), timeout=900, check=False)
    if not built.ok:
        raise GuestError(
            "The runner did not build in the guest",
            code="runner-build-failed",
            details=(built.stderr or built.stdout).strip()[-4000:],
            hint="This is a fault of ebpf-dev, or a package was removed from the guest: "
            "`ebpf-dev delete` and `ebpf-dev up` make a fresh one.",
        )
    return path


def make_tar(files: Mapping[str, Path | bytes]) -> bytes:
    """A tar archive of ``files`` (name in the archive -> content), to be fed to ``tar -x`` in the guest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in sorted(files.items()):
            data = content if isinstance(content, bytes) else content.read_bytes()
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
