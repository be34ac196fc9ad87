"""How a program becomes an object (and a companion an executable) in the guest: plans as values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from provisioner.bpf.anchors import FILE_NAME, find_event_types, render_anchors
from provisioner.bpf.ctext import calls, defines, includes, without_comments
from provisioner.bpf.shims import LEGACY_MAPS, find_shims, needs_legacy_maps
from provisioner.bpf.sources import OBJECT_SUFFIXES, Sources, program_stem
from provisioner.guest.vmlinux import NO_KFUNC_PROTOTYPES, target_flags

#: Where the guest's distribution keeps <asm/types.h>, which `-target bpf` alone does not search.
MULTIARCH = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}
#: Defined when the lines behind a program's text that name its event types are to be compiled.
_EVENT_TYPES = "EBPF_DEV_EVENT_TYPES"
_EVENT_TYPES_FLAG = f"-D{_EVENT_TYPES}"
_PCH_COMPLAINT = re.compile(r"PCH|precompiled|undeclared function")

#: Functions that clang makes code of by itself, and that many programs call without declaring them.
_BUILTINS = ("memcpy", "memset", "memmove", "memcmp")
_FIRST_INCLUDE = re.compile(
    r'\s*(?:#\s*pragma\s+once\s+|#\s*ifndef\s+\w+\s+#\s*define\s+\w+\s+)?#\s*include\s*[<"]([^">]+)[">]'
)
_KFUNC = re.compile(r"\)\s*(?:__weak\s*)?__ksym\b")
#: What configure scripts define when libbpf has something; ours has all that they ask for.
_HAVE_LIBBPF = re.compile(r"\bHAVE_LIBBPF_\w+")
_OBJECT_NAME = re.compile(r'"([^"\s/][^"\s]*\.o)"')

# The names under which loaders open the object, relative to where they are started.
_LINK = (
    'cd "$1" && object="$2" && shift 2 && '
    'for name; do mkdir -p "$(dirname "$name")" && ln -sf "$object" "$name"; done'
)
_SKELETON = (
    'mkdir -p "$1" && bpftool gen skeleton "$2" name "$3" > "$1/$4.skel.h" && cp "$1/$4.skel.h" "$1/$4.bpf.skel.h"'
)


@dataclass(frozen=True)
class BuildPlan:
    """Where things go in the guest, what has to be sent there, and the commands, each run in ``source_dir``.

    ``directory`` is named by the content of everything that goes in, so an object that is there is right.
    ``files`` are sent below it. ``compile`` makes the object, or a simpler form of it does (see
    `simpler_compile`); it is empty for a program that is an object already. ``companion`` is the executable or
    None, to be started in ``run_dir``; ``companion_steps`` make it, in order. Commands are argv lists.
    """

    directory: str
    source_dir: str
    object: str
    files: Mapping[str, Path | bytes]
    compile: tuple[str, ...]
    companion: str | None
    companion_steps: tuple[tuple[str, ...], ...]
    run_dir: str


def plan_build(sources: Sources, *, home: str, release: str, arch: str, cflags: Sequence[str] = ()) -> BuildPlan:
    """The plan for a guest that runs kernel ``release`` and keeps our files below ``home``."""
    files = _source_files(sources)
    compile_: tuple[str, ...] = ()
    if not sources.is_object:
        anchors = render_anchors(find_event_types(sources.text))
        files |= _generated_files(sources, anchors)
        compile_ = _clang(sources, f"{home}/vmlinux/{release}", arch, cflags, anchored=bool(anchors))
    directory = f"{home}/build/{_digest(sources, files, compile_)}"
    source_dir = f"{directory}/src"
    run_dir = str(PurePosixPath(source_dir, _posix(sources.program.parent)))
    built = f"{source_dir}/{_posix(sources.program)}" if sources.is_object else f"{directory}/{sources.stem}.bpf.o"
    companion = f"{directory}/{sources.stem}" if sources.companion else None
    return BuildPlan(
        directory=directory,
        source_dir=source_dir,
        object=built,
        files=files,
        compile=compile_,
        companion=companion,
        companion_steps=_steps(sources, directory, built, run_dir) if companion else (),
        run_dir=run_dir,
    )


def simpler_compile(argv: Sequence[str], output: str) -> tuple[str, ...] | None:
    """The call to try after one that failed with this output, without what of our additions may be to blame.

    These are the types that we named for events, and the precompiled header, which leaves kfuncs out. None when
    the fault is the program's.
    """
    if FILE_NAME in output and _EVENT_TYPES_FLAG in argv:
        return tuple(word for word in argv if word != _EVENT_TYPES_FLAG)
    if "-include-pch" in argv and _PCH_COMPLAINT.search(output):
        at = argv.index("-include-pch")
        return (*argv[: at - 1], *argv[at + 2 :])
    return None


def _source_files(sources: Sources) -> dict[str, Path | bytes]:
    return {f"src/{_posix(file)}": sources.root / file for file in sources.files}


def _generated_files(sources: Sources, anchors: str) -> dict[str, Path | bytes]:
    files: dict[str, Path | bytes] = {f"include/{name}": text for name, text in find_shims(sources.text).items()}
    if anchors:
        own = (sources.root / sources.program).read_bytes()
        behind = f"\n#ifdef {_EVENT_TYPES}{anchors}#endif\n"
        files[f"src/{_posix(sources.program)}"] = own + behind.encode()
    return files


def _clang(
    sources: Sources, vmlinux_dir: str, arch: str, cflags: Sequence[str], *, anchored: bool
) -> tuple[str, ...]:
    """One clang call that satisfies the flags of all the projects looked at.

    The program's own directory and its project's come first, so that their vmlinux.h wins over the guest's,
    which is last. Implicit declarations would otherwise surface much later as an unknown extern; other
    complaints that newer compilers made errors of are left the warnings they were.
    """
    program_dir = _posix(sources.program.parent)
    own = [f"-I{_posix(directory)}" for directory in sources.include_dirs]
    flags = (*sources.flags, *_own_flags(sources.text), *cflags)
    quick = not (sources.flags or cflags) and _starts_with_guests_vmlinux(sources, sources.program)
    return (
        "clang",
        *([_EVENT_TYPES_FLAG] if anchored else []),
        *([NO_KFUNC_PROTOTYPES, "-include-pch", f"{vmlinux_dir}/vmlinux.h.pch"] if quick else []),
        *target_flags(arch), "-fno-color-diagnostics",
        "-Werror=implicit-function-declaration", "-Wno-error=int-conversion", "-Wno-error=implicit-int",
        "-Wno-error=incompatible-function-pointer-types",
        "-Wall", "-Wno-unused-function", "-Wno-missing-declarations", "-Wno-compare-distinct-pointer-types",
        f"-I{program_dir}", *own, *flags,
        "-idirafter", "../include",
        "-idirafter", f"/usr/include/{MULTIARCH[arch]}",
        "-idirafter", "/usr/include/bpf",
        "-idirafter", vmlinux_dir,
        "-c", _posix(sources.program), "-o", f"../{sources.stem}.bpf.o",
    )  # fmt: skip


def _starts_with_guests_vmlinux(sources: Sources, file: Path) -> bool:
    """Whether nothing stands before ``#include "vmlinux.h"``, and the project has no such file of its own."""
    if any(path.name == "vmlinux.h" for path in sources.files):
        return False
    text = without_comments((sources.root / file).read_text(errors="replace"))
    match = _FIRST_INCLUDE.match(text)
    if match is None or match[1] == "vmlinux.h":
        return match is not None
    header = file.parent / match[1]
    return header in sources.files and header != file and _starts_with_guests_vmlinux(sources, header)


def _own_flags(text: str) -> list[str]:
    """Flags that the program's text asks for."""
    text = without_comments(text, keep_strings=False)
    bare = [name for name in _BUILTINS if calls(text, name) and not defines(text, f"__builtin_{name}")]
    flags = [f"-D{name}=__builtin_{name}" for name in bare]
    flags += [f"-D{name}" for name in dict.fromkeys(_HAVE_LIBBPF.findall(text))]
    flags += ["-include", f"../include/{LEGACY_MAPS}"] * needs_legacy_maps(text)
    return flags + [NO_KFUNC_PROTOTYPES] * bool(_KFUNC.search(text))


def _steps(sources: Sources, directory: str, built: str, run_dir: str) -> tuple[tuple[str, ...], ...]:
    steps = _victim_steps if sources.probed else _companion_steps
    return steps(sources, directory, built, run_dir)


def _victim_steps(sources: Sources, directory: str, built: str, run_dir: str) -> tuple[tuple[str, ...], ...]:
    """As it was written, with every function a function, and under its own name where the program is run."""
    assert sources.companion is not None
    made, includes_ = f"{directory}/{sources.stem}", [f"-I{_posix(path)}" for path in sources.include_dirs]
    return (
        ("cc", "-g", "-O0", "-w", *includes_, "-o", made,
         *map(_posix, (sources.companion, *sources.helpers)), "-lpthread", "-lm", "-ldl"),
        ("ln", "-sf", made, f"{run_dir}/{sources.companion.stem}"),
    )  # fmt: skip


def _companion_steps(sources: Sources, directory: str, built: str, run_dir: str) -> tuple[tuple[str, ...], ...]:
    """Skeleton under both names in use (x.skel.h, x.bpf.skel.h), object where loaders look, then the companion."""
    assert sources.companion is not None
    headers = f"{directory}/gen"
    name = re.sub(r"\W", "_", sources.stem)
    own = (sources.companion, *sources.helpers)
    text = "\n".join((sources.root / file).read_text(errors="replace") for file in own)
    includes_ = [f"-I{_posix(path)}" for path in (sources.program.parent, *sources.include_dirs)]
    xdp = ["-lxdp"] if any(header.startswith("xdp/") for _, header in includes(text)) else []
    return (
        ("sh", "-c", _SKELETON, "skeleton", headers, built, _skeleton_name(name, text), sources.stem),
        ("sh", "-c", _LINK, "link", run_dir, built, *_object_names(sources.stem, text)),
        ("cc", "-g", "-O2", "-Wall", f"-I{headers}", *includes_, "-o", f"{directory}/{sources.stem}",
         *map(_posix, own), *xdp, "-lbpf", "-lelf", "-lz", "-lpthread", "-lrt", "-ldl", "-lm"),
    )  # fmt: skip


def _skeleton_name(name: str, text: str) -> str:
    """What a companion's text calls its skeleton: bpftool's own NAME_bpf, or NAME."""
    plain = re.search(rf"\bstruct {name}\s*\*|\b{name}__\w", text)
    return name if plain and not re.search(rf"\b{name}_bpf", text) else f"{name}_bpf"


def _object_names(stem: str, text: str) -> list[str]:
    """What a loader may call its object: the usual names, and paths that its text mentions."""
    names = [f"{stem}{suffix}" for suffix in OBJECT_SUFFIXES]
    mentioned = [name for name in _OBJECT_NAME.findall(text) if program_stem(PurePosixPath(name).name) == stem]
    return list(dict.fromkeys((*names, *mentioned)))


def _digest(sources: Sources, files: Mapping[str, Path | bytes], compile_: Sequence[str]) -> str:
    digest = hashlib.sha256(repr((compile_, str(sources.program), str(sources.companion))).encode())
    for name, content in sorted(files.items()):
        data = content if isinstance(content, bytes) else content.read_bytes()
        digest.update(b"\0" + name.encode() + b"\0" + data)
    return digest.hexdigest()[:20]


def host_paths(output: str, sources: Sources) -> str:
    """A compiler's output with the paths that it was given turned into the host's."""
    names = {_posix(file): str(sources.root / file) for file in sources.files}
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])(?:\./)?({pattern})(?=[:,])", lambda match: names[match[1]], output)


def _posix(path: Path) -> str:
    return str(PurePosixPath(path))
