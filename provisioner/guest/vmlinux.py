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
dir="$1/vmlinux/$(uname -r)"; shift
if [ ! -s "$dir/vmlinux.h" ]; then
    mkdir -p "$dir"
    bpftool btf dump file /sys/kernel/btf/vmlinux format c > "$dir/vmlinux.h.part"
    mv "$dir/vmlinux.h.part" "$dir/vmlinux.h"
fi
[ -s "$dir/vmlinux.h.pch" ] && exit 0
clang "$@" -x c-header "$dir/vmlinux.h" -o "$dir/vmlinux.h.pch.part" &&
    mv "$dir/vmlinux.h.pch.part" "$dir/vmlinux.h.pch" || rm -f "$dir/vmlinux.h.pch.part"
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
    flags = (*target_flags(arch), NO_KFUNC_PROTOTYPES)
    guest.run(["sh", "-c", _WRITE, "vmlinux", home, *flags], timeout=PRECOMPILE_TIMEOUT)
