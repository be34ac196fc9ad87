"""What goes wrong before and after the verifier: messages of compiler, libbpf and kernel, with cause and cure.

First match wins, so that what is special stands before what is general. The verifier's own words are not here
(``explanation.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: libc functions that people call in programs, and what there is instead.
_LIBC = (
    r"(?:malloc|free|printf|puts|str\w+|snprintf|sleep|usleep|open|read|write|exit|getpid|clock_gettime|time|abs)"
)


@dataclass(frozen=True)
class Symptom:
    """``stage`` is compile, load or attach; ``cause`` and ``cure`` may name groups of ``pattern`` in braces."""

    code: str
    stage: str
    pattern: str
    cause: str
    cure: str


@dataclass(frozen=True)
class Hint:
    """A symptom that was recognised: why it is so, and what to do."""

    code: str
    cause: str
    cure: str

    def __str__(self) -> str:
        return f"{self.cause} {self.cure}"


def find_hint(text: str, *stages: str) -> Hint | None:
    """The first symptom of one of the ``stages`` (none given: of any) that ``text`` shows."""
    for symptom in SYMPTOMS:
        if stages and symptom.stage not in stages:
            continue
        if match := re.search(symptom.pattern, text, re.MULTILINE):
            groups = {name: value or "" for name, value in match.groupdict().items()}
            return Hint(symptom.code, symptom.cause.format_map(groups), symptom.cure.format_map(groups))
    return None


def hint_text(text: str, *stages: str) -> str:
    """The hint as one paragraph, "" when nothing in ``text`` is known."""
    hint = find_hint(text, *stages)
    return str(hint) if hint else ""


SYMPTOMS = (
    Symptom(
        "sched-ext-missing",
        "compile",
        r"use of undeclared identifier '(?P<name>SCX_\w+)'|incomplete (?:type|definition of type) "
        r"'(?:const )?(?P<other>struct (?:sched_ext_ops|scx_\w+))'",
        "{name}{other} is not in this kernel's BTF: it was built without sched_ext.",
        "sched_ext programs need Linux 6.12 or later with CONFIG_SCHED_CLASS_EXT; `ebpf-dev doctor` says whether "
        "this kernel has it.",
    ),
    Symptom(
        "asm-headers",
        "compile",
        r"'asm/\w+\.h' file not found",
        "clang -target bpf does not search the directory of this machine's own headers.",
        "`ebpf-dev run` adds it; by hand: -idirafter /usr/include/$(uname -m)-linux-gnu.",
    ),
    Symptom(
        "vmlinux-missing",
        "compile",
        r"'(?:\.\./)*(?:\w+/)*vmlinux\.h' file not found",
        "vmlinux.h is made from the running kernel's types, no package holds it.",
        "`ebpf-dev run` makes it; by hand: bpftool btf dump file /sys/kernel/btf/vmlinux format c > vmlinux.h.",
    ),
    Symptom(
        "libbpf-headers",
        "compile",
        r"'(?:bpf/)?(?P<header>bpf_(?:helpers|tracing|core_read|endian|trace_helpers|helper_defs)\.h|libbpf\.h)' "
        r"file not found",
        "{header} belongs to libbpf: it is not installed, or its directory is not searched.",
        "Write #include <bpf/{header}>, and install libbpf-dev (libbpf-devel) where you compile; the guest has "
        "it.",
    ),
    Symptom(
        "kernel-tree-headers",
        "compile",
        r"'(?P<header>uapi/\w[^']*|linux/(?:kconfig|sched|fs|dcache|mm_types|skbuff|netdevice|module|kernel"
        r"|nsproxy|blkdev)\.h|net/\w+\.h)' file not found",
        "<{header}> exists in the kernel's source only; BCC programs and samples/bpf include it.",
        'Include "vmlinux.h" instead, which has the kernel\'s types; of uapi/linux/x.h include <linux/x.h>.',
    ),
    Symptom(
        "libc-32-bit",
        "compile",
        r"'gnu/stubs-32\.h' file not found",
        "A header of libc takes the BPF machine for a 32-bit one.",
        "Leave <stdlib.h>, <string.h> and their like out: BPF programs have no libc. Types: <linux/types.h>, "
        "<stddef.h>.",
    ),
    Symptom(
        "skeleton-missing",
        "compile",
        r"(?P<header>[\w./-]+\.skel\.h)(?:' file not found|: No such file)",
        "{header} is generated from the object of the kernel-side program.",
        "Name the files x.bpf.c and x.c, then `ebpf-dev run x.bpf.c` makes it; by hand: bpftool gen skeleton "
        "x.bpf.o.",
    ),
    Symptom(
        "target-arch",
        "compile",
        r"Must specify a BPF target arch via __TARGET_ARCH_xxx|extern 'PT_REGS_\w+'",
        "PT_REGS_PARM1 and its like depend on the processor, which nothing names.",
        "Compile with -D__TARGET_ARCH_x86 or -D__TARGET_ARCH_arm64 (not amd64, x86_64, aarch64).",
    ),
    Symptom(
        "registers-of-another-arch",
        "compile",
        r"no member named '(?P<member>r?[ds]i|r?[abcd]x|r?[bis]p|orig_r?ax|regs|user_regs|pc|pstate)' in "
        r"'struct (?:pt_regs|user_pt_regs)'|incomplete definition of type 'struct user_pt_regs'",
        "vmlinux.h and __TARGET_ARCH_... are of different processors; mostly a vmlinux.h from another machine.",
        "Remove the project's copy so that the guest's is taken, and let the tool set __TARGET_ARCH_...",
    ),
    Symptom(
        "field-renamed",
        "compile",
        r"no member named '(?P<member>\w+)' in '(?P<type>struct \w+)'",
        "{type} has no field {member} in this vmlinux.h: another kernel version named or nested it differently.",
        "Look it up in vmlinux.h. For both kernels declare struct x___old with that field and "
        "__attribute__((preserve_access_index)), and choose with bpf_core_field_exists().",
    ),
    Symptom(
        "type-incomplete",
        "compile",
        r"incomplete definition of type '(?P<type>struct \w+)'|has incomplete type '(?P<other>struct \w+)'",
        "The headers only mention {type}{other}, without its fields.",
        'Include "vmlinux.h", which has all of the kernel\'s types, in place of <linux/...> headers.',
    ),
    Symptom(
        "headers-mixed",
        "compile",
        r"(?:typedef )?redefinition (?:with different types|of '(?P<name>\w+)').*|"
        r"redefinition of enumerator '(?P<enumerator>\w+)'",
        "A type is defined twice: vmlinux.h already has all that <linux/...>, <net/...> and libc headers define.",
        "Keep vmlinux.h and drop the others, or the other way round; macros that vmlinux.h lacks: #define them.",
    ),
    Symptom(
        "macro-missing",
        "compile",
        r"use of undeclared identifier '(?P<name>ETH_P_\w+|TC_ACT_\w+|E[A-Z]{3,}|AF_\w+|O_[A-Z]+|S_I\w+"
        r"|TASK_COMM_LEN|PATH_MAX|NULL|ETH_ALEN|IP_\w+|SOL_\w+|SO_\w+|CLONE_\w+|MAY_\w+|XDP_FLAGS\w*"
        r"|LINUX_VERSION_CODE)'",
        "{name} is a macro, and vmlinux.h holds types and no macros.",
        "Define it yourself, with the value from the kernel's headers, for example #define ETH_P_IP 0x0800.",
    ),
    Symptom(
        "types-missing",
        "compile",
        r"unknown type name '(?P<name>__(?:u|s|be|le)\d+|(?:u|s)\d+|bool|size_t|pid_t)'|"
        r"use of undeclared identifier '(?P<other>(?:u|s)(?:8|16|32|64)|bool)'",
        "{name}{other} is not known here: the header that defines it is missing or comes too late.",
        'Include "vmlinux.h" or <linux/types.h> first, before <bpf/bpf_helpers.h>; outside vmlinux.h it is '
        "__u32, and "
        "bool needs <stdbool.h>.",
    ),
    Symptom(
        "libbpf-too-old",
        "compile",
        r"(?:undeclared function|implicit declaration of function"
        r"|undeclared identifier) '(?P<name>BPF_K(?:RET)?PROBE_SYSCALL|BPF_KSYSCALL|BPF_UPROBE|BPF_URETPROBE"
        r"|BPF_USDT|BPF_PROG2|KERNEL_VERSION|bpf_for|bpf_for_each|bpf_repeat|bpf_ksym_exists|bpf_core_\w+)'",
        "{name} is a macro of libbpf's headers that this version lacks, or its header is not included.",
        "Include <bpf/bpf_tracing.h> (BPF_CORE_READ: <bpf/bpf_core_read.h>), or compile with a newer libbpf.",
    ),
    Symptom(
        "libc-call",
        "compile",
        rf"(?:call to undeclared (?:library )?function|implicit declaration of function"
        rf"|implicitly declaring library function) '(?P<name>{_LIBC})'",
        "{name}() is a function of libc; a BPF program runs in the kernel and has none.",
        "Use bpf_printk() to print, bpf_probe_read_*_str() for strings, a map for memory, bpf_ktime_get_ns() "
        "for time, __builtin_memcpy() and __builtin_memset() for known sizes.",
    ),
    Symptom(
        "helper-undeclared",
        "compile",
        r"(?:call to undeclared function|implicit declaration of function) '(?P<name>bpf_\w+)'",
        "There is no helper {name}() in libbpf's headers.",
        "Check the spelling in man 7 bpf-helpers. A kernel function is declared: extern int {name}(...) __ksym;",
    ),
    Symptom(
        "function-undeclared",
        "compile",
        r"(?:call to undeclared function|implicit declaration of function) '(?P<name>\w+)'",
        "{name}() is declared nowhere, and a BPF program can only call helpers, kernel functions and its own.",
        "Define it in this file, as static __always_inline, or include the header that does.",
    ),
    Symptom(
        "printk-format",
        "compile",
        r"array initializer must be an initializer list or string literal",
        "bpf_printk() and its like copy their format into the program, and so take a literal only.",
        'Write the text into the call, bpf_printk("%d", x), or use bpf_trace_printk(format, sizeof(format), x).',
    ),
    Symptom(
        "stack-protector",
        "compile",
        r"built-in function '__stack_chk_fail' is not supported",
        "The compiler's defaults ask for stack protection, which BPF cannot have.",
        "Compile with -fno-stack-protector; `ebpf-dev run` does.",
    ),
    Symptom(
        "floating-point",
        "compile",
        r"built-in function '__(?:float|fix|mul|div|add|sub|trunc|extend)\w*(?:[sd]f)\d?\w*' is not supported",
        "BPF has no floating point.",
        "Compute with integers, in thousandths for example, and divide where the number is shown.",
    ),
    Symptom(
        "block-copy",
        "compile",
        r"built-in function '(?P<name>memcpy|memset|memmove|memcmp|bcmp)' is not supported",
        "{name}() becomes instructions only for a size that is constant and small (at most 1024 bytes).",
        "Use a constant size; a large or varying one: bpf_probe_read_kernel(dst, size, src), bpf_loop(), or a "
        "map value.",
    ),
    Symptom(
        "built-in",
        "compile",
        r"built-in function '(?P<name>\w+)' is not supported",
        "The compiler wants to call {name}(), which BPF does not have.",
        "Avoid 128-bit arithmetic, floating point and copies of large structs.",
    ),
    Symptom(
        "stack-limit",
        "compile",
        r"BPF stack limit (?:of \d+ bytes )?is exceeded|stack frame size \(\d+\) exceeds limit",
        "A BPF function has 512 bytes for its local variables.",
        "Keep large ones in a map: BPF_MAP_TYPE_PERCPU_ARRAY with one entry, looked up with key 0.",
    ),
    Symptom(
        "too-many-arguments",
        "compile",
        r"too many args to|defined with too many args|stack arguments are not supported"
        r"|GlobalAddress.* too many arguments",
        "A BPF function takes at most five arguments.",
        "Put some into a struct and pass its address, or mark the function static __always_inline.",
    ),
    Symptom(
        "unsupported-c",
        "compile",
        r"functions with VarArgs or StructRet are not supported|[Uu]nsupported dynamic stack allocation|"
        r"aggregate returns are not supported|only small returns|variadic functions are not supported",
        "BPF has no variable arguments, no returned structs and no arrays of varying length.",
        "Pass the address of a struct to fill, and give arrays a constant length.",
    ),
    Symptom(
        "instruction-set",
        "compile",
        r"[Uu]nsupported atomic operation|Cannot select: .*(?:sdiv|srem|Atomic)|unsupported signed division",
        "The chosen BPF instruction set (-mcpu) lacks this: atomic operations that return a value need v3, signed "
        "division v4.",
        "Compile with --cflag -mcpu=v3 (or v4 on Linux 6.6 and later); divide unsigned numbers.",
    ),
    Symptom(
        "bpftool-kernel",
        "compile",
        r"bpftool not found for kernel|You may need to install the following packages for this specific kernel",
        "Ubuntu's bpftool is a wrapper that wants the packages of the running kernel.",
        "Nothing to do in the guest, which has its own; on the host install linux-tools-$(uname -r).",
    ),
    Symptom(
        "legacy-maps",
        "load",
        r"legacy map definitions in 'maps' section are not supported",
        'struct bpf_map_def SEC("maps") is the old way to define maps, which libbpf 1.0 dropped.',
        "Write: struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, __u32); "
        '__type(value, __u64); }} name SEC(".maps");',
    ),
    Symptom(
        "static-program",
        "load",
        r"program '(?P<name>\w+)' is static and not supported",
        "{name}() is static, and libbpf loads only functions that can be seen from outside.",
        "Remove the word static in front of it.",
    ),
    Symptom(
        "no-btf",
        "load",
        r"BTF is required, but is missing or corrupted",
        "The object has no type information (BTF), which maps in .maps and CO-RE need.",
        "Compile with -g (and do not strip it with more than llvm-strip -g).",
    ),
    Symptom(
        "not-an-object",
        "load",
        r"is not a proper ELF object|is not a valid eBPF object file|not an ELF file",
        "The file is not a BPF object.",
        "Compile the program with clang -g -O2 -target bpf -c.",
    ),
    Symptom(
        "section-unknown",
        "load",
        r"missing BPF prog type, check ELF section name '(?P<section>[^']*)'"
        r"|section \"(?P<other>[^\"]*)\" names no known",
        'SEC("{section}{other}") names no type of program.',
        'Use a known name: "xdp", "tc", "kprobe/FUNCTION", "tracepoint/GROUP/NAME", "fentry/FUNCTION", "uprobe".',
    ),
    Symptom(
        "kernel-btf-missing",
        "load",
        r"failed to find valid kernel BTF|[Ee]rror loading vmlinux BTF: -(?:2|3)\b|BTF is not supported",
        "This kernel has no type information of its own (/sys/kernel/btf/vmlinux): CONFIG_DEBUG_INFO_BTF is off.",
        "Use a kernel that has it, as the guest does; Docker Desktop's and some vendors' have not.",
    ),
    Symptom(
        "btf-kind",
        "load",
        r"Unsupported BTF_KIND:\s?(?P<kind>\d+)|Invalid BTF kind",
        "The loader's libbpf is older than the kernel's types (kind 19 came with Linux 6.0 and libbpf 1.0).",
        "Build the loader with libbpf 1.0 or later; `ebpf-dev run` uses the guest's.",
    ),
    Symptom(
        "extern-kfunc",
        "load",
        r"extern \(func ksym\) '(?P<name>\w+)': not found in kernel",
        "This kernel has no kernel function {name}(), or its module is not loaded.",
        "Load the module (nf_conntrack, for example, for bpf_ct_...), or declare it __ksym __weak and ask "
        "bpf_ksym_exists({name}).",
    ),
    Symptom(
        "extern-variable",
        "load",
        r"extern \((?:var|kcfg|func)(?: ksym)?\) '(?P<name>\w+)': (?:not found|unrecognized|value .* not found"
        r"|incompatible)",
        "This kernel has nothing called {name}, of this type.",
        "Configuration values are CONFIG_... (or LINUX_KERNEL_VERSION) with __kconfig; make it __weak to go "
        "without.",
    ),
    Symptom(
        "usdt-notes",
        "attach",
        r"usdt: no USDT notes section \(\.note\.stapsdt\) found in '(?P<file>[^']+)'",
        "{file} was built without USDT probes, as Debian builds its C library.",
        'Probe a function of it instead (SEC("uprobe/...")), or a program that has such probes: '
        "`readelf -n FILE` lists them.",
    ),
    Symptom(
        "extern-function",
        "load",
        r"failed to find BTF for extern '(?P<name>\w+)'",
        "{name}() is declared and defined nowhere in the program: a function of libc, perhaps, or a helper "
        "misspelt.",
        "Programs can call helpers, kernel functions declared with __ksym, and their own functions.",
    ),
    Symptom(
        "struct-ops",
        "load",
        r"struct_ops init_kern: struct (?P<name>\w+) is not found in kernel BTF|"
        r"struct_ops init_kern \S+: .*(?:not found|mismatch)",
        "This kernel's struct_ops type {name} is missing or another one than the program's (sched_ext: Linux "
        "6.12 and later with CONFIG_SCHED_CLASS_EXT, each version with its own members).",
        "Use the kernel that the program was written for, or the program's release for this kernel.",
    ),
    Symptom(
        "map-strings",
        "load",
        r"map '(?P<name>\.rodata\.\w[^']*)': failed to create",
        "Kernels before 5.5 take no map for {name}, where the compiler keeps strings.",
        'Give the text a name: static const char text[] = "..."; or use a newer kernel.',
    ),
    Symptom(
        "map-refused",
        "load",
        r"map '(?P<name>[^']+)': failed to create: (?:ERROR: )?(?:Invalid argument|strerror_r\(-?22\))",
        "The kernel does not take map '{name}' with this type, these sizes or this max_entries.",
        "A ring buffer has a max_entries that is a power of two and a multiple of the page (4096, 16384 on "
        "some arm64), and no key and value; a perf event array has int for both; all others but storage maps "
        "need max_entries, and storage maps BPF_F_NO_PREALLOC.",
    ),
    Symptom(
        "map-too-large",
        "load",
        r"map '(?P<name>[^']+)': failed to create: (?:Cannot allocate memory|Argument list too long)",
        "Map '{name}' would take more memory than there is: max_entries times the sizes of key and value.",
        "Make max_entries smaller, or a hash allocate as it grows: __uint(map_flags, BPF_F_NO_PREALLOC).",
    ),
    Symptom(
        "not-permitted",
        "load",
        r"Couldn't load trivial BPF program|RLIMIT_MEMLOCK|try raising 'ulimit -l'|Operation not permitted",
        "The kernel does not allow this user, or this program, to be loaded: not root (CAP_BPF), a locked-down "
        "kernel, a container, a memlock limit (before 5.11), or a function that must not be modified.",
        "Load as root outside a container; `ebpf-dev run` does. fmod_ret and LSM programs also need a target that "
        "allows it.",
    ),
    Symptom(
        "function-renamed",
        "attach",
        r"'?(?P<name>_*blk_account_io_(?:start|done|merge_bio|completion))\b",
        "{name}() was renamed and inlined between Linux 5.16 and 6.4.",
        "Use the tracepoints tp_btf/block_io_start and tp_btf/block_io_done, or block_rq_issue and "
        "block_rq_complete.",
    ),
    Symptom(
        "btf-target",
        "attach",
        r"failed to find kernel BTF type ID of '(?P<name>\w+)'|this kernel's BTF has no (?:\w+ )*?(?P<other>\w+)$",
        "This kernel has no {name}{other}, or the compiler inlined it or changed its arguments: then no "
        "fentry, tp_btf or LSM program can go there.",
        "`ebpf-dev exec -- bpftool btf dump file /sys/kernel/btf/vmlinux | grep {name}{other}` shows near "
        "names; do_execve, for example, is do_execveat_common or the tracepoint sched_process_exec.",
    ),
    Symptom(
        "kprobe-target",
        "attach",
        r"failed to (?:create kprobe|add legacy kprobe event for) '(?P<name>[\w.]+)\+0x\w+'.*(?:No such|Invalid)|"
        r"there is no function that can be probed (?P<other>\S+)",
        "This kernel has no function {name}{other} to probe: inlined, renamed (NAME.isra.0, .constprop.0), in "
        "a module that is not loaded, or the kernel has no kprobes.",
        "`ebpf-dev exec -- grep {name}{other} /sys/kernel/tracing/available_filter_functions` shows near "
        "names; system calls: "
        'SEC("ksyscall/NAME").',
    ),
    Symptom(
        "tracepoint-old-call",
        "attach",
        r"(?:tracepoint '?|no tracepoint )syscalls/sys_(?:enter|exit)_(?P<name>open|creat|unlink|mkdir|rename"
        r"|stat|fork|poll|dup2|pipe|access|link|symlink|rmdir|chmod|chown)\b",
        "There is no system call {name} on arm64, and elsewhere libc uses {name}at and the like.",
        "Trace the newer one as well: sys_enter_openat for open, unlinkat, mkdirat, renameat2, newfstatat, "
        "clone, ...",
    ),
    Symptom(
        "tracepoint-target",
        "attach",
        r"failed to determine tracepoint '(?P<name>[^']+)' perf event ID|there is no tracepoint (?P<other>\S+)|"
        r"failed to attach to raw tracepoint '(?P<raw>[^']+)'",
        "This kernel has no tracepoint {name}{other}{raw}; or tracefs is not mounted, or system calls are not "
        "traced (CONFIG_FTRACE_SYSCALLS).",
        "`ebpf-dev exec -- ls /sys/kernel/tracing/events` lists the groups; a section names both, "
        "tracepoint/GROUP/NAME.",
    ),
    Symptom(
        "uprobe-symbol",
        "attach",
        r"failed to find symbol '(?P<name>[^']+)' in '(?P<binary>[^']+)'"
        r"|there is no binary or symbol (?P<other>\S+)",
        "{binary}{other} has no symbol {name}: stripped, inlined, or in a library (readline is in libreadline "
        "on some systems).",
        "`nm -D` on the binary and on the libraries that ldd lists shows where it is; name that file with --bin.",
    ),
    Symptom(
        "uprobe-section",
        "attach",
        r"section '(?P<section>u[^']*)' missing ':function\[\+offset\]' specification",
        'SEC("{section}") does not say where: a path and a function belong to it.',
        'Write SEC("uprobe//usr/bin/bash:readline"), or SEC("uprobe") and --bin PATH.',
    ),
    Symptom(
        "binary-missing",
        "attach",
        r"failed to open (?P<name>/\S+): No such file or directory",
        "There is no file {name} in the guest.",
        "Copy it there with `ebpf-dev cp`, or name another one with --bin.",
    ),
    Symptom(
        "usdt-header",
        "attach",
        r"failed to find USDT support BPF maps",
        "USDT programs need the maps of libbpf's own header.",
        "#include <bpf/usdt.bpf.h>",
    ),
    Symptom(
        "trampoline",
        "attach",
        r"(?:strerror_r\(-524\)|unknown error \(-?524\)|Unknown error 524|: -524\b)",
        "This kernel cannot attach fentry, fexit or LSM programs here: on arm64 that needs Linux 6.4 or later.",
        "Use a kprobe in its place, or a newer kernel.",
    ),
    Symptom(
        "xdp-driver",
        "attach",
        r"Underlying driver does not support XDP in native mode|virtio_net: .*|.*[Cc]an't (?:set up|load) XDP.*|"
        r"XDP .*(?:MTU|LRO|too large)",
        "The interface's driver cannot run XDP programs itself, or not with its present MTU, LRO and queues.",
        "Leave --dev out to use the tool's own interface; generic mode (xdpgeneric) works on every one.",
    ),
    Symptom(
        "clsact",
        "attach",
        r"Exclusivity flag on, cannot modify",
        "The interface has its clsact qdisc already, which is harmless.",
        "Go on; `tc qdisc del dev IFACE clsact` removes what an earlier program left.",
    ),
)
