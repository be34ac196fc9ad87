"""What a program's project says about compiling it: its repository, its Makefile, its go:generate lines."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: How far above a program its headers and its Makefile are looked for.
MAX_PARENTS = 4

#: Files that only the top of a project has, or that at least mark something that belongs together.
_TOP_MARKS = (".git", ".hg", ".gitmodules", ".github")
_MARKS = ("LICENSE", "LICENSE.txt", "COPYING", "go.mod", "Cargo.toml", "README.md", "README", "Makefile")
_MAKEFILES = ("Makefile", "makefile", "GNUmakefile")
#: Where a project's Makefile would put what `uname -m` says; the names that eBPF projects use.
_KERNEL_ARCH = {"x86_64": "x86", "aarch64": "arm64"}
_GO_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}

_ASSIGNMENT = re.compile(r"^[ ]*(?:export\s+|override\s+)?([\w.-]+)\s*(\+=|\?=|::?=|=)\s*(.*)$")
_MAKE_INCLUDE = re.compile(r"^[ ]*-?s?include\s+(.*)$")
_REFERENCE = re.compile(r"\$[({]([\w.-]+)[)}]")
_FUNCTION = re.compile(r"\$\((?:abspath|realpath)\s+([^()]*)\)")
_BPF_VARIABLE = re.compile("BPF", re.IGNORECASE)
_GO_GENERATE = re.compile(r"^//go:generate\s+(.*bpf2go\s.*)$", re.MULTILINE)


@dataclass(frozen=True)
class ProjectFlags:
    """Include directories (absolute, existing) in the project's order, and flags about the language."""

    include_dirs: tuple[Path, ...] = ()
    flags: tuple[str, ...] = ()


def find_repository(file: Path) -> Path | None:
    """The top of the project that ``file`` belongs to: its checkout, else the uppermost directory that looks
    like one; None for a file that lies about on its own."""
    parents = list(file.parents)
    for parent in parents:
        if any((parent / mark).exists() for mark in _TOP_MARKS):
            return parent
    marked = [
        parent
        for parent in parents[: 2 * MAX_PARENTS]
        if parent != Path.home() and any((parent / mark).exists() for mark in _MARKS)
    ]
    return marked[-1] if marked else None


def project_flags(program: Path, repository: Path | None, arch: str) -> ProjectFlags:
    """What a go:generate line for this very program says, else the nearest Makefile that names directories."""
    if repository is None:
        return ProjectFlags()
    if flags := _go_generate_flags(program):
        return flags
    for parent in list(program.parents)[: MAX_PARENTS + 1]:
        flags = _makefile_flags(parent, arch)
        inside = tuple(path for path in flags.include_dirs if path.is_relative_to(repository))
        if inside:
            return ProjectFlags(inside, flags.flags)
        if parent == repository:
            break
    return ProjectFlags()


def _go_generate_flags(program: Path) -> ProjectFlags | None:
    """What the bpf2go call for ``program`` passes to clang, from Go files around its directory."""
    directory, above = program.parent, program.parent.parent
    globs = ((directory, "*.go"), (directory, "*/*.go"), (above, "*.go"), (above, "*/*.go"))
    for go_file in (file for place, pattern in globs for file in place.glob(pattern)):
        for words in _bpf2go_calls(go_file):
            if program.name in {Path(word).name for word in words} and _names(words, go_file.parent, program):
                flags = _flags(_compiler_words(words), go_file.parent)
                if flags != ProjectFlags():
                    return flags
    return None


def _bpf2go_calls(go_file: Path) -> Iterator[list[str]]:
    try:
        text = go_file.read_text(errors="replace")
    except OSError:
        return
    for line in _GO_GENERATE.findall(text):
        yield _split(line)


def _split(text: str) -> list[str]:
    """The words of a line that a shell would read, none when its quotes do not match."""
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _names(words: list[str], directory: Path, program: Path) -> bool:
    return any((directory / word).resolve() == program for word in words if word.endswith(program.name))


def _compiler_words(words: list[str]) -> list[str]:
    """The compiler's flags in a call of bpf2go: those in the value of -cflags, and those behind `--`."""
    own = words[: words.index("--")] if "--" in words else words
    given = [value.removeprefix("=") for flag in ("-cflags", "--cflags") for value in _values(own, flag)]
    return [word for value in given for word in _split(value)] + words[len(own) + 1 :]


def _flags(words: list[str], directory: Path) -> ProjectFlags:
    # The processor is the guest's, whatever the project is usually built for.
    macros = [value for value in _values(words, "-D") if not value.startswith("__TARGET_ARCH_")]
    return ProjectFlags(
        tuple(_existing(_values(words, "-I"), directory)),
        tuple(f"-D{value}" for value in macros) + _standard(words),
    )


def _standard(words: list[str]) -> tuple[str, ...]:
    return tuple([word for word in words if word.startswith("-std=")][-1:])


def _values(words: list[str], flag: str) -> list[str]:
    """Of ``-Ix -I y`` the ``x`` and ``y``."""
    found = []
    for index, word in enumerate(words):
        if word == flag and index + 1 < len(words):
            found.append(words[index + 1])
        elif word.startswith(flag) and word != flag:
            found.append(word[len(flag) :])
    return found


def _existing(names: list[str], directory: Path) -> list[Path]:
    paths = [(directory / part).resolve() for name in names for part in name.split(":") if "$" not in part]
    return [path for path in dict.fromkeys(paths) if path.is_dir()]


def _makefile_flags(directory: Path, arch: str) -> ProjectFlags:
    makefile = next((directory / name for name in _MAKEFILES if (directory / name).is_file()), None)
    if makefile is None:
        return ProjectFlags()
    fixed = {
        "ARCH": _KERNEL_ARCH.get(arch, arch),
        "GOARCH": _GO_ARCH.get(arch, arch),
        "CURDIR": str(directory),
        "PWD": str(directory),
    }
    reader = _Makefile(directory, fixed)
    reader.read(makefile)
    return ProjectFlags(
        tuple(_existing(_values(reader.words("-I"), "-I"), directory)),
        _standard(reader.words("-std=", _BPF_VARIABLE)),
    )


@dataclass
class _Makefile:
    """The little of make's language that -I flags are written in: assignments, includes, references."""

    directory: Path
    fixed: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    recipes: list[str] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)

    def read(self, path: Path) -> None:
        if path in self.seen or not path.is_file():
            return
        self.seen.add(path)
        text = re.sub(r"\\\n", " ", path.read_text(errors="replace"))
        for line in text.splitlines():
            if line.startswith("\t"):
                self.recipes.append(line)
            elif match := _MAKE_INCLUDE.match(line):
                for name in self.expand(match[1]).split():
                    self.read(Path(os.path.normpath(self.directory / name)))
            elif match := _ASSIGNMENT.match(line):
                self._assign(match[1], match[2], match[3].split(" #")[0].strip())

    def _assign(self, name: str, operator: str, value: str) -> None:
        if operator == "+=" and name in self.variables:
            self.variables[name] += f" {value}"
        elif operator != "?=" or name not in self.variables:
            self.variables[name] = self.expand(value, only=name) if operator in (":=", "::=") else value

    def expand(self, text: str, only: str | None = None) -> str:
        """``text`` with references replaced; ``only`` those to one name, as a variable may append to itself."""
        for _ in range(10):
            before = text
            text = text.replace("$(shell pwd)", str(self.directory))
            text = _REFERENCE.sub(lambda match: self._value(match, only), text)
            text = _FUNCTION.sub(lambda match: match[1].strip(), text)
            if text == before:
                break
        return text

    def _value(self, match: re.Match[str], only: str | None) -> str:
        name = match[1]
        if only not in (None, name):
            return match[0]
        return self.fixed.get(name, self.variables.get(name, match[0] if only is None else ""))

    def words(self, flag: str, variable: re.Pattern[str] = re.compile("")) -> list[str]:
        """The words of variables (called like ``variable``) that mention ``flag``, then those of such recipes."""
        texts = [value for name, value in self.variables.items() if flag in value and variable.search(name)]
        texts += [recipe for recipe in self.recipes if flag in recipe]
        return [word.strip("\"'") for text in texts for word in self.expand(text).split()]
