"""Failures around the verifier: what clang, libbpf, the kernel and the runner really said, and the hint for it."""

from __future__ import annotations

import pytest

from provisioner.bpf.explain import find_hint, hint_text
from provisioner.bpf.explain.symptoms import SYMPTOMS

#: clang 14 (Debian 12) unless another is named.
COMPILER = [
    ("sched-ext-missing", "common.bpf.h:33:17: error: use of undeclared identifier 'SCX_DSQ_FLAG_BUILTIN'"),
    ("sched-ext-missing", "x.bpf.c:9:24: error: variable has incomplete type 'struct sched_ext_ops'"),
    ("asm-headers", "/usr/include/linux/types.h:5:10: fatal error: 'asm/types.h' file not found"),
    ("vmlinux-missing", "no_vmlinux.c:1:10: fatal error: 'vmlinux.h' file not found"),
    ("vmlinux-missing", "x.bpf.c:1:10: fatal error: '../include/vmlinux.h' file not found"),
    ("libbpf-headers", "old_helpers.c:2:10: fatal error: 'bpf_helpers.h' file not found"),
    ("libbpf-headers", "x.c:2:10: fatal error: 'bpf/bpf_helpers.h' file not found"),
    ("kernel-tree-headers", "uapi.c:1:10: fatal error: 'uapi/linux/bpf.h' file not found"),
    ("kernel-tree-headers", "kernel_header.c:2:10: fatal error: 'linux/kconfig.h' file not found"),
    (
        "libc-32-bit",
        "/usr/include/x86_64-linux-gnu/gnu/stubs.h:7:11: fatal error: 'gnu/stubs-32.h' file not found",
    ),
    ("skeleton-missing", "minimal.c:6:10: fatal error: minimal.skel.h: No such file or directory"),
    ("skeleton-missing", "minimal.c:6:10: fatal error: 'minimal.skel.h' file not found"),
    ("target-arch", "no_target_arch.c:5:63: error: Must specify a BPF target arch via __TARGET_ARCH_xxx"),
    ("registers-of-another-arch", "wrong_arch.c:6:38: error: no member named 'rdi' in 'struct pt_regs'"),
    ("registers-of-another-arch", "x.c:9:6: error: no member named 'di' in 'struct pt_regs'"),
    (
        "field-renamed",
        "member.c:3:52: error: no member named 'state' in 'struct task_struct'; did you mean 'stats'?",
    ),
    ("type-incomplete", "incomplete.c:3:50: error: incomplete definition of type 'struct task_struct'"),
    ("type-incomplete", "x.c:5:9: error: arithmetic on a pointer to an incomplete type 'struct ethhdr'"),
    (
        "type-incomplete",
        "x.c:5:9: error: invalid application of 'sizeof' to an incomplete type 'const struct iphdr'",
    ),
    (
        "headers-mixed",
        "/usr/include/linux/posix_types.h:27:3: error: typedef redefinition with different types "
        "('struct __kernel_fd_set' vs 'struct __kernel_fd_set')",
    ),
    ("macro-missing", "macro.c:3:66: error: use of undeclared identifier 'ETH_P_IP'"),
    ("macro-missing", "macro_decl.c:4:66: error: use of undeclared identifier 'EPERM'"),
    ("types-missing", "/usr/include/bpf/bpf_helper_defs.h:78:83: error: unknown type name '__u64'"),
    ("types-missing", "no_u32.c:3:31: error: use of undeclared identifier 'u32'"),
    ("types-missing", "bool.c:3:46: error: use of undeclared identifier 'bool'"),
    (
        "libbpf-name",
        "x.bpf.c:9:5: error: implicit declaration of function 'BPF_KSYSCALL' is invalid in C99 "
        "[-Werror,-Wimplicit-function-declaration]",
    ),
    ("libbpf-name", "x.c:4:8: error: unknown type name '__always_inline'"),
    ("libbpf-name", "x.c:4:8: error: call to undeclared function 'bpf_htons'; ISO C99 and later do not support"),
    (
        "address-missing",
        "x.c:7:22: error: passing 'struct (unnamed struct at x.c:4:1)' to parameter of incompatible type 'void *'",
    ),
    ("address-missing", "x.c:7:22: error: passing 'struct key' to parameter of incompatible type 'const void *'"),
    (
        "address-missing",  # clang 19
        "x.c:7:22: error: passing 'k_t' (aka 'struct key') to parameter of incompatible type 'const void *'",
    ),
    (
        "libc-call",
        "undeclared_libc.c:3:50: error: implicitly declaring library function 'malloc' with type "
        "'void *(unsigned long)' [-Werror,-Wimplicit-function-declaration]",
    ),
    (
        "libc-call",  # clang 19
        "x.c:3:50: error: call to undeclared library function 'strlen' with type 'unsigned long (const char *)'; "
        "ISO C99 and later do not support implicit function declarations",
    ),
    (
        "helper-undeclared",
        "undeclared_helper.c:3:47: error: implicit declaration of function 'bpf_get_curent_pid' is invalid in C99",
    ),
    (
        "function-undeclared",  # clang 19
        "x.c:3:47: error: call to undeclared function 'get_key'; ISO C99 and later do not support implicit "
        "function declarations [-Wimplicit-function-declaration]",
    ),
    (
        "stack-protector",
        "stack_chk.c:3:19: error: A call to built-in function '__stack_chk_fail' is not supported.",
    ),
    ("floating-point", "float.c:3:51: error: A call to built-in function '__floatunsidf' is not supported."),
    ("floating-point", "float.c:3:81: error: A call to built-in function '__muldf3' is not supported."),
    ("block-copy", "memset_big.c:4:116: error: A call to built-in function 'memset' is not supported."),
    ("built-in", "x.c:4:116: error: A call to built-in function '__multi3' is not supported."),
    (
        "stack-limit",
        "stack_limit.c:3:60: error: Looks like the BPF stack limit of 512 bytes is exceeded. Please move large on "
        "stack variables into BPF per-cpu array map.",
    ),
    (
        "stack-limit",  # clang 19
        "x.c:3:60: error: Looks like the BPF stack limit is exceeded. Please move large on stack variables "
        "into BPF per-cpu array map. For non-kernel uses, the stack can be increased using -mllvm "
        "-bpf-stack-size.",
    ),
    (
        "too-many-arguments",
        "six_args.c:4:53: error: too many args to 0x268fd650: i64 = GlobalAddress<i32 (i32)* @g> 0",
    ),
    ("too-many-arguments", "six_args.c:3:38: error: defined with too many args"),
    # clang 19 words these anew.
    (
        "too-many-arguments",
        "six_args.c:4:53: error: 0x563752ffbf50: i64 = GlobalAddress<ptr @g> 0 too many arguments",
    ),
    ("too-many-arguments", "six_args.c:3:38: error: stack arguments are not supported"),
    ("unsupported-c", "struct_return.c:4:36: error: aggregate returns are not supported"),
    ("unsupported-c", "varargs.c:3:38: error: variadic functions are not supported"),
    ("unsupported-c", "dynamic.c:3:46: error: unsupported dynamic stack allocation"),
    ("instruction-set", "atomic.c:4:53: error: unsupported atomic operation, please use 64 bit version"),
    ("instruction-set", "sdiv.c:3:73: error: unsupported signed division, please convert to unsigned div/mod."),
    (
        "printk-format",
        "printk_args.c:3:65: error: array initializer must be an initializer list or string literal",
    ),
    ("unsupported-c", "struct_return.c:4:36: error: functions with VarArgs or StructRet are not supported"),
    ("unsupported-c", "fatal error: error in backend: Unsupported dynamic stack allocation"),
    ("instruction-set", "atomic.c:4:53: error: Unsupported atomic operations, please use 64 bit version"),
    (
        "instruction-set",
        "fatal error: error in backend: Cannot select: 0x3b8a83e8: i64 = sdiv 0x3b8a8040, 0x3b8a80a8, sdiv.c:3:73",
    ),
    ("bpftool-kernel", "WARNING: bpftool not found for kernel 6.8.0-31"),
]

#: libbpf 1.1 on Linux 6.18, but those that no kernel here says.
LOADER = [
    ("legacy-maps", "libbpf: elf: legacy map definitions in 'maps' section are not supported by libbpf v1.0+"),
    ("static-program", "libbpf: sec 'xdp': program 'f' is static and not supported"),
    ("no-btf", "libbpf: BTF is required, but is missing or corrupted."),
    ("not-an-object", "libbpf: elf: 'notelf.o' is not a proper ELF object"),
    ("not-an-object", "libbpf: elf: exe.o is not a valid eBPF object file"),
    ("section-unknown", "libbpf: prog 'f': missing BPF prog type, check ELF section name 'nonsense'"),
    ("section-unknown", 'f (section nonsense): section "nonsense" names no known program type'),
    ("kernel-btf-missing", "libbpf: failed to find valid kernel BTF\nlibbpf: Error loading vmlinux BTF: -3"),
    ("btf-kind", "libbpf: Unsupported BTF_KIND:19"),
    ("extern-kfunc", "libbpf: extern (func ksym) 'no_such_kfunc': not found in kernel or module BTFs"),
    ("extern-variable", "libbpf: extern (var ksym) 'no_such_variable': not found in kernel BTF"),
    ("extern-variable", "libbpf: extern (kcfg) 'NO_SUCH': unrecognized virtual extern"),
    ("extern-function", "libbpf: failed to find BTF for extern 'get_nprocs' [6] section: -2"),
    ("target-arch", "libbpf: failed to find BTF for extern 'PT_REGS_PARM1' [6] section: -2"),
    ("struct-ops", "libbpf: struct_ops init_kern: struct no_such_ops is not found in kernel BTF"),
    (
        "usdt-notes",
        "libbpf: usdt: no USDT notes section (.note.stapsdt) found in '/lib/x86_64-linux-gnu/libc.so.6'",
    ),
    ("map-strings", "libbpf: map '.rodata.str1.1': failed to create: Invalid argument(-22)"),
    ("map-refused", "libbpf: map 'rb': failed to create: Invalid argument(-22)"),
    ("map-too-large", "libbpf: map 'm': failed to create: Cannot allocate memory(-12)"),
    (
        "not-permitted",
        "libbpf: Error in bpf_object__probe_loading():Operation not permitted(1). Couldn't load trivial BPF "
        "program. Make sure your kernel supports BPF (CONFIG_BPF_SYSCALL=y) and/or that RLIMIT_MEMLOCK is set "
        "to big enough value.",
    ),
    (
        "not-permitted",
        "libbpf: prog 'f': BPF program load failed: Operation not permitted\n"
        "libbpf: permission error while running as root; try raising 'ulimit -l'? current value: 8.0 MiB",
    ),
    ("btf-target", "libbpf: prog 'f': failed to find kernel BTF type ID of 'do_execve': -3"),
    ("btf-target", "f (section fentry/do_execve): this kernel's BTF has no function do_execve"),
    ("btf-target", "f (section lsm/no_such_hook): this kernel's BTF has no LSM hook no_such_hook"),
    (
        "kprobe-target",
        "libbpf: prog 'f': failed to create kprobe 'no_such_function+0x0' perf event: No such file or directory",
    ),
    (
        "btf-target",
        "f (section fentry/do_execve): this kernel's BTF has no function do_execve: did you mean kernel_execve?",
    ),
    ("kprobe-target", "f (section kprobe/no_such): this kernel has no function no_such"),
    ("kprobe-target", "f (section kprobe/no_such): there is no function that can be probed no_such"),
    ("kprobe-target", "f (section kprobe/no_such): this kernel has no function no_such: did you mean no_sucks?"),
    ("function-renamed", "f (section kprobe/x): this kernel has no function blk_account_io_done"),
    (
        "system-call-old",
        "libbpf: failed to determine tracepoint 'syscalls/sys_enter_open' perf event ID: No such file or "
        "directory",
    ),
    (
        "tracepoint-target",
        "libbpf: failed to determine tracepoint 'syscalls/sys_enter_open2' perf event ID: No such file or "
        "directory",
    ),
    ("tracepoint-target", "f (section raw_tp/no_such): this kernel has no raw tracepoint no_such"),
    ("tracepoint-target", "f (section tp/a/b): this kernel has no tracepoint a/b: did you mean a_b?"),
    (
        "system-call-old",
        "f (section tp/syscalls/sys_enter_open): this kernel has no tracepoint syscalls/sys_enter_open: "
        "did you mean sys_enter_openat?",
    ),
    ("system-call-old", "f (section kprobe/__x64_sys_unlink): this kernel has no function __x64_sys_unlink"),
    ("system-call-old", "f (section kprobe/sys_fork): this kernel has no function sys_fork"),
    ("system-call-old", "f (section fentry/__x64_sys_open): this kernel's BTF has no function __x64_sys_open"),
    ("system-call-old", "f (section ksyscall/dup2): there is no system call dup2"),
    (
        "tracepoint-target",
        "libbpf: prog 'f': failed to attach to raw tracepoint 'no_such': No such file or directory",
    ),
    ("uprobe-symbol", "libbpf: elf: failed to find symbol 'no_such_function' in '/bin/bash'"),
    ("uprobe-symbol", "f (section uprobe//bin/bash:x): there is no binary or symbol /bin/bash:x"),
    ("uprobe-section", "libbpf: prog 'f': section 'uprobe/main' missing ':function[+offset]' specification"),
    ("binary-missing", "libbpf: failed to open /bin/no_such_file: No such file or directory"),
    (
        "usdt-header",
        "libbpf: usdt: failed to find USDT support BPF maps, did you forget to include bpf/usdt.bpf.h?",
    ),
    ("many-kprobes", "f (section kprobe.multi/tcp_*): failed to attach: Operation not supported"),
    ("trampoline", "f (section fentry/do_unlinkat): failed to attach: -ENOTSUPP"),
    ("trampoline", "libbpf: prog 'f': failed to attach: ERROR: strerror_r(-524)=22"),
    ("xdp-driver", "libbpf: Kernel error message: Underlying driver does not support XDP in native mode"),
    ("clsact", "libbpf: Kernel error message: Exclusivity flag on, cannot modify"),
]


@pytest.mark.parametrize(("code", "text"), COMPILER + LOADER)
def test_a_symptom_is_known(code: str, text: str) -> None:
    hint = find_hint(f"something before\n{text}\nsomething after\n")
    assert hint
    assert hint.code == code
    assert hint.cause.endswith((".", ")"))
    assert "{" not in str(hint).replace("struct {", "")


def test_every_symptom_is_tried() -> None:
    assert {symptom.code for table in SYMPTOMS.values() for symptom in table} == {
        code for code, _ in COMPILER + LOADER
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (COMPILER[-1][1], "bpftool"),
        ("x.c:3:1: error: no member named 'di' in 'struct pt_regs'", "PT_REGS_PARM1(ctx)"),
        ("this kernel has no tracepoint syscalls/sys_enter_open", "Watch openat in its place"),
        ("this kernel has no tracepoint syscalls/sys_exit_unlink", 'SEC("ksyscall/unlinkat")'),
        ("this kernel has no function __arm64_sys_fork", "Watch clone in its place, on x86-64 as well: SEC"),
        ("there is no system call stat", "Watch newfstatat in its place, on x86-64 as well; its arguments"),
        ("libbpf: prog 'f': failed to attach: ERROR: strerror_r(-524)=22", "Linux 6.4"),
        (
            "x.c:3:1: error: no member named 'state' in 'struct task_struct'",
            "struct task_struct has no field state",
        ),
        ("x.c:3:1: error: call to undeclared function 'bpf_ntohs'", "#include <bpf/bpf_endian.h>"),
        ("x.c:3:1: error: call to undeclared function 'bpf_be64_to_cpu'", "#include <bpf/bpf_endian.h>"),
        ("x.c:3:1: error: call to undeclared function 'BPF_CORE_READ_INTO'", "#include <bpf/bpf_core_read.h>"),
        ("x.c:3:1: error: call to undeclared function 'bpf_core_field_exists'", "#include <bpf/bpf_core_read.h>"),
        ("x.c:3:1: error: implicit declaration of function 'PT_REGS_PARM1'", "#include <bpf/bpf_tracing.h>"),
        ("x.c:3:1: error: call to undeclared function 'bpf_printk'", "#include <bpf/bpf_helpers.h>"),
        ("x.c:3:1: error: call to undeclared function 'bpf_usdt_arg'", "#include <bpf/usdt.bpf.h>"),
        ("libbpf: map 'rb': failed to create: Invalid argument(-22)", "map 'rb'"),
        ("libbpf: elf: failed to find symbol 'readline' in '/bin/bash'", "/bin/bash has no symbol readline"),
    ],
)
def test_a_hint_names_what_the_message_is_about(text: str, words: str) -> None:
    assert words in hint_text(text)


def test_a_hint_is_asked_for_one_stage() -> None:
    refused = "libbpf: map 'rb': failed to create: Invalid argument(-22)"
    assert find_hint(refused, "compile") is None
    assert find_hint(refused, "load", "attach")


def test_what_is_not_known_gives_no_hint() -> None:
    assert hint_text("x.c:1:1: error: expected ';' after expression") == ""
    assert hint_text("x.c:1:1: error: passing 'struct k *' to parameter of incompatible type 'struct k'") == ""
