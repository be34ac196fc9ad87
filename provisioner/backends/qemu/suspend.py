"""Writing a machine out and taking it in again, through QEMU's migration."""

from __future__ import annotations

import errno
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from provisioner.backends.console import last_lines
from provisioner.backends.qemu.failures import disk_full
from provisioner.backends.qemu.layout import QemuFiles
from provisioner.backends.qemu.process import QemuProcess
from provisioner.backends.qemu.qmp import Qmp, QmpError
from provisioner.backends.qemu.ramstream import (
    KnownMemory,
    NewMemory,
    Read,
    StreamError,
    copy_whole,
    copy_without,
)
from provisioner.core.errors import EbpfDevError, InstanceError
from provisioner.core.files import copy_sparse, share_file

_TICK = 0.01
#: Seconds for some gigabytes on a slow disk.
_TIMEOUT = 300.0
#: Bytes of changed pages that are read in about a tenth of a second; more of them are worth a new file.
_MANY_CHANGES = 64 * 2**20

Copy = Callable[[Read, BinaryIO], None]


def write_state(qmp: Qmp, process: QemuProcess, target: QemuFiles) -> None:
    """Stop the guest and write the machine to ``target``, complete or not at all; the guest stays stopped.

    ``target.state`` has the devices, and of the memory what differs from ``target.memory``. Raises HostError
    ("disk-full") or InstanceError("save-failed"); the guest then runs on.
    """
    machine, base = process.files.machine, process.files.memory
    qmp.execute("stop")
    try:
        if machine.memory_in_file:
            # What the guest has written is in the file already.
            with _made(target.state) as state:
                _receive(qmp, partial(copy_whole, target=state), leave_out_shared=True)
        else:
            _write_divided(qmp, base, target, machine.memory)
    except (QmpError, StreamError, OSError) as exc:
        target.forget_saved()
        let_go_on(qmp)
        raise explain_save(process, exc) from exc


def read_state(qmp: Qmp, source: Path, *, leave_out_shared: bool) -> None:
    """Take in what ``write_state`` wrote; the guest stands still afterwards. Raises QmpError."""
    # A URI for plain files exists since QEMU 8.2 only.
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


def _write_divided(qmp: Qmp, base: Path, target: QemuFiles, size: int) -> None:
    try:
        if base.exists() and base.stat().st_size == size:
            _write_changes(qmp, base, target, size)
        else:
            _write_memory(qmp, target, size)
    except StreamError:
        # A QEMU that writes something else than those we know: slower to read again, and right all the same.
        _wait_until(qmp, "failed")
        with _made(target.memory) as memory, _made(target.state) as state:
            memory.truncate(size)
            _receive(qmp, partial(copy_whole, target=state))


def _write_memory(qmp: Qmp, target: QemuFiles, size: int) -> None:
    """All of the memory into a file of its own, for the next resume to map."""
    with _made(target.memory) as memory, _made(target.state) as state:
        memory.truncate(size)
        _receive(qmp, partial(copy_without, target=state, memory=NewMemory(memory), size=size))


def _write_changes(qmp: Qmp, base: Path, target: QemuFiles, size: int) -> None:
    """Of the memory only what differs from ``base``; when that is much, into a new file."""
    with base.open("rb") as known, _made(target.state) as state:
        _receive(qmp, partial(copy_without, target=state, memory=KnownMemory(known), size=size))
    if target.state.stat().st_size <= _MANY_CHANGES:
        if target.memory != base:
            share_file(base, target.memory)
        return
    # In this order a kill between the two leaves changes that the new file has too, which does no harm.
    with target.state.open("rb") as changes, _made(target.state) as state, _made(target.memory) as memory:
        copy_sparse(base, Path(memory.name))
        copy_without(changes.read, state, NewMemory(memory), size)


def _receive(qmp: Qmp, copy: Callable[[Read], None], *, leave_out_shared: bool = False) -> None:
    """Let QEMU write the machine to ``copy``; raises QmpError and what ``copy`` raises."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            qmp.start_saving(theirs, leave_out_shared=leave_out_shared)
        ours.settimeout(_TIMEOUT)
        copy(ours.recv)
    # The stream ends a moment before QEMU says whether it is whole.
    _wait_until(qmp, "completed")


def _wait_until(qmp: Qmp, wanted: str) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while (state := qmp.saving()) != wanted:
        if state in ("completed", "failed") or time.monotonic() > deadline:
            raise QmpError(f"QEMU could not write its state: {state}")
        time.sleep(_TICK)


@contextmanager
def _made(path: Path) -> Iterator[BinaryIO]:
    """A private file to fill, that gets its name when it is whole and on the disk."""
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    with part.open("w+b") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def explain_save(process: QemuProcess, error: Exception) -> EbpfDevError:
    """The error about a save that failed of ``error``, after which the guest runs on."""
    if isinstance(error, EbpfDevError):
        return error
    machine, words = process.files.machine, last_lines(process.files.log)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(machine, str(error))
    return InstanceError(
        f"the memory of {machine.name!r} could not be saved: {error}",
        code="save-failed",
        details=words,
        hint=f"It runs on; `ebpf-dev down {machine.name} --no-save` shuts it down instead.",
    )
