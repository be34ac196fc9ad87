"""Find the headers of a program on the host: as its compiler would, then wherever its project keeps them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.bpf.ctext import includes
from provisioner.bpf.project import MAX_PARENTS

#: A vmlinux.h below this is written by hand and is as its author wants it; a generated one is megabytes.
MAX_HAND_WRITTEN = 200_000

#: Directories that projects keep headers of all programs in.
_HEADER_DIRS = ("headers", "include", "includes", "common", "lib", "bpf")
_SKIPPED_DIRS = {".git", "node_modules", "target", ".venv", "__pycache__"}
_MAX_SEARCHED = 200_000

#: Headers of the kernel's user space interface, of libc and of libbpf; skeletons are made there too.
_GUEST_HEADER = re.compile(
    r"(?:linux|asm|asm-generic|uapi|sys|net|netinet|arpa|bits|gnu|rdma|mtd)/.*|.*\.skel\.h|vmlinux\.h|"
    r"(?:assert|argp|byteswap|ctype|elf|endian|errno|fcntl|features|float|getopt|inttypes|iso646|limits|locale|math"
    r"|netdb|poll|pthread|sched|setjmp|signal|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib"
    r"|stdnoreturn|string|strings|syscall|termios|time|unistd|wchar)\.h|"
    r"(?:bpf/)?(?:bpf|bpf_core_read|bpf_endian|bpf_helper_defs|bpf_helpers|bpf_tracing|btf|libbpf|libbpf_common"
    r"|libbpf_legacy|libbpf_version|skel_internal|usdt\.bpf)\.h"
)

#: What only one architecture's kernel has in the registers of a trap.
_REGISTERS = {
    "x86_64": re.compile(rb"struct pt_regs \{\s*(?:long unsigned int|unsigned long) r15;"),
    "aarch64": re.compile(rb"struct user_pt_regs \{\s*(?:__u64|u64|unsigned long long) regs\[31\];"),
}


@dataclass
class HeaderSearch:
    """``include_dirs`` come in the compiler's order; those of the project are kept only if a header is there.

    ``notes`` say what was found in other places than the user named, ``warnings`` what was passed over.
    """

    arch: str
    repository: Path | None
    include_dirs: Sequence[Path] = ()
    used_dirs: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _index: dict[str, list[Path]] | None = None

    def closure(self, starts: Sequence[Path]) -> list[Path]:
        """The start files and every header of the project that they include, directly or not, sorted.

        Headers that are nowhere on the host (libbpf's, the kernel's, a generated skeleton) are the guest's.
        """
        while True:
            known = len(self.used_dirs)
            found = {file for start in starts for file in self._reachable(start)}
            # A directory found late is searched by the compiler for the earlier headers as well.
            if len(self.used_dirs) == known:
                return sorted(found)

    def _reachable(self, start: Path) -> set[Path]:
        found: set[Path] = set()
        waiting = [start]
        while waiting:
            file = waiting.pop()
            if file in found:
                continue
            found.add(file)
            for quoted, name in _includes_of(file):
                if header := self._find(file, quoted, name, start):
                    waiting.append(header)
        return found

    def _find(self, includer: Path, quoted: bool, name: str, program: Path) -> Path | None:
        places = [includer.parent] if quoted else []
        places += [program.parent, *self.include_dirs, *self.used_dirs]
        for place in dict.fromkeys(places):
            # By its name alone, as in the guest, where a directory that is a symbolic link here is a plain one.
            path = Path(os.path.normpath(place / name))
            if path.is_file() and self._fits(path):
                if place not in (includer.parent, program.parent):
                    self._use(place)
                return path
        if _GUEST_HEADER.fullmatch(name):
            return None
        return self._search(name, program)

    def _use(self, directory: Path) -> None:
        if directory not in self.used_dirs:
            self.used_dirs.append(directory)

    def _fits(self, path: Path) -> bool:
        if path.name != "vmlinux.h" or fits_arch(path, self.arch):
            return True
        warning = f"{path} is of another architecture than the guest's {self.arch}: the guest's own is used"
        if warning not in self.warnings:
            self.warnings.append(warning)
        return False

    def _search(self, name: str, program: Path) -> Path | None:
        """A header that no include directory has: up from the program, then anywhere in its repository."""
        place = self._above(name, program) or self._anywhere(name, program)
        if place is None:
            return None
        self._use(place)
        self.notes.append(f"{name} was found in {place}, which nothing names as an include directory")
        return Path(os.path.normpath(place / name))

    def _above(self, name: str, program: Path) -> Path | None:
        for parent in list(program.parents)[: MAX_PARENTS + 1]:
            for place in (parent, *(parent / directory for directory in _HEADER_DIRS)):
                if (place / name).is_file() and self._fits(place / name):
                    return place
            if parent == self.repository or (self.repository is None and parent == program.parent.parent):
                return None
        return None

    def _anywhere(self, name: str, program: Path) -> Path | None:
        """The include directory of the one header called so, or of the nearest one when there are several."""
        found = [path for path in self._headers().get(Path(name).name, ()) if path.as_posix().endswith(f"/{name}")]
        found = [path for path in found if path.is_file() and self._fits(path)]
        best = _nearest(found, program)
        return best.parents[name.count("/")] if best else None

    def _headers(self) -> dict[str, list[Path]]:
        if self._index is None:
            self._index = _index_headers(self.repository) if self.repository else {}
        return self._index


def fits_arch(path: Path, arch: str) -> bool:
    """Whether a project's vmlinux.h is for ``arch``; one written by hand is taken to be for any."""
    if path.stat().st_size < MAX_HAND_WRITTEN:
        return True
    text = path.read_bytes()
    matching = [name for name, registers in _REGISTERS.items() if registers.search(text)]
    return arch in matching or b"struct pt_regs {" not in text


def _includes_of(file: Path) -> list[tuple[bool, str]]:
    # A generated vmlinux.h includes nothing and is large.
    if file.name.startswith("vmlinux") and file.stat().st_size >= MAX_HAND_WRITTEN:
        return []
    return includes(file.read_text(errors="replace"))


def _index_headers(root: Path) -> dict[str, list[Path]]:
    index: dict[str, list[Path]] = {}
    searched = 0
    for directory, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name not in _SKIPPED_DIRS)
        for file in files:
            if file.endswith(".h"):
                index.setdefault(file, []).append(Path(directory, file))
        searched += len(files)
        if searched > _MAX_SEARCHED:
            break
    return index


def _nearest(paths: Sequence[Path], program: Path) -> Path | None:
    """The path that shares most with the program's; None when different files are equally near."""
    if not paths:
        return None
    shared = {path: len(os.path.commonpath([path, program])) for path in paths}
    best = [path for path in paths if shared[path] == max(shared.values())]
    contents = {path.read_bytes() for path in best}
    return best[0] if len(contents) == 1 else None
