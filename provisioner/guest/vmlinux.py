"""The guest's vmlinux.h, and its precompiled form, which saves most of the time that a compilation takes."""

from __future__ import annotations

from provisioner.guest.base import Guest

#: What libbpf's bpf_tracing.h expects behind __TARGET_ARCH_, first, and how others spell it.
TARGET_ARCH = {"x86_64": ("x86", "amd64"), "aarch64": ("arm64", "aarch64")}

#: A compiler on a slow emulated processor that shares its host; seconds.
PRECOMPILE_TIMEOUT = 900.0

# Both are made from the kernel that runs, hence the directory's name. Without the precompiled form a program still
# compiles, so its failure is none of ours. Prototypes of kfuncs are left out of it: programs declare their own,
# and declarations that differ do not compile.
_WRITE = """
set -e
dir=$1 btf=$2; shift 2
if [ ! -s "$dir/vmlinux.h" ]; then
    mkdir -p "$dir"
    bpftool btf dump file "$btf" format c > "$dir/vmlinux.h.part"
    mv "$dir/vmlinux.h.part" "$dir/vmlinux.h"
fi
[ -s "$dir/vmlinux.h.pch" ] && exit 0
clang "$@" -x c-header "$dir/vmlinux.h" -o "$dir/vmlinux.h.pch.part" &&
    mv "$dir/vmlinux.h.pch.part" "$dir/vmlinux.h.pch" || rm -f "$dir/vmlinux.h.pch.part"
"""
# The same where the kernel does not run, but lies as a bzImage: Linux's Documentation/arch/x86/boot.rst says where
# in it the packed vmlinux is. Behind a zstd frame comes its length, of which zstd complains once all is written.
_WRITE_FROM_IMAGE = rf"""
set -e
home=$1 kernels=$2 scratch=$3; shift 3
number() {{ od -An -t"u$2" -j "$1" -N "$2" "$kernel" | tr -d ' '; }}
payload() {{
    start=$((($(number 497 1) + 1) * 512 + $(number 584 4)))
    tail -c "+$((start + 1))" "$kernel" | head -c "$(number 588 4)"
}}
for kernel in "$kernels"/vmlinuz-*; do
    case $(payload | head -c 4 | od -An -tx1 | tr -d ' ') in
    28b52ffd) payload | zstd -dc 2>/dev/null ;;
    fd377a58) payload | xz -dc ;;
    1f8b*) payload | gzip -dc ;;
    esac >"$scratch/vmlinux" || :
    sh -c '{_WRITE}' write "$home/vmlinux/${{kernel#*/vmlinuz-}}" "$scratch/vmlinux" "$@"
    rm "$scratch/vmlinux"
done
"""

#: Without these prototypes vmlinux.h cannot clash with a program's own (bpftool 7.5 and later write them).
NO_KFUNC_PROTOTYPES = "-DBPF_NO_KFUNC_PROTOTYPES"


def target_flags(arch: str) -> tuple[str, ...]:
    """Flags that a precompiled header and whoever uses it must share, for a guest of ``arch``.

    With ``-target bpf`` nothing says which processor the headers of libc and of the kernel's user space interface
    are for; without the processor's own macro they take x86-64 for i386. -fno-stack-protector undoes hardened
    defaults, which BPF cannot have.
    """
    spellings = (f"-D__TARGET_ARCH_{name}" for name in TARGET_ARCH[arch])
    return ("-g", "-O2", "-mcpu=v3", "-target", "bpf", *spellings, f"-D__{arch}__", "-fno-stack-protector")


def ensure_vmlinux(guest: Guest, home: str, arch: str) -> None:
    """Make vmlinux.h below ``home`` from the running kernel's BTF, and precompile it, unless they are there."""
    script = f'home=$1; shift; set -- "$home/vmlinux/$(uname -r)" "$@"{_WRITE}'
    argv = ["sh", "-c", script, "vmlinux", home, "/sys/kernel/btf/vmlinux", *_flags(arch)]
    guest.run(argv, timeout=PRECOMPILE_TIMEOUT)


def write_from_image(home: str, kernels: str, scratch: str, arch: str) -> list[str]:
    """The command that does the same for every x86 kernel in the directory ``kernels``; none of them runs."""
    return ["sh", "-c", _WRITE_FROM_IMAGE, "vmlinux", home, kernels, scratch, *_flags(arch)]


def _flags(arch: str) -> tuple[str, ...]:
    return (*target_flags(arch), NO_KFUNC_PROTOTYPES)
