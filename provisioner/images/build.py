"""A base disk from distribution packages, born with our keys and set up for nothing but eBPF development."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.addresses import for_guest
from provisioner.core.errors import HostError
from provisioner.core.files import write_atomic
from provisioner.core.host import host_arch
from provisioner.core.process import run_tool
from provisioner.core.reporter import Reporter, Step
from provisioner.core.resources import runner_sources
from provisioner.guest.recipe import HOME, make_tar, runner_path
from provisioner.guest.vmlinux import write_from_image
from provisioner.images.base import Draft
from provisioner.images.catalogue import BuildRecipe, Packages
from provisioner.images.disk import check_space
from provisioner.images.foreign import DEB_ARCHES
from provisioner.images.hostapt import HostApt, apt_option_words
from provisioner.images.overlay import make_overlay
from provisioner.images.tree import (
    NEEDED_FOR,
    Tree,
    build_failed,
    check_tools,
    mmdebstrap_failed,
    run_mmdebstrap,
    scratch_directory,
    write_filesystem,
)

#: Of the root disk as the guest sees it; sparse here. Debian's and Ubuntu's own cloud images have 2-3 GB, which
#: a toolchain overflows. A larger ``--disk`` is grown into at provisioning.
DISK_SIZE = 20 << 30
#: Measured for Debian 13 with the toolchain: 1.3 GB of tree, as much again as a raw disk, and its packages.
SPACE_NEEDED = 4 << 30
HOSTNAME = "ebpf-dev"
#: ``rw``: nothing remounts it later. The rest is said by the recipe of whoever boots it.
CMDLINE = "root=/dev/vda rw net.ifnames=0 loglevel=4 systemd.show_status=true panic=-1"
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True)
class BuildPlan:
    """Everything that decides what is built; pure data, so that ``--dry-run`` can show it.

    ``sources`` are the one-line apt entries that mmdebstrap uses, ``optional`` those that it may go without.
    """

    arch: str
    suite: str
    keyring: str
    packages: tuple[str, ...]
    sources: tuple[str, ...]
    optional: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    authorized_key: str
    host_private: str
    host_public: str

    @property
    def machine_id(self) -> str:
        """A fixed machine-id(5): with none, every first boot would run all first-boot work."""
        return hashlib.md5(self.host_public.encode(), usedforsecurity=False).hexdigest()

    def overlay_values(self, sources: Sequence[str]) -> dict[str, object]:
        """What the templates below ``templates/guest`` want to know."""
        return {
            "hostname": HOSTNAME,
            "machine_id": self.machine_id,
            "authorized_key": self.authorized_key,
            "host_private": self.host_private.strip(),
            "host_public": self.host_public,
            "apt_options": [(name, for_guest(value)) for name, value in self.options],
            "apt_sources": [for_guest_line(line) for line in sources],
        }


def plan_build(
    recipe: BuildRecipe,
    packages: Packages,
    arch: str,
    apt: HostApt,
    *,
    authorized_key: str,
    host_private: str,
    host_public: str,
    mirror: str | None = None,
    proxy: str | None = None,
) -> BuildPlan:
    """The build of ``recipe`` with the mirrors and options of the host's apt, or the user's own ``mirror``.

    The toolchain goes in as well: unpacking it here takes seconds where an emulated guest takes minutes, and
    provisioning then finds it done. Raises HostError("no-mirror") when there is no mirror to build from.
    """
    main = mirror or apt.find_mirror(recipe.distribution)
    if main is None:
        raise HostError(
            f"The host's apt has no {recipe.distribution} mirror to build {recipe.suite} from",
            code="no-mirror",
            hint="Set `mirror:` in ebpf-dev.yaml (or --mirror) to one.",
        )
    security = (apt.find_security_mirror(recipe.distribution) if mirror is None else None) or main
    components = " ".join(recipe.components)
    proxies = [("Acquire::http::Proxy", proxy), ("Acquire::https::Proxy", proxy)] if proxy else []
    return BuildPlan(
        arch=arch,
        suite=recipe.suite,
        keyring=recipe.keyring,
        packages=tuple(dict.fromkeys((*recipe.include, *packages.kernel, *packages.toolchain))),
        sources=(f"deb {main} {recipe.suite} {components}",),
        optional=tuple(
            f"deb {security if suite.endswith('-security') else main} {suite} {components}"
            for suite in recipe.updates
        ),
        options=(*apt.options, *((name, value) for name, value in proxies if value)),
        authorized_key=authorized_key,
        host_private=host_private,
        host_public=host_public,
    )


def for_guest_line(line: str) -> str:
    """A one-line apt entry with its URI as the guest reaches it."""
    kind, uri, rest = line.split(" ", 2)
    return f"{kind} {for_guest(uri)} {rest}"


def mmdebstrap_argv(plan: BuildPlan, mode: str, target: Path, sources: Sequence[str]) -> list[str]:
    """The command line that makes the tree ``target``.

    It is run in the directory that holds early.tar, final.tar and runner.tar, so that the hooks, which a shell
    reads, hold no path of the user's.
    """
    options = [f"--aptopt={line}" for line in apt_option_words(plan.options)]
    excludes = [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
    return [
        "mmdebstrap",
        f"--mode={mode}",
        "--format=directory",
        "--variant=minbase",
        f"--architectures={DEB_ARCHES[plan.arch]}",
        f"--include={','.join(plan.packages)}",
        f"--keyring={plan.keyring}",
        *options,
        *excludes,
        # Before the kernel is installed, whose initramfs it shapes.
        "--essential-hook=tar-in early.tar /",
        "--customize-hook=tar-in final.tar /",
        # The mirror options meant for the host; final.tar brought the guest's.
        '--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"',
        '--customize-hook=chroot "$1" systemctl enable ssh.service',
        # Without libbpf the guest builds that first.
        *(_runner_hooks() if "libbpf-dev" in plan.packages else ()),
        *_vmlinux_hooks(plan),
        # It would empty /etc/machine-id again; see BuildPlan.machine_id.
        "--skip=cleanup/reproducible",
        plan.suite,
        str(target),
        *sources,
    ]  # fmt: skip


def _runner_hooks() -> list[str]:
    """Build the runner in the tree: seconds here, a minute or more in an emulated guest.

    It is no part of what shapes an image: a guest whose image holds an older one builds its own.
    """
    make = f"cd {HOME}/runner.src && make -s && mv runner {runner_path()} && rm -rf {HOME}/runner.src"
    return ["--customize-hook=tar-in runner.tar /", f"--customize-hook=chroot \"$1\" sh -ec '{make}'"]


def _vmlinux_hooks(plan: BuildPlan) -> list[str]:
    """Write and precompile vmlinux.h: seconds here, most of a minute in an emulated guest, which else does it."""
    if plan.arch != "x86_64" or not {"bpftool", "clang"} <= set(plan.packages):
        return []
    return [f'--customize-hook=chroot "$1" {shlex.join(write_from_image(HOME, "/boot", "/tmp", plan.arch))} || :']


def _runner_tar() -> bytes:
    return make_tar({f"{HOME}/runner.src/{name}".lstrip("/"): source for name, source in runner_sources().items()})


def build_base(plan: BuildPlan, draft: Draft, reporter: Reporter) -> None:
    """Carry the plan out and fill the draft: disk, kernel, initrd.

    Raises HostError: "tool-missing", "no-subuid", "disk-full", "mirror-unreachable", "build-failed".
    """
    check_tools(plan.arch)
    check_space(draft.directory, SPACE_NEEDED, "to build the image")
    if plan.arch != host_arch():
        reporter.note(f"The programs of {plan.arch} that this takes are emulated: it may be half an hour, once.")
    with scratch_directory() as scratch:
        check_space(scratch, SPACE_NEEDED, "to build the image")
        tree = Tree(scratch / "tree")
        try:
            with reporter.step(f"Building {plan.suite} from packages") as step:
                _make_tree(plan, tree, scratch, step, reporter)
            with reporter.step("Making the root disk") as step:
                _take_out(tree, draft)
                _make_disk(tree, draft, step)
        finally:
            tree.remove()


def _make_tree(plan: BuildPlan, tree: Tree, scratch: Path, step: Step, reporter: Reporter) -> None:
    """Run mmdebstrap, a second time without the optional suites when the mirror does not have them."""
    tries = [(*plan.sources, *plan.optional), plan.sources] if plan.optional else [plan.sources]
    for index, sources in enumerate(tries):
        values = plan.overlay_values(sources)
        for stage in ("early", "final"):
            write_atomic(scratch / f"{stage}.tar", make_overlay(stage, values))
        write_atomic(scratch / "runner.tar", _runner_tar())
        argv = mmdebstrap_argv(plan, tree.mode, tree.path, sources)
        status, tail = run_mmdebstrap(argv, scratch, step)
        if status == 0:
            return
        tree.remove()
        if index + 1 < len(tries) and _misses_suite(tail, plan.optional):
            reporter.debug("The mirror has none of the update suites; building without them.")
            continue
        raise mmdebstrap_failed(status, tail)


def _take_out(tree: Tree, draft: Draft) -> None:
    """Copy kernel and initrd out of the tree, and note what is in it."""
    releases = sorted(path.name.removeprefix("vmlinuz-") for path in (tree.path / "boot").glob("vmlinuz-*"))
    if not releases:
        raise build_failed("mmdebstrap", "the tree holds no kernel in /boot")
    release = releases[-1]
    tree.copy_out(f"boot/vmlinuz-{release}", draft.kernel)
    tree.copy_out(f"boot/initrd.img-{release}", draft.initrd)
    draft.source, draft.release, draft.cmdline = "packages", release, CMDLINE
    draft.facts = {"packages": parse_dpkg_status((tree.path / "var/lib/dpkg/status").read_text(errors="replace"))}


def _make_disk(tree: Tree, draft: Draft, step: Step) -> None:
    raw = draft.directory / "root.raw"
    step.detail("writing the file system")
    write_filesystem(tree, raw, DISK_SIZE)
    step.detail("packing it")
    argv: list[str | Path] = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, draft.disk]
    packed = run_tool(argv, needed_for=NEEDED_FOR, timeout=600, check=False)
    if not packed.ok:
        raise build_failed("qemu-img", packed.stderr)
    raw.unlink()


def parse_dpkg_status(text: str) -> dict[str, str]:
    """Installed packages and their versions, from dpkg's status file."""
    found = {}
    for paragraph in text.split("\n\n"):
        name = re.search(r"^Package: (.+)$", paragraph, re.MULTILINE)
        version = re.search(r"^Version: (.+)$", paragraph, re.MULTILINE)
        if name and version and "\nStatus: install ok installed" in f"\n{paragraph}":
            found[name[1]] = version[1]
    return found


def _misses_suite(tail: Sequence[str], entries: Sequence[str]) -> bool:
    """Whether apt's words are about the suites of ``entries`` and not about a mirror that does not answer."""
    failed = "\n".join(line for line in tail if line.startswith(("E: ", "Err:", "W: ")))
    if re.search(r"Could not (resolve|connect)|Temporary failure|Unable to connect", failed):
        return False
    return any(entry.split(" ")[2] in failed for entry in entries)


def plan_digest(plan: BuildPlan, templates: bytes) -> str:
    """A short digest of everything that shapes the result; mirrors and options only say where it comes from."""
    parts = [plan.arch, plan.suite, plan.packages, plan.authorized_key, plan.host_public, CMDLINE, DISK_SIZE]
    return hashlib.sha256(json.dumps(parts).encode() + templates).hexdigest()[:12]
