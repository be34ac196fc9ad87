"""Writing a machine's memory out and taking it in again, through QEMU's migration to and from a file."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

from provisioner.backends.qemu.console import last_lines
from provisioner.backends.qemu.failures import NO_SPACE, disk_full
from provisioner.backends.qemu.process import QemuProcess
from provisioner.backends.qemu.qmp import Qmp, QmpError
from provisioner.core.errors import EbpfDevError, InstanceError

_TICK = 0.01
#: Seconds for some gigabytes on a slow disk.
_TIMEOUT = 300.0


def write_state(qmp: Qmp, process: QemuProcess, target: Path, *, leave_out_shared: bool) -> None:
    """Stop the guest and write the machine to ``target``, complete or not at all; the guest stays stopped.

    Raises HostError("disk-full") or InstanceError("save-failed"); the guest then runs on.
    """
    part = target.with_suffix(".part")
    part.touch(mode=0o600)
    qmp.execute("stop")
    try:
        # QEMU itself does not look whether the last bytes arrived: the rename says so. A URI for plain
        # files exists since QEMU 8.2 only.
        words = f"cat > {shlex.quote(str(part))} && mv {shlex.quote(str(part))} {shlex.quote(str(target))}"
        qmp.start_saving(f"exec:{words}", leave_out_shared=leave_out_shared)
        _wait_until_written(qmp, target)
        _flush(target)
    except (QmpError, OSError) as exc:
        part.unlink(missing_ok=True)
        let_go_on(qmp)
        raise _explain(process, str(exc)) from exc


def read_state(qmp: Qmp, source: Path, *, leave_out_shared: bool) -> None:
    """Take in what ``write_state`` wrote; the guest stands still afterwards. Raises QmpError."""
    qmp.start_loading(f"exec:cat < {shlex.quote(str(source))}", leave_out_shared=leave_out_shared)
    deadline = time.monotonic() + _TIMEOUT
    while qmp.status() == "inmigrate":
        if time.monotonic() > deadline:
            raise QmpError(f"the saved memory was not read within {_TIMEOUT:.0f} s")
        time.sleep(_TICK)


def let_go_on(qmp: Qmp) -> None:
    """Let a stopped guest run; a save that is under way would stop it again, so it is called off."""
    qmp.execute("migrate_cancel")
    qmp.execute("cont")


def _wait_until_written(qmp: Qmp, target: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while not target.exists():
        if qmp.saving() == "failed":
            raise QmpError("QEMU could not write its state")
        if time.monotonic() > deadline:
            raise QmpError(f"the memory was not written within {_TIMEOUT:.0f} s")
        time.sleep(_TICK)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _explain(process: QemuProcess, reason: str) -> EbpfDevError:
    machine, words = process.files.machine, last_lines(process.files.log)
    if NO_SPACE in words:
        return disk_full(machine, words)
    return InstanceError(
        f"the memory of {machine.name!r} could not be saved: {reason}",
        code="save-failed",
        details=words,
        hint=f"It runs on; `ebpf-dev down {machine.name} --no-save` shuts it down instead.",
    )
