"""Which C line each instruction of a program comes from, read from an object's .BTF.ext.

Formats: ELF64 as in <elf.h>; Documentation/bpf/btf.rst of the kernel for .BTF and .BTF.ext.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from provisioner.bpf.explain.verifier_log import Source

_BTF_MAGIC = 0xEB9F
_STT_FUNC = 2
_SHT_SYMTAB = 2
_INSTRUCTION_BYTES = 8


@dataclass(frozen=True)
class _Section:
    name: str
    kind: int
    link: int
    data: bytes


@dataclass(frozen=True)
class _Function:
    name: str
    section: str
    start: int
    size: int


def read_lines(data: bytes, program: str | None = None) -> dict[int, Source]:
    """Number of instruction -> line of C, for ``program`` (default: the object's only one).

    Empty when the object is damaged, has no line information or no such program. Functions that libbpf appends
    to the program are beyond its own instructions, and not in the table.
    """
    try:
        order, sections = _sections(data)
        function = _program(_functions(order, sections), program)
        return dict(_lines(order, sections, function)) if function else {}
    except (struct.error, IndexError, KeyError, UnicodeDecodeError, ValueError):
        return {}


def _program(functions: list[_Function], name: str | None) -> _Function | None:
    programs = [function for function in functions if function.section != ".text"]
    if name is None:
        return programs[0] if len(programs) == 1 else None
    return next((function for function in programs if function.name == name), None)


def _sections(data: bytes) -> tuple[str, list[_Section]]:
    """The byte order, for struct, and the sections."""
    if data[:5] != b"\x7fELF\x02":
        raise ValueError("not a 64-bit ELF file")
    order = "<" if data[5] == 1 else ">"
    (start,) = struct.unpack_from(f"{order}Q", data, 40)
    size, count, names_at = struct.unpack_from(f"{order}HHH", data, 58)
    headers = [struct.unpack_from(f"{order}IIQQQQII", data, start + number * size) for number in range(count)]
    names = _content(data, headers[names_at])
    return order, [_Section(_text(names, h[0]), h[1], h[6], _content(data, h)) for h in headers]


def _content(data: bytes, header: tuple[int, ...]) -> bytes:
    return data[header[4] : header[4] + header[5]]


def _text(table: bytes, at: int) -> str:
    return table[at : table.index(b"\0", at)].decode()


def _functions(order: str, sections: list[_Section]) -> list[_Function]:
    table = next(section for section in sections if section.kind == _SHT_SYMTAB)
    names = sections[table.link].data
    found = []
    for name, info, _, index, value, size in struct.iter_unpack(f"{order}IBBHQQ", table.data):
        if info & 0xF == _STT_FUNC and index < len(sections):
            found.append(_Function(_text(names, name), sections[index].name, value, size))
    return found


def _lines(order: str, sections: list[_Section], function: _Function) -> Iterator[tuple[int, Source]]:
    by_name = {section.name: section.data for section in sections}
    strings = _strings(order, by_name[".BTF"])
    current: Source | None = None
    records = {
        (offset - function.start) // _INSTRUCTION_BYTES: Source(
            _text(strings, line).strip(), _text(strings, file), place >> 10, place & 0x3FF or None
        )
        for section, offset, file, line, place in _records(order, by_name[".BTF.ext"], strings)
        if section == function.section and function.start <= offset < function.start + function.size
    }
    for number in range(function.size // _INSTRUCTION_BYTES):
        current = records.get(number, current)
        if current and current.line:
            yield number, current


def _strings(order: str, btf: bytes) -> bytes:
    magic, _, _, header, _, _, start, length = struct.unpack_from(f"{order}HBBIIIII", btf)
    if magic != _BTF_MAGIC:
        raise ValueError("no BTF")
    return btf[header + start : header + start + length]


def _records(order: str, data: bytes, strings: bytes) -> Iterator[tuple[str, int, int, int, int]]:
    """Section, byte offset of the instruction, file, text (both offsets of strings), line << 10 | column."""
    magic, _, _, header, _, _, start, length = struct.unpack_from(f"{order}HBBIIIII", data)
    if magic != _BTF_MAGIC:
        raise ValueError("no BTF")
    at, end = header + start, header + start + length
    (record_size,) = struct.unpack_from(f"{order}I", data, at)
    at += 4
    while at < end:
        name, count = struct.unpack_from(f"{order}II", data, at)
        at += 8
        for _ in range(count):
            yield (_text(strings, name), *struct.unpack_from(f"{order}IIII", data, at))
            at += record_size
