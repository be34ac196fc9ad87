"""What QEMU writes when it saves a machine, without the memory that a file has already.

All of a machine's memory in that stream takes a second to write, and another to read before the guest can go on.
A file is mapped in no time, page by page as they are needed, and several machines share what none of them has
changed. So pages are left out that a file has in the same place; where it is mapped, the rest of the stream makes
the memory whole.

The format is that of QEMU's migration/savevm.c and migration/ram.c: the same since QEMU 2.4, with version 4 of the
section "ram", as long as no capability of the migration changes it; we ask for none here.
"""

from __future__ import annotations

import bisect
import mmap
import os
import re
import struct
from collections.abc import Callable
from typing import BinaryIO, Protocol

from provisioner.core.files import data_ranges

#: TARGET_PAGE_SIZE of the boards that we use, x86-64's and that of `virt` on arm64.
PAGE = 4096
_ZEROS = bytes(PAGE)
_CHUNK = 2**20

# The section of the memory begins with its type, a number, its name, an instance number and a version.
_RAM = re.compile(rb"\x01(....)\x03ram\0\0\0\0\0\0\0\x04", re.DOTALL)
#: How far from the start of the stream it may begin: before it there is only a short description of the machine.
_PREAMBLE = 4096
_PART, _END, _FOOTER = 2, 3, 0x7E
# A record is a place with flags in its low 12 bits, the block's name unless it goes on with the last one, and
# a page or the byte that fills it.
_FLAGS = PAGE - 1
_IS_ZERO, _IS_SIZE, _IS_PAGE, _IS_END, _GOES_ON = 0x02, 0x04, 0x08, 0x10, 0x20
_ZERO_RUN = re.compile(
    rb"(?:.{6}[\0\x10\x20\x30\x40\x50\x60\x70\x80\x90\xa0\xb0\xc0\xd0\xe0\xf0]\x22\0)+", re.DOTALL
)
_ZERO_RECORD = 9
_WORD = struct.Struct(">Q")

Read = Callable[[int], bytes]


class StreamError(Exception):
    """The stream is not of the form that is known here, or it ended too early."""


class MemoryFile(Protocol):
    """A file with memory, that a machine is given before the stream."""

    def has(self, place: int, page: bytes) -> bool:
        """Whether the file has, or now has got, this page at this place."""

    def is_hole(self, first: int, last: int) -> bool:
        """Whether it has nothing but zeros, as far as is known, in the pages from ``first`` to ``last``."""


class KnownMemory:
    """A file that stays as it is: pages that differ from it are left in the stream."""

    def __init__(self, file: BinaryIO) -> None:
        self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._ranges = _Ranges(file)

    def has(self, place: int, page: bytes) -> bool:
        return self._content[place : place + PAGE] == page

    def is_hole(self, first: int, last: int) -> bool:
        return self._ranges.is_hole(first, last)


class NewMemory:
    """A file that takes every page, so that none is left in the stream; it may begin as the copy of another."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ranges = _Ranges(file)

    def has(self, place: int, page: bytes) -> bool:
        if page is not _ZEROS or not self.is_hole(place, place):
            os.pwrite(self._file.fileno(), page, place)
        return True

    def is_hole(self, first: int, last: int) -> bool:
        return self._ranges.is_hole(first, last)


class _Ranges:
    """Where a file had data when it was looked at."""

    def __init__(self, file: BinaryIO) -> None:
        ranges = list(data_ranges(file.fileno(), os.fstat(file.fileno()).st_size))
        self._starts = [start for start, _ in ranges]
        self._ends = [end for _, end in ranges]

    def is_hole(self, first: int, last: int) -> bool:
        at = bisect.bisect_right(self._ends, first)
        return at == len(self._starts) or self._starts[at] >= last + PAGE


def copy_without(read: Read, target: BinaryIO, memory: MemoryFile, size: int) -> None:
    """Copy the stream that ``read`` gives to ``target``, without what ``memory`` has.

    ``size`` is that of the machine's memory, in bytes. Raises StreamError.
    """
    _Copy(_Input(read), target, memory, size).run()


def copy_whole(read: Read, target: BinaryIO) -> None:
    """Copy a stream as it is."""
    while data := read(_CHUNK):
        target.write(data)


class _Input:
    def __init__(self, read: Read) -> None:
        self._read = read
        self.data = b""
        self.at = 0

    def need(self, count: int) -> None:
        """See that ``count`` bytes are at hand; raises StreamError when the stream ends before."""
        while len(self.data) - self.at < count:
            more = self._read(_CHUNK)
            if not more:
                raise StreamError("the stream ends in the middle")
            self.data = self.data[self.at :] + more
            self.at = 0

    def take(self, count: int) -> bytes:
        self.need(count)
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> Read:
        """For what follows; what was read ahead comes first."""
        left, self.data, self.at = self.data[self.at :], b"", 0

        def read(count: int) -> bytes:
            nonlocal left
            if left:
                ahead, left = left, b""
                return ahead
            return self._read(count)

        return read


class _Copy:
    def __init__(self, source: _Input, target: BinaryIO, memory: MemoryFile, size: int) -> None:
        self._source = source
        self._write = target.write
        self._target = target
        self._memory = memory
        self._size = size
        self._main = b""
        self._block = b""

    def run(self) -> None:
        number = self._copy_start()
        kind = _PART
        while kind == _PART:
            head = self._source.take(5)
            kind = head[0]
            if kind not in (_PART, _END) or head[1:] != number:
                raise StreamError(f"a section of type {kind} is among those of the memory")
            self._write(head)
            self._copy_records()
            self._copy_footer(number)
        copy_whole(self._source.rest(), self._target)

    def _copy_start(self) -> bytes:
        """Up to the end of the first section of the memory, which lists its blocks; return its number."""
        source = self._source
        source.need(_PREAMBLE)
        found = _RAM.search(source.data, 0, _PREAMBLE)
        if not found:
            raise StreamError("there is no section for the memory at its start")
        self._write(source.take(found.end()))
        head = source.take(8)
        (word,) = _WORD.unpack(head)
        if word & _FLAGS != _IS_SIZE:
            raise StreamError("the section of the memory does not begin with its size")
        self._write(head)
        self._copy_blocks(word & ~_FLAGS)
        if self._copy(8) != _WORD.pack(_IS_END):
            raise StreamError("something follows the blocks of the memory")
        self._copy_footer(found[1])
        return found[1]

    def _copy_blocks(self, total: int) -> None:
        while total > 0:
            name = self._copy(self._copy(1)[0])
            (length,) = _WORD.unpack(self._copy(8))
            if length == self._size:
                self._main = name
            total -= length
        if total or not self._main:
            raise StreamError("no block of the memory has the size of the machine's")

    def _copy_records(self) -> None:
        source = self._source
        while True:
            source.need(8)
            (word,) = _WORD.unpack_from(source.data, source.at)
            flags, place = word & _FLAGS, word & ~_FLAGS
            if flags == _IS_END:
                self._copy(8)
                return
            if flags == _IS_ZERO | _GOES_ON and self._block == self._main and self._skip_zeros(place):
                continue
            source.at += 8
            if not flags & _GOES_ON:
                self._block = source.take(source.take(1)[0])
            self._copy_record(place, flags & ~_GOES_ON)

    def _copy_record(self, place: int, kind: int) -> None:
        if kind == _IS_PAGE:
            content = page = self._source.take(PAGE)
        elif kind == _IS_ZERO:
            content, page = self._source.take(1), _ZEROS
            if content != b"\0":
                raise StreamError("a page is filled with something else than zeros")
        else:
            raise StreamError(f"a record of the memory has the flags {kind:#x}")
        if self._block == self._main and self._memory.has(place, page):
            return
        # With its name, because the one before it may have been left out.
        self._write(_WORD.pack(place | kind) + bytes([len(self._block)]) + self._block + content)

    def _skip_zeros(self, first: int) -> bool:
        """Whether a row of pages of zeros could be left out in one go; most of an idle machine's memory is."""
        source = self._source
        source.need(_ZERO_RECORD)
        found = _ZERO_RUN.match(source.data, source.at)
        if not found:
            return False
        (word,) = _WORD.unpack_from(source.data, found.end() - _ZERO_RECORD)
        last = word & ~_FLAGS
        in_a_row = (last - first) // PAGE + 1 == (found.end() - found.start()) // _ZERO_RECORD
        if not in_a_row or not self._memory.is_hole(first, last):
            return False
        source.at = found.end()
        return True

    def _copy(self, count: int) -> bytes:
        data = self._source.take(count)
        self._write(data)
        return data

    def _copy_footer(self, number: bytes) -> None:
        if self._copy(5) != bytes([_FOOTER]) + number:
            raise StreamError("a section of the memory has no end")
