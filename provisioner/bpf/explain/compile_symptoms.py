"""What compilers say, in the order in which it is looked for."""

from __future__ import annotations

from provisioner.bpf.explain.symptom import Symptom

#: libc functions that people call in programs, and what there is instead.
_LIBC = (
    r"(?:malloc|free|printf|puts|str\w+|snprintf|sleep|usleep|open|read|write|exit|getpid|clock_gettime|time|abs)"
)

#: What programs use of libbpf's headers. Each of the last three headers includes the one before it.
LIBBPF_NAMES = {
    "bpf_endian.h": r"bpf_(?:hton|ntoh)[sl]|bpf_cpu_to_be64|bpf_be64_to_cpu|__bpf_constant_\w+",
    "bpf_core_read.h": r"BPF_(?:CORE|PROBE)_READ\w*|bpf_core_\w+",
    "bpf_helpers.h": r"SEC|__uint|__type|__array|__kconfig|__always_inline|__noinline|KERNEL_VERSION|bpf_printk"
    r"|bpf_for|bpf_for_each|bpf_repeat|bpf_ksym_exists|BPF_SNPRINTF|BPF_SEQ_PRINTF",
    "bpf_tracing.h": r"PT_REGS_\w+|BPF_PROG2?|BPF_K(?:RET)?PROBE(?:_SYSCALL)?|BPF_KSYSCALL|BPF_U(?:RET)?PROBE",
    "usdt.bpf.h": r"BPF_USDT|bpf_usdt_\w+",
}
_LIBBPF = tuple(
    Symptom(
        "libbpf-name",
        r"(?:undeclared function|implicit declaration of function|undeclared identifier|unknown type name) "
        rf"'(?P<name>{names})'",
        f"{{name}} comes from <bpf/{header}>, which is not included, or is of a libbpf without it.",
        f"Write #include <bpf/{header}>; where it stands already, compile with a newer libbpf.",
    )
    for header, names in LIBBPF_NAMES.items()
)

COMPILE = (
    Symptom(
        "sched-ext-missing",
        r"use of undeclared identifier '(?P<name>SCX_\w+)'|incomplete (?:type|definition of type) "
        r"'(?:const )?(?P<other>struct (?:sched_ext_ops|scx_\w+))'",
        "{name}{other} is not in this kernel's BTF: it was built without sched_ext.",
        "sched_ext programs need Linux 6.12 or later with CONFIG_SCHED_CLASS_EXT: `ebpf-dev up NAME --kernel "
        "backports` makes an instance with one, `ebpf-dev kernels` lists more.",
    ),
    Symptom(
        "asm-headers",
        r"'asm/\w+\.h' file not found",
        "clang -target bpf does not search the directory of this machine's own headers.",
        "`ebpf-dev run` adds it; by hand: -idirafter /usr/include/$(uname -m)-linux-gnu.",
    ),
    Symptom(
        "vmlinux-missing",
        r"'(?:\.\./)*(?:\w+/)*vmlinux\.h' file not found",
        "vmlinux.h is made from the running kernel's types, no package holds it.",
        "`ebpf-dev run` makes it; by hand: bpftool btf dump file /sys/kernel/btf/vmlinux format c > vmlinux.h.",
    ),
    Symptom(
        "libbpf-headers",
        r"'(?:bpf/)?(?P<header>bpf_(?:helpers|tracing|core_read|endian|trace_helpers|helper_defs)\.h|libbpf\.h)' "
        r"file not found",
        "{header} belongs to libbpf: it is not installed, or its directory is not searched.",
        "Write #include <bpf/{header}>, and install libbpf-dev (libbpf-devel) where you compile; the guest has "
        "it.",
    ),
    Symptom(
        "kernel-tree-headers",
        r"'(?P<header>uapi/\w[^']*|linux/(?:kconfig|sched|fs|dcache|mm_types|skbuff|netdevice|module|kernel"
        r"|nsproxy|blkdev)\.h|net/\w+\.h)' file not found",
        "<{header}> exists in the kernel's source only; BCC programs and samples/bpf include it.",
        'Include "vmlinux.h" instead, which has the kernel\'s types; of uapi/linux/x.h include <linux/x.h>.',
    ),
    Symptom(
        "libc-32-bit",
        r"'gnu/stubs-32\.h' file not found",
        "A header of libc takes the BPF machine for a 32-bit one.",
        "Leave <stdlib.h>, <string.h> and their like out: BPF programs have no libc. Types: <linux/types.h>, "
        "<stddef.h>.",
    ),
    Symptom(
        "skeleton-missing",
        r"(?P<header>[\w./-]+\.skel\.h)(?:' file not found|: No such file)",
        "{header} is generated from the object of the kernel-side program.",
        "Name the files x.bpf.c and x.c, then `ebpf-dev run x.bpf.c` makes it; by hand: bpftool gen skeleton "
        "x.bpf.o.",
    ),
    Symptom(
        "target-arch",
        r"Must specify a BPF target arch via __TARGET_ARCH_xxx|extern 'PT_REGS_\w+'",
        "PT_REGS_PARM1 and its like depend on the processor, which nothing names.",
        "Compile with -D__TARGET_ARCH_x86 or -D__TARGET_ARCH_arm64 (not amd64, x86_64, aarch64).",
    ),
    Symptom(
        "registers-of-another-arch",
        r"no member named '(?P<member>r?[ds]i|r?[abcd]x|r?[bis]p|orig_r?ax|regs|user_regs|pc|pstate)' in "
        r"'struct (?:pt_regs|user_pt_regs)'|incomplete definition of type 'struct user_pt_regs'",
        "{member} is a register of another processor than the guest's, or vmlinux.h comes from another machine.",
        "Write PT_REGS_PARM1(ctx), PT_REGS_RC(ctx) and the like of <bpf/bpf_tracing.h>, which are right on each; "
        "and remove the project's copy of vmlinux.h so that the guest's is taken.",
    ),
    Symptom(
        "field-renamed",
        r"no member named '(?P<member>\w+)' in '(?P<type>(?:struct|union) \w+)'",
        "{type} has no field {member} in this vmlinux.h: another kernel version named or nested it differently.",
        "Look it up in vmlinux.h. For both kernels declare struct x___old with that field and "
        "__attribute__((preserve_access_index)), and choose with bpf_core_field_exists().",
    ),
    Symptom(
        "type-incomplete",
        r"incomplete (?:definition of )?type '(?:const )?(?P<type>(?:struct|union) \w+)'",
        "The headers only mention {type}, without its fields.",
        'Include "vmlinux.h", which has all of the kernel\'s types, in place of <linux/...> headers, or the one '
        "of these that defines it.",
    ),
    Symptom(
        "headers-mixed",
        r"(?:typedef )?redefinition (?:with different types|of '(?P<name>\w+)').*|"
        r"redefinition of enumerator '(?P<enumerator>\w+)'",
        "A type is defined twice: vmlinux.h already has all that <linux/...>, <net/...> and libc headers define.",
        "Keep vmlinux.h and drop the others, or the other way round; macros that vmlinux.h lacks: #define them.",
    ),
    Symptom(
        "macro-missing",
        r"use of undeclared identifier '(?P<name>ETH_P_\w+|TC_ACT_\w+|E[A-Z]{3,}|AF_\w+|O_[A-Z]+|S_I\w+"
        r"|TASK_COMM_LEN|PATH_MAX|NULL|ETH_ALEN|IP_\w+|SOL_\w+|SO_\w+|CLONE_\w+|MAY_\w+|XDP_FLAGS\w*"
        r"|LINUX_VERSION_CODE)'",
        "{name} is a macro, and vmlinux.h holds types and no macros.",
        "Define it yourself, with the value from the kernel's headers, for example #define ETH_P_IP 0x0800.",
    ),
    Symptom(
        "types-missing",
        r"unknown type name '(?P<name>__(?:u|s|be|le)\d+|(?:u|s)\d+|bool|size_t|pid_t)'|"
        r"use of undeclared identifier '(?P<other>(?:u|s)(?:8|16|32|64)|bool)'",
        "{name}{other} is not known here: the header that defines it is missing or comes too late.",
        'Include "vmlinux.h" or <linux/types.h> first, before <bpf/bpf_helpers.h>; outside vmlinux.h it is '
        "__u32, and "
        "bool needs <stdbool.h>.",
    ),
    *_LIBBPF,
    Symptom(
        "libc-call",
        rf"(?:call to undeclared (?:library )?function|implicit declaration of function"
        rf"|implicitly declaring library function) '(?P<name>{_LIBC})'",
        "{name}() is a function of libc; a BPF program runs in the kernel and has none.",
        "Use bpf_printk() to print, bpf_probe_read_*_str() for strings, a map for memory, bpf_ktime_get_ns() "
        "for time, __builtin_memcpy() and __builtin_memset() for known sizes.",
    ),
    Symptom(
        "helper-undeclared",
        r"(?:call to undeclared function|implicit declaration of function) '(?P<name>bpf_\w+)'",
        "There is no helper {name}() in libbpf's headers.",
        "Check the spelling in man 7 bpf-helpers. A kernel function is declared: extern int {name}(...) __ksym;",
    ),
    Symptom(
        "function-undeclared",
        r"(?:call to undeclared function|implicit declaration of function) '(?P<name>\w+)'",
        "{name}() is declared nowhere, and a BPF program can only call helpers, kernel functions and its own.",
        "Define it in this file, as static __always_inline, or include the header that does.",
    ),
    Symptom(
        "address-missing",
        r"passing '[^'*]*'(?: \(aka '[^'*]*'\))? to parameter of incompatible type '[^']*\*'",
        "The function wants an address, of a map or a key for example, and is given the struct itself.",
        "Put & before it: bpf_map_lookup_elem(&map, &key).",
    ),
    Symptom(
        "printk-format",
        r"array initializer must be an initializer list or string literal",
        "bpf_printk() and its like copy their format into the program, and so take a literal only.",
        'Write the text into the call, bpf_printk("%d", x), or use bpf_trace_printk(format, sizeof(format), x).',
    ),
    Symptom(
        "stack-protector",
        r"built-in function '__stack_chk_fail' is not supported",
        "The compiler's defaults ask for stack protection, which BPF cannot have.",
        "Compile with -fno-stack-protector; `ebpf-dev run` does.",
    ),
    Symptom(
        "floating-point",
        r"built-in function '__(?:float|fix|mul|div|add|sub|trunc|extend)\w*(?:[sd]f)\d?\w*' is not supported",
        "BPF has no floating point.",
        "Compute with integers, in thousandths for example, and divide where the number is shown.",
    ),
    Symptom(
        "block-copy",
        r"built-in function '(?P<name>memcpy|memset|memmove|memcmp|bcmp)' is not supported",
        "{name}() becomes instructions only for a size that is constant and small (at most 1024 bytes).",
        "Use a constant size; a large or varying one: bpf_probe_read_kernel(dst, size, src), bpf_loop(), or a "
        "map value.",
    ),
    Symptom(
        "built-in",
        r"built-in function '(?P<name>\w+)' is not supported",
        "The compiler wants to call {name}(), which BPF does not have.",
        "Avoid 128-bit arithmetic, floating point and copies of large structs.",
    ),
    Symptom(
        "stack-limit",
        r"BPF stack limit (?:of \d+ bytes )?is exceeded|stack frame size \(\d+\) exceeds limit",
        "A BPF function has 512 bytes for its local variables.",
        "Keep large ones in a map: BPF_MAP_TYPE_PERCPU_ARRAY with one entry, looked up with key 0.",
    ),
    Symptom(
        "too-many-arguments",
        r"too many args to|defined with too many args|stack arguments are not supported"
        r"|GlobalAddress.* too many arguments",
        "A BPF function takes at most five arguments.",
        "Put some into a struct and pass its address, or mark the function static __always_inline.",
    ),
    Symptom(
        "unsupported-c",
        r"functions with VarArgs or StructRet are not supported|[Uu]nsupported dynamic stack allocation|"
        r"aggregate returns are not supported|only small returns|variadic functions are not supported",
        "BPF has no variable arguments, no returned structs and no arrays of varying length.",
        "Pass the address of a struct to fill, and give arrays a constant length.",
    ),
    Symptom(
        "instruction-set",
        r"[Uu]nsupported atomic operation|Cannot select: .*(?:sdiv|srem|Atomic)|unsupported signed division",
        "The chosen BPF instruction set (-mcpu) lacks this: atomic operations that return a value need v3, signed "
        "division v4.",
        "Compile with --cflag -mcpu=v3 (or v4 on Linux 6.6 and later); divide unsigned numbers.",
    ),
    Symptom(
        "bpftool-kernel",
        r"bpftool not found for kernel|You may need to install the following packages for this specific kernel",
        "Ubuntu's bpftool is a wrapper that wants the packages of the running kernel.",
        "Nothing to do in the guest, which has its own; on the host install linux-tools-$(uname -r).",
    ),
)
