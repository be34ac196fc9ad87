"""Programs that are not written for libbpf: bpftrace scripts, BCC tools, and projects in Go or Rust."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.bpf.ctext import defines, without_comments
from provisioner.bpf.project import find_repository
from provisioner.bpf.sources import MAX_SOURCE_BYTES, has_programs, is_program_text
from provisioner.core.errors import UsageError

#: Files that a script may load from its own directory.
_SIBLINGS = (".bt", ".py", ".c", ".h")
#: What a project's manifest names when the project is about eBPF, and how it is called.
_GO_LIBRARIES = {
    "github.com/cilium/ebpf": "cilium/ebpf",
    "github.com/aquasecurity/libbpfgo": "libbpfgo",
    "github.com/iovisor/gobpf": "gobpf",
}
_RUST_LIBRARIES = {"aya": "Aya", "libbpf-rs": "libbpf-rs", "libbpf-cargo": "libbpf-rs", "redbpf": "RedBPF"}
#: More than a project keeps by hand; the rest of a long list helps nobody.
_MAX_LISTED = 10
#: The most that a hook's text may be for the runner, and how many of them there may be.
_MAX_HOOKS = 32

_BCC_IMPORT = re.compile(r"^\s*(?:from\s+bcc\b|import\s+bcc\b)", re.MULTILINE)
_BCC_MACRO = re.compile(
    r"\b(BPF_(?:HASH|TABLE|ARRAY|HISTOGRAM|STACK_TRACE|PERF_OUTPUT|PERCPU_ARRAY|PERCPU_HASH|RINGBUF_OUTPUT)"
    r"|TRACEPOINT_PROBE|RAW_TRACEPOINT_PROBE|KFUNC_PROBE|LSM_PROBE)\s*\("
)
_BPFTRACE_HOOK = re.compile(
    r"\b(?:tracepoint|rawtracepoint|k(?:ret)?probe|u(?:ret)?probe|kfunc|kretfunc|fentry|fexit|usdt|r?t|kr?|ur?)"
    r":([\w:./*-]+)"
)
_BCC_HOOK = re.compile(
    r"\b(?:TRACEPOINT_PROBE\(\s*(\w+\s*,\s*\w+)"
    r"|(?:kprobe|kretprobe|syscall|tracepoint)__(\w+)"
    r"|(?:event|tp|sym|name|get_syscall_fnname\()\s*=?\s*b?[\"']([\w:]+)[\"'])"
)
_RUST_DEPENDENCY = re.compile(
    r"^\s*\"?([\w-]+)\"?\s*(?:=|\.)|^\s*\[[\w.'\"()-]*dependencies\.([\w-]+)\]", re.MULTILINE
)


@dataclass(frozen=True)
class FrontEnd:
    """A script and what runs it in the guest.

    ``name`` is what it is to a reader, ``package`` what `ebpf-dev add` calls its package, ``probe`` a shell
    command that succeeds when that is installed. ``command`` is the argv before the script, beginning with a
    path. ``files`` are the script, first, and what it loads from its directory; ``hooks`` what its programs are
    attached to.
    """

    name: str
    package: str
    probe: str
    command: tuple[str, ...]
    files: tuple[Path, ...]
    hooks: tuple[str, ...]

    @property
    def script(self) -> Path:
        return self.files[0]


def find_frontend(target: Path) -> FrontEnd | None:
    """What runs ``target`` when it is no program for libbpf; None when it is one, or nothing known.

    Raises UsageError for what cannot be run here, with what can instead: "bcc-source", "go-project",
    "rust-project".
    """
    if target.is_dir():
        _refuse_project(target)
        return None
    if not target.is_file() or target.stat().st_size > MAX_SOURCE_BYTES:
        return None
    if target.suffix in (".go", ".rs") or target.name in ("go.mod", "Cargo.toml"):
        _refuse_project(target.parent)
        return None
    if target.suffix == ".c":
        _refuse_bcc_source(target)
        return None
    return _script(target) if target.suffix in (".bt", ".py", "") else None


def uses_bcc_macros(text: str) -> bool:
    """Whether C ``text`` is in BCC's dialect: its macros, which the text does not define itself."""
    text = without_comments(text)
    return any(not defines(text, name) for name in set(_BCC_MACRO.findall(text)))


def _script(path: Path) -> FrontEnd | None:
    text = path.read_text(errors="replace")
    first = text.split("\n", 1)[0]
    if path.suffix == ".bt" or (first.startswith("#!") and "bpftrace" in first):
        return FrontEnd(
            name="bpftrace script",
            package="bpftrace",
            probe="command -v bpftrace",
            # Unsafe is what changes something in the system: that system is there for it.
            command=("/usr/bin/bpftrace", "--unsafe"),
            files=tuple(_with_siblings(path)),
            hooks=_hooks(_BPFTRACE_HOOK, text),
        )
    if _BCC_IMPORT.search(text):
        files = tuple(_with_siblings(path))
        return FrontEnd(
            name="BCC tool",
            package="bcc",
            probe="python3 -c 'import bcc'",
            command=("/usr/bin/python3",),
            files=files,
            hooks=_hooks(_BCC_HOOK, "\n".join(file.read_text(errors="replace") for file in files)),
        )
    return None


def _hooks(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    found = ("".join(match.groups(default="")) for match in pattern.finditer(text))
    return tuple(dict.fromkeys(found))[:_MAX_HOOKS]


def _with_siblings(script: Path) -> list[Path]:
    """The script, and files of its directory that it or one of those names, by file or by module name."""
    directory = script.resolve().parent
    beside = [path for path in sorted(directory.iterdir()) if path.suffix in _SIBLINGS and _is_small_file(path)]
    found, text = [script.resolve()], script.read_text(errors="replace")
    while new := [path for path in beside if path not in found and _mentions(text, path)]:
        found += new
        text = "\n".join(path.read_text(errors="replace") for path in new)
    return found


def _is_small_file(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= MAX_SOURCE_BYTES


def _mentions(text: str, path: Path) -> bool:
    name = re.escape(path.name)
    if path.suffix == ".py":
        name += rf"|(?:import|from)\s+{re.escape(path.stem)}\b"
    return bool(re.search(rf"(?<![\w.-])(?:{name})(?![\w.-])", text))


def _refuse_bcc_source(path: Path) -> None:
    text = path.read_text(errors="replace")
    if is_program_text(text) or not uses_bcc_macros(text):
        return
    tools = [tool for tool in sorted(path.parent.glob("*.py")) if path.name in tool.read_text(errors="replace")]
    raise UsageError(
        f"{path} is in BCC's dialect of C, which a BCC tool compiles when it runs",
        code="bcc-source",
        hint=f"Run the tool that loads it: `ebpf-dev run {tools[0]}`."
        if tools
        else "Run the Python tool that loads it (`ebpf-dev add bcc` installs BCC), or write it for libbpf: maps "
        'as structs in SEC(".maps"), and a SEC("...") before each program.',
    )


def _refuse_project(directory: Path) -> None:
    """Raises UsageError for a directory of a Go or Rust project; not when C programs lie in it."""
    if has_programs(directory):
        return
    for kind, manifest, package, libraries in (
        ("go-project", "go.mod", "go", _go_libraries),
        ("rust-project", "Cargo.toml", "rust", _rust_libraries),
    ):
        top = _find_manifest(directory, manifest)
        if top and (names := libraries(top / manifest)):
            raise _project_error(kind, directory, top, package, names)


def _find_manifest(directory: Path, name: str) -> Path | None:
    """The directory, it or above it, up to its repository, that holds the manifest."""
    directory = directory.resolve()
    top = find_repository(directory / name) or directory
    for parent in (directory, *directory.parents):
        if (parent / name).is_file():
            return parent
        if parent == top:
            return None
    return None


def _go_libraries(manifest: Path) -> list[str]:
    text = manifest.read_text(errors="replace")
    return [name for library, name in _GO_LIBRARIES.items() if library in text]


def _rust_libraries(manifest: Path) -> list[str]:
    """Of the package, or of the packages of a workspace."""
    manifests = [manifest, *sorted(manifest.parent.glob("*/Cargo.toml"))]
    texts = "\n".join(path.read_text(errors="replace") for path in manifests)
    named = {name for match in _RUST_DEPENDENCY.findall(texts) for name in match if name}
    return list(dict.fromkeys(name for library, name in _RUST_LIBRARIES.items() if library in named))


def _project_error(kind: str, directory: Path, top: Path, package: str, libraries: Sequence[str]) -> UsageError:
    language = {"go": "Go", "rust": "Rust"}[package]
    programs = list(_programs_below(directory))
    listed = "\n".join(str(path) for path in programs[:_MAX_LISTED])
    return UsageError(
        f"{directory} is a {language} project ({', '.join(libraries)}): its own build loads its programs",
        code=kind,
        details=f"Its programs in C, which `ebpf-dev run` takes as they are:\n{listed}" if programs else "",
        hint=("Run one of them. " if programs else "")
        + f"For the project itself: `ebpf-dev add {package}`, `ebpf-dev cp {top} :/root/`, and build it in "
        "`ebpf-dev shell`.",
    )


def _programs_below(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.rglob("*.c")):
        if _is_small_file(path) and is_program_text(path.read_text(errors="replace")):
            yield path
