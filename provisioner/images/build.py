"""A base disk from distribution packages: mmdebstrap makes the tree, mke2fs the file system, both unprivileged.

As root the tree is made directly. As an ordinary user mmdebstrap unshares a user namespace, in which the
tree's owners are numbers out of the user's range in /etc/subuid; every later look into the tree then goes
through ``mmdebstrap --unshare-helper``, which maps them back.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.errors import HostError
from provisioner.core.files import write_atomic
from provisioner.core.process import find_tool, require_tool, run_tool
from provisioner.core.reporter import Reporter, Step
from provisioner.images.base import Draft
from provisioner.images.catalogue import BuildRecipe, Packages
from provisioner.images.disk import check_space
from provisioner.images.hostapt import HostApt, apt_option_words, for_guest
from provisioner.images.overlay import make_overlay

#: Of the root disk as the guest sees it; sparse here. Debian's and Ubuntu's own cloud images have 2-3 GB, which
#: a toolchain overflows. A larger ``--disk`` is grown into at provisioning.
DISK_SIZE = 20 << 30
#: Measured for Debian 13 with the toolchain: 1.3 GB of tree, as much again as a raw disk, and its packages.
SPACE_NEEDED = 4 << 30
HOSTNAME = "ebpf-dev"
#: QEMU's user-mode network answers DNS here (qemu docs/system/devices/net.rst).
NAMESERVER = "10.0.2.3"
#: ``rw``: nothing remounts it later. The rest is said by the recipe of whoever boots it.
CMDLINE = "root=/dev/vda rw net.ifnames=0 quiet loglevel=4 panic=-1"
DEB_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
_NEEDED_FOR = "to build an image from packages"
_SCRATCH_PREFIX = "ebpf-dev-build-"
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
            "nameserver": NAMESERVER,
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


def mmdebstrap_argv(
    plan: BuildPlan, mode: str, target: Path, overlays: Path, sources: Sequence[str]
) -> list[str]:
    """The command line that makes the tree ``target``; ``overlays`` holds early.tar and final.tar.

    It runs in that directory, so the hooks, which a shell reads, hold no path of the user's.
    """
    del overlays  # the working directory; see above
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
        '--customize-hook=chroot "$1" systemctl enable systemd-networkd.service ssh.service',
        plan.suite,
        str(target),
        *sources,
    ]  # fmt: skip


def check_tools(arch: str) -> None:
    """Raise HostError with a cure when this host cannot build; quick, starts nothing that lasts."""
    for tool in ("mmdebstrap", "mke2fs", "qemu-img"):
        require_tool(tool, _NEEDED_FOR)
    if os.geteuid() != 0:
        _check_subordinate_ids()
    host = run_tool(["dpkg", "--print-architecture"], needed_for=_NEEDED_FOR).stdout.strip()
    emulator = {"x86_64": "qemu-x86_64", "aarch64": "qemu-aarch64"}[arch]
    if host != DEB_ARCHES[arch] and not Path("/proc/sys/fs/binfmt_misc", emulator).exists():
        raise HostError(
            f"This host cannot run {arch} programs, which building an image for it takes",
            code="foreign-arch",
            hint="Install qemu-user-static and binfmt-support.",
        )


def build_base(plan: BuildPlan, draft: Draft, reporter: Reporter) -> None:
    """Carry the plan out and fill the draft: disk, kernel, initrd.

    Raises HostError: "tool-missing", "no-subuid", "disk-full", "mirror-unreachable", "build-failed".
    """
    check_tools(plan.arch)
    check_space(draft.directory, SPACE_NEEDED, "to build the image")
    with _scratch() as scratch:
        check_space(scratch, SPACE_NEEDED, "to build the image")
        tree = _Tree(scratch / "tree")
        try:
            with reporter.step(f"Building {plan.suite} from packages") as step:
                _make_tree(plan, tree, scratch, step, reporter)
            with reporter.step("Making the root disk") as step:
                _take_out(tree, draft)
                _make_disk(tree, draft, step)
        finally:
            tree.remove()


class _Tree:
    """A root file system in a directory, whose owners may exist in a user namespace only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mode = "root" if os.geteuid() == 0 else "unshare"
        self._prefix = (
            () if self.mode == "root" else (str(require_tool("mmdebstrap", _NEEDED_FOR)), "--unshare-helper")
        )

    def run(self, argv: Sequence[str | Path], *, stdin: int | None = None, stdout: int | None = None) -> None:
        """Run a tool that sees the tree's real owners; raises HostError("build-failed") with its words."""
        tool = require_tool(str(argv[0]), _NEEDED_FOR)
        done = subprocess.run(
            [*self._prefix, str(tool), *map(str, argv[1:])],
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.DEVNULL if stdout is None else stdout,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode != 0:
            raise _build_failed(str(argv[0]), done.stderr.decode(errors="replace"))

    def copy_out(self, name: str, target: Path) -> None:
        with target.open("wb") as file:
            self.run(["cat", self.path / name], stdout=file.fileno())

    def remove(self) -> None:
        if self.path.exists():
            with contextlib.suppress(HostError):
                self.run(["rm", "-rf", "--one-file-system", self.path])


def _make_tree(plan: BuildPlan, tree: _Tree, scratch: Path, step: Step, reporter: Reporter) -> None:
    """Run mmdebstrap, a second time without the optional suites when the mirror does not have them."""
    tries = [(*plan.sources, *plan.optional), plan.sources] if plan.optional else [plan.sources]
    for index, sources in enumerate(tries):
        values = plan.overlay_values(sources)
        for stage in ("early", "final"):
            write_atomic(scratch / f"{stage}.tar", make_overlay(stage, values))
        argv = mmdebstrap_argv(plan, tree.mode, tree.path, scratch, sources)
        status, tail = _run_mmdebstrap(argv, scratch, step)
        if status == 0:
            return
        tree.remove()
        if index + 1 < len(tries) and _misses_suite(tail, plan.optional):
            reporter.debug("The mirror has none of the update suites; building without them.")
            continue
        raise _mmdebstrap_failed(status, tail)


def _run_mmdebstrap(argv: Sequence[str], scratch: Path, step: Step) -> tuple[int, list[str]]:
    """Run it to its end and return its status and last lines; it is ended when we are interrupted."""
    tail: deque[str] = deque(maxlen=40)
    tool = require_tool(argv[0], _NEEDED_FOR)
    process = subprocess.Popen(
        [str(tool), *argv[1:]],
        cwd=scratch,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # Its own session: Ctrl-C must not kill apt before mmdebstrap, told by us, has cleaned up.
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            tail.append(line.rstrip())
            if line.startswith("I: "):
                step.detail(line[3:].strip().rstrip("."))
        return process.wait(), list(tail)
    except BaseException:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _take_out(tree: _Tree, draft: Draft) -> None:
    """Copy kernel and initrd out of the tree, and note what is in it."""
    releases = sorted(path.name.removeprefix("vmlinuz-") for path in (tree.path / "boot").glob("vmlinuz-*"))
    if not releases:
        raise _build_failed("mmdebstrap", "the tree holds no kernel in /boot")
    release = releases[-1]
    tree.copy_out(f"boot/vmlinuz-{release}", draft.kernel)
    tree.copy_out(f"boot/initrd.img-{release}", draft.initrd)
    draft.source, draft.release, draft.cmdline = "packages", release, CMDLINE
    draft.facts = {
        "packages": parse_dpkg_status((tree.path / "var/lib/dpkg/status").read_text(errors="replace"))
    }


def _make_disk(tree: _Tree, draft: Draft, step: Step) -> None:
    raw = draft.directory / "root.raw"
    step.detail("writing the file system")
    # The disk lies in a directory of 0700 that the namespace's users cannot pass, so it is handed over as an
    # open file, and 0666 because opening /proc/self/fd/0 checks the file's own mode again.
    descriptor = os.open(raw, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.fchmod(descriptor, 0o666)
        os.truncate(descriptor, DISK_SIZE)
        tree.run(mke2fs_argv(tree.path), stdin=descriptor)
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    step.detail("packing it")
    run_tool(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, draft.disk],
        needed_for=_NEEDED_FOR,
        timeout=600,
    )
    raw.unlink()


def mke2fs_argv(tree: Path) -> list[str]:
    """The command line that writes ``tree`` into the disk on its stdin.

    Nothing is initialised lazily: the guest's kernel would do it later, in every instance's overlay.
    """
    return [
        "mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-m", "1",
        "-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
        "-d", str(tree), "/proc/self/fd/0",
    ]  # fmt: skip


def parse_dpkg_status(text: str) -> dict[str, str]:
    """Installed packages and their versions, from dpkg's status file."""
    found = {}
    for paragraph in text.split("\n\n"):
        name = re.search(r"^Package: (.+)$", paragraph, re.MULTILINE)
        version = re.search(r"^Version: (.+)$", paragraph, re.MULTILINE)
        if name and version and "\nStatus: install ok installed" in f"\n{paragraph}":
            found[name[1]] = version[1]
    return found


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A directory for the tree, away from the user's own ones, which a user namespace may not pass.

    Not in /tmp unless TMPDIR says so: that is often memory, and a tree takes more than a gigabyte.
    """
    parent = Path(os.environ.get("TMPDIR") or "/var/tmp")
    _sweep(parent)
    path = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH_PREFIX}{os.getuid()}-{os.getpid()}-", dir=parent))
    try:
        path.chmod(0o1777)
        yield path
    finally:
        _remove_scratch(path)


def _sweep(parent: Path) -> None:
    """Remove what killed builds of ours left behind."""
    for path in parent.glob(f"{_SCRATCH_PREFIX}{os.getuid()}-*"):
        pid = path.name.removeprefix(_SCRATCH_PREFIX).split("-")[1]
        if path.stat().st_uid == os.getuid() and not Path("/proc", pid).exists():
            _remove_scratch(path)


def _remove_scratch(path: Path) -> None:
    if os.geteuid() != 0:
        for entry in path.iterdir():
            if entry.stat().st_uid != os.getuid():
                _Tree(entry).remove()
    shutil.rmtree(path, ignore_errors=True)


def _check_subordinate_ids() -> None:
    import pwd

    user = pwd.getpwuid(os.geteuid()).pw_name
    if find_tool("newuidmap") is None:
        raise HostError(
            "newuidmap is not installed; building an image as an ordinary user needs it",
            code="tool-missing",
            hint="Run `ebpf-dev doctor --fix`, or install the package uidmap.",
        )
    for name in ("subuid", "subgid"):
        if not _has_range(Path("/etc", name), user):
            raise HostError(
                f"/etc/{name} gives {user} no subordinate ids; building an image as an ordinary user needs them",
                code="no-subuid",
                hint=f"Run: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
            )


def _has_range(path: Path, user: str) -> bool:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return False
    return any(line.split(":")[0] in {user, str(os.geteuid())} for line in lines)


def _misses_suite(tail: Sequence[str], entries: Sequence[str]) -> bool:
    suites = [entry.split(" ")[2] for entry in entries]
    failed = [line for line in tail if line.startswith(("E: ", "Err:", "W: "))]
    return any(suite in line for line in failed for suite in suites)


def _mmdebstrap_failed(status: int, tail: Sequence[str]) -> HostError:
    text = "\n".join(line for line in tail if not line.startswith("I: "))
    if "No space left on device" in text:
        return HostError(
            "The disk filled up while the image was being built",
            code="disk-full",
            details=text,
            hint="Free some space, or point TMPDIR at a larger disk; nothing half-written was kept.",
        )
    if re.search(r"Could not (resolve|connect)|Failed to fetch|Temporary failure|Unable to connect", text):
        return HostError(
            "The package mirror cannot be reached",
            code="mirror-unreachable",
            details=text,
            hint="Check the network; behind a proxy set `proxy:`, for another mirror `mirror:`.",
        )
    return _build_failed(f"mmdebstrap (status {status})", text)


def _build_failed(what: str, words: str) -> HostError:
    return HostError(
        f"{what} failed while the image was being built",
        code="build-failed",
        details=words.strip()[-4000:],
        hint="Try again; if it stays, look at the words above, they are the tool's own.",
    )


def plan_digest(plan: BuildPlan, templates: bytes) -> str:
    """A short digest of everything that shapes the result; mirrors and options only say where it comes from."""
    parts = [plan.arch, plan.suite, plan.packages, plan.authorized_key, plan.host_public, CMDLINE, DISK_SIZE]
    return hashlib.sha256(json.dumps(parts).encode() + templates).hexdigest()[:12]
