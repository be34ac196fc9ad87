"""From a compiler's complaint to an error that says what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from provisioner.bpf.build import host_paths
from provisioner.bpf.ctext import includes, without_comments
from provisioner.bpf.explain import find_hint
from provisioner.bpf.explain.compile_symptoms import LIBBPF_NAMES
from provisioner.bpf.frontends import uses_bcc_macros
from provisioner.bpf.sources import Sources
from provisioner.core.errors import BuildError

# Helpers are called like functions of libc (strncmp, snprintf), but for their bpf_.
#: Looks up one name in the guest: ``sh -c LOOK_UP lookup NAME VMLINUX_H`` prints lines that `compile_error` reads.
LOOK_UP = r"""
case $1 in bpf_*) grep -m1 -w "BPF_FUNC_${1#bpf_}" "$2" | sed 's/^/helper /' ;; esac
grep -m1 -E "^extern .*[ *]$1\(.*__ksym;" "$2" | sed 's/^/kfunc /'
cd /usr/include
grep -rm1 -E "^#[[:space:]]*define[[:space:]]+$1[[:space:](]" linux asm-generic | head -n 1 | sed 's/^/macro /'
:
"""

_DIAGNOSTIC = re.compile(
    r"^(?P<file>[^:\s][^:]*):(?P<line>\d+):(?:\d+:)? (?P<kind>fatal error|error): (?P<text>.*)$", re.MULTILINE
)
_UNKNOWN = re.compile(
    r"call to undeclared (?:library )?function '(\w+)'|implicit declaration of function '(\w+)'"
    r"|use of undeclared identifier '(\w+)'"
)
_MISSING_HEADER = re.compile(r"'([^']+)' file not found")
#: How clang complains about a macro at file level that nothing defines.
_NO_C = re.compile(r"(?:unexpected type name '\w+': )?expected |type name requires a specifier")
_REDEFINED_TYPE = re.compile(r"redefinition of '(\w+)'")
_MEMBER = re.compile(r"no member named '(\w+)' in '((?:struct|union) \w+)'")
_INCOMPLETE = re.compile(r"incomplete (?:definition of )?type '(?:const )?((?:struct|union) \w+)'")
_REDEFINED_HELPER = re.compile(r"redefinition of '(bpf_\w+)'")


@dataclass(frozen=True)
class _Complaint:
    """The first error of a compiler: where, in its words, and which name it does not know, if that is it."""

    file: str | None
    line: int | None
    text: str

    @property
    def unknown_name(self) -> str | None:
        match = _UNKNOWN.search(self.text)
        return next((name for name in match.groups() if name), None) if match else None


def unknown_name(output: str) -> str | None:
    """The function or identifier that the first error is about because nothing declares it."""
    return _first(output).unknown_name


def compile_error(sources: Sources, argv: Sequence[str], output: str, found: str = "") -> BuildError:
    """The error for a compiler that failed: host paths, the first complaint as brief, what to do as hint.

    ``found`` is what LOOK_UP printed in the guest for `unknown_name`.
    """
    shown = host_paths(output, sources).strip()
    first = _first(shown)
    brief = f"{first.file}:{first.line}: {first.text}" if first.file else ""
    return BuildError(
        brief or f"{argv[0]} could not build {sources.program.name}",
        code="compile-failed",
        details=shown,
        hint=_hint(first, sources, found),
        file=first.file,
        line=first.line,
    )


def _first(output: str) -> _Complaint:
    if match := _DIAGNOSTIC.search(output):
        return _Complaint(match["file"], int(match["line"]), match["text"])
    return _Complaint(None, None, output)


def _hint(complaint: _Complaint, sources: Sources, found: str) -> str:
    if uses_bcc_macros(sources.text):
        return (
            "This is BCC's dialect of C, which its Python tools compile: run it with them, or rewrite its maps "
            'as structs in SEC(".maps") to use libbpf.'
        )
    if (name := complaint.unknown_name) and (hint := _found_hint(name, found, sources)):
        return hint
    known = find_hint(complaint.text, "compile")
    if known and (hint := _own_type_hint(known.code, complaint.text, sources)):
        return hint
    if match := _REDEFINED_HELPER.search(complaint.text):
        return (
            f"Remove this definition: {match[1]} is a helper that <bpf/bpf_helpers.h> or <linux/bpf.h> declares."
        )
    if known:
        return str(known)
    if hint := _forgotten_header_hint(complaint, sources):
        return hint
    if match := _MISSING_HEADER.search(complaint.text):
        return (
            f"Nothing named {match[1]} lies beside the file, in its repository or in the guest. "
            "Name its directory with --include DIR; if it is in a submodule, `git submodule update --init`."
        )
    return ""


def _own_type_hint(code: str, text: str, sources: Sources) -> str:
    """For a symptom that is blamed on the kernel's types: what it is when the program has a type of that name."""
    if code == "field-renamed" and (match := _MEMBER.search(text)) and _defines_type(match[2], sources):
        return f"{match[2]} is the program's own: check how {match[1]} is spelled, or add it to {match[2]}."
    if code == "headers-mixed" and (match := _REDEFINED_TYPE.search(text)) and _defines_type(match[1], sources):
        return (
            f"The program defines {match[1]}, and a header that it includes does so too: rename the program's, "
            "or remove it if it is meant to be the same."
        )
    if code == "type-incomplete" and (match := _INCOMPLETE.search(text)) and _has_vmlinux(sources):
        return (
            f"vmlinux.h has no fields of {match[1]}: check the spelling. A type of a module is in `bpftool "
            "btf dump file /sys/kernel/btf/MODULE format c`; or declare the fields that you read: "
            f"{match[1]} {{ ... }} __attribute__((preserve_access_index));"
        )
    return ""


def _defines_type(name: str, sources: Sources) -> bool:
    kind = "" if " " in name else r"(?:struct|union|enum)\s+"
    return bool(re.search(rf"\b{kind}{name}\s*\{{", without_comments(sources.text)))


def _found_hint(name: str, found: str, sources: Sources) -> str:
    kinds = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in found.splitlines() if " " in line}
    if "macro" in kinds:
        header, _, definition = kinds["macro"].partition(":")
        return _macro_hint(name, header, definition, sources)
    if "helper" in kinds:
        return (
            f"{name} is a helper of this kernel that the guest's libbpf does not declare yet: include "
            "<bpf/bpf_helpers.h>, or declare it as a static function pointer with the number in enum bpf_func_id."
        )
    if "kfunc" in kinds:
        return f"{name} is a kfunc of this kernel: declare it, `{kinds['kfunc']}`."
    return ""


def _macro_hint(name: str, header: str, definition: str, sources: Sources) -> str:
    if not _has_vmlinux(sources):
        return f"{name} is of a header that is not included: #include <{header}>."
    words = definition.partition("/*")[0].split()
    if words[-2:] == [name, name]:
        return (
            f"{name} is an enumerator of <{header}> that this kernel's vmlinux.h lacks. Define it with the value "
            "that it has there."
        )
    return f"{name} is a macro of <{header}>, and vmlinux.h holds none. Add to the program: {' '.join(words)}"


def _has_vmlinux(sources: Sources) -> bool:
    return any(PurePosixPath(name).name.startswith("vmlinux") for _, name in includes(sources.text))


def _forgotten_header_hint(complaint: _Complaint, sources: Sources) -> str:
    """What is to be included for the lines complained about to be C, "" unless that is a header of libbpf's."""
    included = {PurePosixPath(name).name for _, name in includes(sources.text)}
    lines = _lines_before(complaint, sources) if _NO_C.match(complaint.text) else ""
    for header, names in reversed(LIBBPF_NAMES.items()):
        if header in included:
            break
        match = re.search(rf"\b(?:{names})\b", lines)
        if match and not re.search(rf"#[ \t]*define[ \t]+{match[0]}\b", sources.text):
            return f"{match[0]} is a macro of a header that is not included: #include <bpf/{header}>."
    return ""


def _lines_before(complaint: _Complaint, sources: Sources) -> str:
    """The line complained about and the two before it, over which a macro's arguments may stretch."""
    file = next((file for file in sources.files if str(sources.root / file) == complaint.file), None)
    if file is None or complaint.line is None:
        return ""
    lines = without_comments((sources.root / file).read_text(errors="replace")).splitlines()
    return "\n".join(lines[max(0, complaint.line - 3) : complaint.line])
