"""A root file system made by mmdebstrap in a directory, and written into an ext4 disk, both unprivileged.

As root the tree is made directly. As an ordinary user mmdebstrap unshares a user namespace, in which the
tree's owners are numbers out of the user's range in /etc/subuid; every later look into the tree then goes
through ``mmdebstrap --unshare-helper``, which maps them back.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from provisioner.core.errors import HostError
from provisioner.core.host import find_tool
from provisioner.core.process import require_tool, run_tool
from provisioner.core.reporter import Step
from provisioner.images.foreign import check_programs_run

NEEDED_FOR = "to build an image from packages"
_SCRATCH_PREFIX = "ebpf-dev-build-"
_UNREACHABLE = re.compile(
    r"Could not (resolve|connect)|Failed to fetch|Temporary failure|Unable to connect|"
    r"does not have a Release file"
)


def check_tools(arch: str) -> None:
    """Raise HostError with a cure when this host cannot build; quick, starts nothing that lasts."""
    for tool in ("mmdebstrap", "mke2fs", "qemu-img"):
        require_tool(tool, NEEDED_FOR)
    if os.geteuid() != 0:
        _check_subordinate_ids()
    check_programs_run(arch)


class Tree:
    """A root file system in a directory, whose owners may exist in a user namespace only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mode = "root" if os.geteuid() == 0 else "unshare"
        self._prefix = (
            () if self.mode == "root" else (str(require_tool("mmdebstrap", NEEDED_FOR)), "--unshare-helper")
        )

    def run(self, argv: Sequence[str | Path], *, stdin: int | None = None, stdout: int | None = None) -> None:
        """Run a tool that sees the tree's real owners; raises HostError("build-failed") with its words."""
        tool = require_tool(str(argv[0]), NEEDED_FOR)
        done = subprocess.run(
            [*self._prefix, str(tool), *map(str, argv[1:])],
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.DEVNULL if stdout is None else stdout,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode != 0:
            raise build_failed(str(argv[0]), done.stderr.decode(errors="replace"))

    def copy_out(self, name: str, target: Path) -> None:
        with target.open("wb") as file:
            self.run(["cat", self.path / name], stdout=file.fileno())

    def remove(self) -> None:
        if self.path.exists():
            with contextlib.suppress(HostError):
                self.run(["rm", "-rf", "--one-file-system", self.path])


def run_mmdebstrap(argv: Sequence[str], scratch: Path, step: Step) -> tuple[int, list[str]]:
    """Run it in ``scratch`` to its end and return its status and last lines; it dies when we are interrupted.

    ``step`` shows what it is doing.
    """
    tail: deque[str] = deque(maxlen=40)
    tool = require_tool(argv[0], NEEDED_FOR)
    process = subprocess.Popen(
        [*_own_mounts(), str(tool), *argv[1:]],
        cwd=scratch,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # A group of its own: it ignores every signal itself and must be ended together with its children.
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            tail.append(line.rstrip())
            if line.startswith("I: "):
                step.detail(line[3:].strip().rstrip("."))
        return process.wait(), list(tail)
    finally:
        if process.poll() is None:
            _end_group(process)


def _own_mounts() -> tuple[str, ...]:
    """What to begin a command with so that its mounts end with it, however it ends; () where nothing is needed.

    As root mmdebstrap mounts /proc, /sys and /dev in the tree, and killed with SIGKILL it would leave them there.
    An ordinary user's are in a namespace of their own anyway; a container's root that may make none, may mount
    nothing either.
    """
    if os.geteuid() != 0 or find_tool("unshare") is None:
        return ()
    prefix = ("unshare", "--mount", "--propagation", "private", "--")
    return prefix if run_tool([*prefix, "true"], needed_for=NEEDED_FOR, check=False).ok else ()


def _end_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=3)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def mke2fs_argv(tree: Path, label: str) -> list[str]:
    """The command line that writes ``tree`` into the disk on its stdin.

    Nothing is initialised lazily: the guest's kernel would do it later, in every instance's overlay.
    """
    return [
        "mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-m", "1",
        "-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
        "-d", str(tree), "/proc/self/fd/0",
    ]  # fmt: skip


def write_filesystem(tree: Tree, disk: Path, size: int, label: str = "root") -> None:
    """Make ``disk``, a new raw file of ``size`` bytes, an ext4 file system with the tree's content and owners.

    Raises HostError "build-failed" or "disk-full".
    """
    # The disk may lie in a directory of 0700 that the namespace's users cannot pass, so it is handed over as an
    # open file; and with 0666, because opening /proc/self/fd/0 looks at the file's own mode again.
    descriptor = os.open(disk, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.fchmod(descriptor, 0o666)
        os.truncate(descriptor, size)
        tree.run(mke2fs_argv(tree.path, label), stdin=descriptor)
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory for the tree, away from the user's own ones, which a user namespace may not pass.

    Not in /tmp unless TMPDIR says so: that is often memory, and a tree takes more than a gigabyte.
    """
    parent = Path(os.environ.get("TMPDIR") or "/var/tmp")
    _sweep(parent)
    path = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH_PREFIX}{os.getuid()}-{os.getpid()}-", dir=parent))
    try:
        path.chmod(0o711)
        yield path if os.getuid() == 0 else _open_directory(path)
    finally:
        _remove_scratch(path)


def _open_directory(parent: Path) -> Path:
    """One that a user's subordinate users may write to, under a name that others cannot guess."""
    path = Path(tempfile.mkdtemp(dir=parent))
    path.chmod(0o1777)
    return path


def _sweep(parent: Path) -> None:
    """Remove what killed builds of ours left behind."""
    for path in parent.glob(f"{_SCRATCH_PREFIX}{os.getuid()}-*"):
        pid = path.name.removeprefix(_SCRATCH_PREFIX).split("-")[1]
        if path.stat().st_uid == os.getuid() and not Path("/proc", pid).exists():
            _end_orphans(path)
            _remove_scratch(path)


def _end_orphans(scratch: Path) -> None:
    """Kill an mmdebstrap that outlived the process that wanted its tree; it would go on writing there."""
    deadline = time.monotonic() + 10
    while (groups := _groups_naming(scratch)) and time.monotonic() < deadline:
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        time.sleep(0.1)


def _groups_naming(path: Path) -> set[int]:
    """Process groups, not our own, of the mmdebstraps that were told ``path``; a zombie has no command line."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            if os.fsencode(path) in words and b"/mmdebstrap\0" in words:
                found.add(os.getpgid(int(entry.name)))
    return found - {os.getpgrp()}


def _remove_scratch(path: Path) -> None:
    if os.geteuid() != 0:
        for entry in path.iterdir():
            if entry.stat().st_uid != os.getuid():
                Tree(entry).remove()
    # Not Python's rmtree, which would go on into whatever is mounted there: the host's own /dev, for one.
    run_tool(["rm", "-rf", "--one-file-system", path], needed_for=NEEDED_FOR, timeout=600, check=False)


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
                hint="`ebpf-dev doctor --fix` gives them.",
            )


def _has_range(path: Path, user: str) -> bool:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return False
    return any(line.split(":")[0] in {user, str(os.geteuid())} for line in lines)


def mmdebstrap_failed(status: int, tail: Sequence[str]) -> HostError:
    """What mmdebstrap's last lines mean; its progress is left out of the evidence."""
    words = "\n".join(line for line in tail if not line.startswith("I: "))
    return build_failed(f"mmdebstrap (status {status})", words)


def build_failed(what: str, words: str) -> HostError:
    """The failure of a build tool, explained by its own words: "disk-full", "mirror-unreachable" or else."""
    details = words.strip()[-4000:]
    if "No space left on device" in words or "Could not allocate block" in words:
        return HostError(
            "The disk filled up while the image was being built",
            code="disk-full",
            details=details,
            hint="Free some space, or point TMPDIR at a larger disk. Nothing half-written was kept.",
        )
    if _UNREACHABLE.search(words):
        return HostError(
            "The package mirror cannot be reached",
            code="mirror-unreachable",
            details=details,
            hint="Check the network; behind a proxy set `proxy:`, for another mirror `mirror:`.",
        )
    return HostError(
        f"{what} failed while the image was being built",
        code="build-failed",
        details=details,
        hint="Try again; if it stays, look at the words above, they are the tool's own.",
    )
