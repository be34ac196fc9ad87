"""From a file on the host to what has to be sent: the program, its companion and the headers they include."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.errors import UsageError

#: Name endings of kernel-side C, longest first; what precedes them names the program.
PROGRAM_SUFFIXES = (".bpf.c", "_kern.c", ".kern.c", ".c")
#: Larger than any C file that people write, so surely not what was meant.
MAX_SOURCE_BYTES = 4 << 20

_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.MULTILINE)


@dataclass(frozen=True)
class Sources:
    """One program and everything local that it needs.

    ``root`` is the directory that all ``files`` lie below; they are relative to it, as are ``program``,
    ``companion`` (None without one) and ``include_dirs``.
    """

    root: Path
    stem: str
    program: Path
    companion: Path | None
    include_dirs: tuple[Path, ...]
    files: tuple[Path, ...]


def program_stem(name: str) -> str:
    """The program's name without the ending that says which side it belongs to.

    >>> [program_stem(n) for n in ("minimal.bpf.c", "xdp_prog_kern.c", "hello.c")]
    ['minimal', 'xdp_prog', 'hello']
    """
    suffix = next(suffix for suffix in PROGRAM_SUFFIXES if name.endswith(suffix))
    return name[: -len(suffix)]


def find_sources(program: Path, include_dirs: Sequence[Path] = ()) -> Sources:
    """Collect a program's files; raises UsageError ("no-such-file", "not-a-program", "no-such-directory")."""
    _check_program(program)
    for directory in include_dirs:
        if not directory.is_dir():
            raise UsageError(
                f"--include {directory}: there is no such directory",
                code="no-such-directory",
                hint="Give a directory that holds header files.",
            )
    program = program.resolve()
    dirs = tuple(directory.resolve() for directory in include_dirs)
    companion = _find_companion(program)
    files = include_closure([program, *([companion] if companion else [])], dirs)
    root = _common_root([*files, *dirs])
    return Sources(
        root=root,
        stem=program_stem(program.name),
        program=program.relative_to(root),
        companion=companion.relative_to(root) if companion else None,
        include_dirs=tuple(directory.relative_to(root) for directory in dirs),
        files=tuple(file.relative_to(root) for file in files),
    )


def include_closure(starts: Iterable[Path], include_dirs: Sequence[Path]) -> list[Path]:
    """The start files and every header found beside its includer or in ``include_dirs``, sorted.

    Headers that are nowhere on the host (libbpf's, the kernel's, a generated skeleton) are the guest's.
    """
    found: set[Path] = set()
    waiting = list(starts)
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for quote, name in _INCLUDE.findall(file.read_bytes()):
            places = ((file.parent,) if quote == b'"' else ()) + tuple(include_dirs)
            if header := _find_header(name.decode(errors="replace"), places):
                waiting.append(header)
    return sorted(found)


def _find_header(name: str, places: Iterable[Path]) -> Path | None:
    candidates = ((place / name) for place in places)
    return next((path.resolve() for path in candidates if path.is_file()), None)


def _find_companion(program: Path) -> Path | None:
    # Only an ending that marks the kernel side leaves the plain name free for a companion.
    candidate = program.with_name(f"{program_stem(program.name)}.c")
    return candidate if candidate != program and candidate.is_file() else None


def _common_root(paths: Sequence[Path]) -> Path:
    parents = [path if path.is_dir() else path.parent for path in paths]
    root = parents[0]
    while not all(parent.is_relative_to(root) for parent in parents):
        root = root.parent
    return root


def _check_program(program: Path) -> None:
    if program.is_dir():
        raise UsageError(
            f"{program} is a directory, not a program",
            code="is-directory",
            hint=_programs_inside(program),
        )
    if not program.is_file():
        raise UsageError(
            f"There is no file {program}",
            code="no-such-file",
            hint="Give a C file with an eBPF program, or an example's name (`ebpf-dev examples` lists them).",
        )
    if not program.name.endswith(".c"):
        raise UsageError(
            f"{program} is not a C file",
            code="not-a-program",
            hint="`ebpf-dev run` takes eBPF programs in C: x.bpf.c, x.c, x_kern.c.",
        )
    size = program.stat().st_size
    if size == 0 or size > MAX_SOURCE_BYTES:
        raise UsageError(
            f"{program} is {'empty' if size == 0 else f'{size >> 20} MiB large'}",
            code="not-a-program",
            hint="Give a C file with an eBPF program in it.",
        )


def _programs_inside(directory: Path) -> str:
    inside = sorted(path.name for path in directory.glob("*.c"))[:5]
    if not inside:
        return "Give a C file with an eBPF program in it."
    return f"Name one of its programs, for example {directory / inside[0]}."
