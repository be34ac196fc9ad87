"""How a program becomes an object (and a companion an executable) in the guest: plans as values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from provisioner.bpf.explain import hint_text
from provisioner.bpf.sources import Sources
from provisioner.core.errors import BuildError

#: What libbpf's bpf_tracing.h expects behind __TARGET_ARCH_, by our names of architectures.
TARGET_ARCH = {"x86_64": "x86", "aarch64": "arm64"}
#: Where the guest's distribution keeps <asm/types.h>, which `-target bpf` alone does not search.
MULTIARCH = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}

_DIAGNOSTIC = re.compile(
    r"^(?P<file>[^:\s][^:]*):(?P<line>\d+):(?:\d+:)? (?P<kind>fatal error|error): (?P<text>.*)$"
)


@dataclass(frozen=True)
class BuildPlan:
    """Where things go in the guest and the commands that make them, each run in ``source_dir``.

    ``directory`` is named by the content of everything that goes in, so an object that is there is right.
    ``steps`` are argv lists in order; ``companion`` is the executable or None.
    """

    directory: str
    source_dir: str
    object: str
    companion: str | None
    steps: tuple[tuple[str, ...], ...]


def plan_build(sources: Sources, *, home: str, release: str, arch: str, cflags: Sequence[str] = ()) -> BuildPlan:
    """The plan for a guest that runs kernel ``release`` and keeps our files below ``home``."""
    digest = _digest(sources, release, arch, cflags)
    directory = f"{home}/build/{digest}"
    source_dir = f"{directory}/src"
    plan_object = f"{directory}/{sources.stem}.bpf.o"
    steps = [_clang(sources, plan_object, f"{home}/vmlinux/{release}", arch, cflags)]
    companion = None
    if sources.companion:
        companion = f"{directory}/{sources.stem}"
        steps += _companion_steps(sources, directory, plan_object, companion)
    return BuildPlan(directory, source_dir, plan_object, companion, tuple(steps))


def _clang(sources: Sources, target: str, vmlinux_dir: str, arch: str, cflags: Sequence[str]) -> tuple[str, ...]:
    """One clang call that satisfies the flags of all the projects looked at.

    The program's own directory and its project's come first, so that their vmlinux.h wins over the guest's,
    which is last. -fno-stack-protector undoes hardened defaults, which BPF cannot have; implicit
    declarations would otherwise surface much later as an unknown extern.
    """
    program_dir = _posix(sources.program.parent)
    own = [f"-I{_posix(directory)}" for directory in sources.include_dirs]
    return (
        "clang", "-g", "-O2", "-mcpu=v3", "-target", "bpf", f"-D__TARGET_ARCH_{TARGET_ARCH[arch]}",
        "-fno-stack-protector", "-fno-color-diagnostics", "-Werror=implicit-function-declaration",
        "-Wall", "-Wno-unused-function", "-Wno-missing-declarations", "-Wno-compare-distinct-pointer-types",
        f"-I{program_dir}", *own, *cflags,
        "-idirafter", f"/usr/include/{MULTIARCH[arch]}",
        "-idirafter", "/usr/include/bpf",
        "-idirafter", vmlinux_dir,
        "-c", _posix(sources.program), "-o", target,
    )  # fmt: skip


def _companion_steps(sources: Sources, directory: str, plan_object: str, companion: str) -> list[tuple[str, ...]]:
    """Skeleton under both names in use (x.skel.h, x.bpf.skel.h), then the companion itself."""
    assert sources.companion is not None
    headers = f"{directory}/gen"
    generate = 'mkdir -p "$1" && bpftool gen skeleton "$2" name "$3" > "$1/$4.skel.h"'
    alias = ' && cp "$1/$4.skel.h" "$1/$4.bpf.skel.h"'
    name = re.sub(r"\W", "_", sources.stem)
    includes = [f"-I{_posix(directory)}" for directory in (sources.program.parent, *sources.include_dirs)]
    return [
        ("sh", "-c", generate + alias, "skeleton", headers, plan_object, f"{name}_bpf", sources.stem),
        ("cc", "-g", "-O2", "-Wall", f"-I{headers}", *includes, "-o", companion, _posix(sources.companion),
         "-lbpf", "-lelf", "-lz", "-lpthread", "-lm"),
    ]  # fmt: skip


def _digest(sources: Sources, release: str, arch: str, cflags: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join((release, arch, str(sources.program), *cflags)).encode())
    for directory in sources.include_dirs:
        digest.update(b"\0-I" + bytes(directory))
    for file in sources.files:
        digest.update(b"\0" + bytes(file) + b"\0" + (sources.root / file).read_bytes())
    return digest.hexdigest()[:20]


def compile_error(sources: Sources, argv: Sequence[str], output: str) -> BuildError:
    """The error for a compiler that failed: host paths, the first complaint as brief."""
    shown = host_paths(output, sources)
    brief, file, line = f"{argv[0]} could not build {sources.program.name}", None, None
    for text in shown.splitlines():
        if match := _DIAGNOSTIC.match(text):
            file, line = match["file"], int(match["line"])
            brief = f"{file}:{line}: {match['text']}"
            break
    return BuildError(
        brief,
        code="compile-failed",
        details=shown.strip(),
        hint=hint_text(shown, "compile") or _hint(shown),
        file=file,
        line=line,
    )


def host_paths(output: str, sources: Sources) -> str:
    """A compiler's output with the paths that it was given turned into the host's."""
    names = {_posix(file): str(sources.root / file) for file in sources.files}
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])(?:\./)?({pattern})(?=[:,])", lambda match: names[match[1]], output)


def _hint(output: str) -> str:
    if match := re.search(r"'([^']+)' file not found", output):
        return (
            f"Nothing named {match[1]} lies beside the file or in the guest. "
            "Name its directory with --include DIR."
        )
    if "call to undeclared function" in output or "implicit declaration" in output:
        return "BPF programs cannot call libc. For a helper include <bpf/bpf_helpers.h>; check its spelling."
    return ""


def _posix(path: Path) -> str:
    return str(PurePosixPath(path))
