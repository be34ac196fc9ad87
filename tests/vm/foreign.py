"""Programs of another architecture, for as long as a test needs them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from provisioner.core.errors import HostError
from provisioner.images.foreign import check_programs_run

BINFMT = Path("/proc/sys/fs/binfmt_misc")
#: Where qemu-user-static says how the kernel is told about it; systemd reads it at boot.
RULES = Path("/usr/lib/binfmt.d")


@contextmanager
def programs_of(arch: str) -> Iterator[None]:
    """Let this host run them, and leave the kernel as it was. Raises HostError as ``check_programs_run`` does."""
    with ExitStack() as undo:
        rule = RULES / f"qemu-{arch}.conf"
        try:
            check_programs_run(arch)
        except HostError:
            if os.geteuid() != 0 or not rule.exists():
                raise
            _register(rule, undo)
            check_programs_run(arch)
        yield


def _register(rule: Path, undo: ExitStack) -> None:
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
        undo.callback(lambda: subprocess.run(["umount", BINFMT], check=True))
    (BINFMT / "register").write_text(rule.read_text())
    undo.callback((BINFMT / rule.stem).write_text, "-1")
