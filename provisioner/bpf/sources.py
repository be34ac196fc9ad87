"""From a file on the host to what has to be sent: the program, its companion and the headers they include."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from provisioner.bpf.ctext import includes, without_comments
from provisioner.bpf.includes import MAX_HAND_WRITTEN, HeaderSearch
from provisioner.bpf.project import find_repository, project_flags
from provisioner.core.errors import UsageError

#: Name endings of kernel-side C, longest first; what precedes them names the program.
PROGRAM_SUFFIXES = (".bpf.c", "_kern.c", ".kern.c", ".c")
#: The same for a program that is compiled already.
OBJECT_SUFFIXES = (".bpf.o", "_kern.o", ".kern.o", ".o")
#: What people call a program that exists to be probed.
_VICTIMS = ("victim", "target", "test")
_USER_PROBE = re.compile(r'\bSEC\s*\(\s*"(?:uprobe|uretprobe|usdt)\b')
#: Headers that show a program to load others.
_OF_LOADERS = re.compile(r".*\.skel\.h|(?:bpf|xdp)/(?:libbpf|bpf|libxdp)\.h|linux/bpf\.h")
#: Larger than any C file that people write, so surely not what was meant.
MAX_SOURCE_BYTES = 4 << 20

_MAIN = re.compile(r"\bmain\s*\(")
_PROGRAM = re.compile(r"\bSEC\s*\(")
#: The same without libbpf's macro. User space has sections of its own too, mostly with a dot.
_SECTION = re.compile(r'\b(?:__)?section(?:__)?\s*\(\s*"(?!\.)')
#: `e_machine` of an ELF header, at this place in either byte order, says 247 for BPF.
_ELF_MAGIC, _MACHINE, _EM_BPF = b"\x7fELF", slice(18, 20), (b"\xf7\x00", b"\x00\xf7")


@dataclass(frozen=True)
class Sources:
    """One program and everything local that it needs.

    ``root`` is the directory that all ``files`` lie below; they are relative to it, as are ``program``,
    ``companion`` (None without one), its ``helpers`` and ``include_dirs``. ``flags`` are what the project tells
    the compiler about the language. With ``probed`` the companion is no loader, but what the program's probes are
    for. ``notes`` and ``warnings`` are for the user: what was found or passed over.
    """

    root: Path
    stem: str
    program: Path
    companion: Path | None
    include_dirs: tuple[Path, ...]
    files: tuple[Path, ...]
    helpers: tuple[Path, ...] = ()
    flags: tuple[str, ...] = ()
    probed: bool = False
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_object(self) -> bool:
        """Whether the program is compiled already."""
        return self.program.suffix == ".o"

    @cached_property
    def text(self) -> str:
        """All kernel-side C of the project, headers before the program; a generated vmlinux.h is left out."""
        own = {self.program, self.companion, *self.helpers}
        headers = [self.root / file for file in self.files if file not in own]
        small = [path for path in headers if path.stat().st_size < MAX_HAND_WRITTEN]
        return "\n".join(path.read_text(errors="replace") for path in (*small, self.root / self.program))


def program_stem(name: str) -> str:
    """The program's name without the ending that says which side it belongs to.

    >>> [program_stem(n) for n in ("minimal.bpf.c", "xdp_prog_kern.c", "hello.c", "a.bpf.o")]
    ['minimal', 'xdp_prog', 'hello', 'a']
    """
    suffix = next(suffix for suffix in (*PROGRAM_SUFFIXES, *OBJECT_SUFFIXES) if name.endswith(suffix))
    return name[: -len(suffix)]


def is_program_text(text: str) -> bool:
    """Whether C ``text`` puts something into a section, as every program for libbpf does."""
    code = without_comments(text)
    return bool(_PROGRAM.search(code) or (_SECTION.search(code) and not _MAIN.search(code)))


def has_programs(directory: Path) -> bool:
    """Whether eBPF programs in C lie in a directory, not counting those below it."""
    return bool(_programs_inside(directory))


def find_sources(
    program: Path, include_dirs: Sequence[Path] = (), *, arch: str = "x86_64", use_companion: bool | None = None
) -> Sources:
    """Collect the files of a program, or of the only program in a directory, for a guest of ``arch``.

    ``use_companion`` False leaves the companion out; None takes only x.c beside x.bpf.c, as user space called
    otherwise (x_user.c beside x_kern.c) mostly ends at once without arguments. Raises UsageError
    ("no-such-file", "not-a-program", "several-programs", "no-such-directory", "no-companion").
    """
    if program.is_dir():
        program = _program_in(program)
    _check_program(program)
    _check_directories(include_dirs)
    program = program.resolve()
    if program.suffix == ".o":
        name = Path(program.name)
        return Sources(program.parent, program_stem(program.name), name, None, (), (name,))
    return _collect(program, tuple(path.resolve() for path in include_dirs), arch, use_companion)


def _collect(program: Path, given: tuple[Path, ...], arch: str, use_companion: bool | None) -> Sources:
    repository = find_repository(program)
    flags = project_flags(program, repository, arch)
    search = HeaderSearch(arch, repository, (*given, *flags.include_dirs))
    files = search.closure([program])
    companion = None if use_companion is False else _find_companion(program, wanted=bool(use_companion))
    victim = None if companion else _find_victim(program)
    if use_companion and not companion:
        raise UsageError(
            f"{program.name} has no companion beside it",
            code="no-companion",
            hint=f"Its user space would be called {program_stem(program.name)}.c; --loader runner does without.",
        )
    companion = companion or victim
    helpers: list[Path] = []
    if companion:
        helpers, companion_files = _with_helpers(companion, search)
        files = sorted({*files, *companion_files})
    dirs = [path for path in search.include_dirs if path in given or path in search.used_dirs]
    dirs += [path for path in search.used_dirs if path not in dirs]
    root = _common_root([*files, *dirs])
    return Sources(
        root=root,
        stem=program_stem(program.name),
        program=program.relative_to(root),
        companion=companion.relative_to(root) if companion else None,
        include_dirs=tuple(directory.relative_to(root) for directory in dirs),
        files=tuple(file.relative_to(root) for file in files),
        helpers=tuple(helper.relative_to(root) for helper in helpers),
        flags=flags.flags,
        probed=victim is not None,
        notes=tuple(search.notes),
        warnings=tuple(search.warnings),
    )


def _find_companion(program: Path, *, wanted: bool) -> Path | None:
    """The user space beside a program; more names count when it is ``wanted``."""
    stem = program_stem(program.name)
    names = [f"{stem}.c"] + ([f"{stem}_user.c", f"{stem}.user.c", f"{stem}_loader.c"] if wanted else [])
    for candidate in (program.with_name(name) for name in names):
        if candidate == program or not candidate.is_file():
            continue
        may_be = _is_user_space(candidate) and not (_is_probe(program) and not _is_loader(candidate))
        if may_be and (wanted or program.name.endswith(".bpf.c")):
            return candidate
    return None


def _find_victim(program: Path) -> Path | None:
    """A program beside one with probes of user space, which loads nothing: it is there to be probed."""
    stem = program_stem(program.name)
    names = (
        [f"{name}.c" for name in (stem, *_VICTIMS, f"test_{stem}", f"{stem}_test")] if _is_probe(program) else []
    )
    for candidate in (program.with_name(name) for name in names):
        if (
            candidate != program
            and candidate.is_file()
            and _is_user_space(candidate)
            and not _is_loader(candidate)
        ):
            return candidate
    return None


def _is_user_space(path: Path) -> bool:
    text = path.read_text(errors="replace")
    return bool(_MAIN.search(without_comments(text))) and not is_program_text(text)


def _is_probe(program: Path) -> bool:
    return bool(_USER_PROBE.search(without_comments(program.read_text(errors="replace"))))


def _is_loader(path: Path) -> bool:
    return any(_OF_LOADERS.fullmatch(name) for _, name in includes(path.read_text(errors="replace")))


def _with_helpers(companion: Path, search: HeaderSearch) -> tuple[list[Path], list[Path]]:
    """C files that go with the headers a companion includes (foo.c for foo.h), and all files of both."""
    helpers: list[Path] = []
    while True:
        files = search.closure([companion, *helpers])
        known = {companion, *helpers}
        beside = (file.with_suffix(".c") for file in files if file.suffix == ".h")
        new = [path for path in beside if path not in known and path.is_file() and _is_helper(path)]
        if not new:
            return helpers, files
        helpers += new


def _is_helper(path: Path) -> bool:
    """Whether a C file is a part of a user-space program, and not a program of its own or kernel-side."""
    text = path.read_text(errors="replace")
    kernel_side = path.name.endswith(PROGRAM_SUFFIXES[:-1]) or is_program_text(text)
    return not kernel_side and not _MAIN.search(without_comments(text))


def _common_root(paths: Sequence[Path]) -> Path:
    parents = [path if path.is_dir() else path.parent for path in paths]
    root = parents[0]
    while not all(parent.is_relative_to(root) for parent in parents):
        root = root.parent
    return root


def _check_directories(directories: Sequence[Path]) -> None:
    for directory in directories:
        if not directory.is_dir():
            raise UsageError(
                f"--include {directory}: there is no such directory",
                code="no-such-directory",
                hint="Give a directory that holds header files.",
            )


def _program_in(directory: Path) -> Path:
    """The one program in a directory."""
    programs = _programs_inside(directory)
    if len(programs) == 1:
        return programs[0]
    names = "\n".join(str(path) for path in programs)
    raise UsageError(
        f"{directory} holds {f'{len(programs)} programs' if programs else 'no eBPF program in C'}",
        code="several-programs" if programs else "not-a-program",
        details=names,
        hint="Name one of them." if programs else "Give a C file with an eBPF program in it.",
    )


def _programs_inside(directory: Path) -> list[Path]:
    """C files with sections; where some are named as kernel-side, the others are something else."""
    files = sorted(
        path for path in directory.glob("*.c") if path.is_file() and path.stat().st_size <= MAX_SOURCE_BYTES
    )
    programs = [path for path in files if is_program_text(path.read_text(errors="replace"))]
    named = [path for path in programs if path.name.endswith(PROGRAM_SUFFIXES[:-1])]
    return named or programs


def _check_program(program: Path) -> None:
    if not program.is_file():
        raise UsageError(
            f"There is no file {program}",
            code="no-such-file",
            hint="Give a C file with an eBPF program, or an example's name (`ebpf-dev examples` lists them).",
        )
    if program.suffix == ".o":
        _check_object(program)
    elif program.suffix != ".c":
        raise UsageError(
            f"{program} is not a C file",
            code="not-a-program",
            hint="`ebpf-dev run` takes eBPF programs in C (x.bpf.c, x.c, x_kern.c), their objects (x.bpf.o), "
            "bpftrace scripts (x.bt) and BCC tools (x.py).",
        )
    else:
        _check_source(program)


def _check_source(program: Path) -> None:
    size = program.stat().st_size
    wrong = "empty" if size == 0 else f"{size >> 20} MiB large" if size > MAX_SOURCE_BYTES else None
    if wrong is None and b"\0" in program.read_bytes():
        wrong = "not text"
    if wrong:
        raise UsageError(
            f"{program} is {wrong}",
            code="not-a-program",
            hint="Give a C file with an eBPF program in it.",
        )


def _check_object(program: Path) -> None:
    with program.open("rb") as file:
        header = file.read(20)
    if not header.startswith(_ELF_MAGIC) or header[_MACHINE] not in _EM_BPF:
        raise UsageError(
            f"{program} is not an eBPF object",
            code="not-a-program",
            hint="An object comes from `clang -g -O2 -target bpf -c`; give that, or the C file itself.",
        )
