"""Files that a crash leaves either old or new, locks that a crash releases, and files that cannot be read."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from provisioner.core.paths import ensure_dir

#: ioctl_ficlone(2) of Linux: share the blocks of another file; refused by file systems that cannot.
_FICLONE = 0x40049409
_CHUNK = 2**20


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` by ``data`` in one step; readers see the old content or the new, never a part."""
    ensure_dir(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a disk image into ``target`` (0600), its holes staying holes; in no time where the file system shares.

    The copy is whole only when this returns.
    """
    with source.open("rb") as old, target.open("wb") as new:
        os.fchmod(new.fileno(), 0o600)
        with contextlib.suppress(OSError):
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
            return
        size = os.fstat(old.fileno()).st_size
        for start, end in data_ranges(old.fileno(), size):
            old.seek(start)
            new.seek(start)
            while (left := end - old.tell()) > 0:
                new.write(old.read(min(left, _CHUNK)))
        new.truncate(size)


def share_file(source: Path, target: Path) -> None:
    """Give a file that is never written to a second name; a copy where that cannot be. ``target`` is replaced."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        copy_sparse(source, target)


def data_ranges(handle: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of an open file, (start, end) each, that are not holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(handle, end, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # nothing but a hole is left
                return
            raise
        end = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, end


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=2, sort_keys=True).encode() + b"\n")


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock on an existing ``path`` unless somebody else does; says whether it is held."""
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        free = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            free = False
        yield free
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], None] | None = None, *, wait: bool = True) -> Iterator[int]:
    """Hold an exclusive lock on ``path`` (made when missing); the kernel drops it when the process dies.

    ``on_wait`` is called once when somebody else holds it, before waiting for them; without ``wait``
    BlockingIOError is raised instead. The value is the descriptor, which a child process may take over.
    """
    ensure_dir(path.parent)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            if on_wait is not None:
                on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def file_fault(path: Path) -> str | None:
    """Why ``path`` cannot be read as a file, in words that follow its name; None when it can be tried."""
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        return "does not exist" if isinstance(exc, FileNotFoundError) else f"cannot be read: {exc.strerror}"
    if stat.S_ISDIR(mode):
        return "is a directory, not a file"
    return None if stat.S_ISREG(mode) else "is not a regular file"
