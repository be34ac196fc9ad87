"""What libbpf and the kernel say at load and at attach, in the order in which it is looked for."""

from __future__ import annotations

from provisioner.bpf.explain.old_calls import old_call_symptoms
from provisioner.bpf.explain.symptom import Symptom

LOAD = (
    Symptom(
        "legacy-maps",
        r"legacy map definitions in 'maps' section are not supported",
        'struct bpf_map_def SEC("maps") is the old way to define maps, which libbpf 1.0 dropped.',
        "Write: struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, __u32); "
        '__type(value, __u64); }} name SEC(".maps");',
    ),
    Symptom(
        "static-program",
        r"program '(?P<name>\w+)' is static and not supported",
        "{name}() is static, and libbpf loads only functions that can be seen from outside.",
        "Remove the word static in front of it.",
    ),
    Symptom(
        "no-btf",
        r"BTF is required, but is missing or corrupted",
        "The object has no type information (BTF), which maps in .maps and CO-RE need.",
        "Compile with -g (and do not strip it with more than llvm-strip -g).",
    ),
    Symptom(
        "not-an-object",
        r"is not a proper ELF object|is not a valid eBPF object file|not an ELF file",
        "The file is not a BPF object.",
        "Compile the program with clang -g -O2 -target bpf -c.",
    ),
    Symptom(
        "section-unknown",
        r"missing BPF prog type, check ELF section name '(?P<section>[^']*)'"
        r"|section \"(?P<other>[^\"]*)\" names no known",
        'SEC("{section}{other}") names no type of program.',
        'Use a known name: "xdp", "tc", "kprobe/FUNCTION", "tracepoint/GROUP/NAME", "fentry/FUNCTION", "uprobe".',
    ),
    Symptom(
        "kernel-btf-missing",
        r"failed to find valid kernel BTF|[Ee]rror loading vmlinux BTF: -(?:2|3)\b|BTF is not supported",
        "This kernel has no type information of its own (/sys/kernel/btf/vmlinux): CONFIG_DEBUG_INFO_BTF is off.",
        "Use a kernel that has it, as the guest does; Docker Desktop's and some vendors' have not.",
    ),
    Symptom(
        "btf-kind",
        r"Unsupported BTF_KIND:\s?(?P<kind>\d+)|Invalid BTF kind",
        "The loader's libbpf is older than the kernel's types (kind 19 came with Linux 6.0 and libbpf 1.0).",
        "Build the loader with libbpf 1.0 or later; `ebpf-dev run` uses the guest's.",
    ),
    Symptom(
        "extern-kfunc",
        r"extern \(func ksym\) '(?P<name>\w+)': not found in kernel",
        "This kernel has no kernel function {name}(), or its module is not loaded.",
        "Load the module (nf_conntrack, for example, for bpf_ct_...), or declare it __ksym __weak and ask "
        "bpf_ksym_exists({name}).",
    ),
    Symptom(
        "extern-variable",
        r"extern \((?:var|kcfg|func)(?: ksym)?\) '(?P<name>\w+)': (?:not found|unrecognized|value .* not found"
        r"|incompatible)",
        "This kernel has nothing called {name}, of this type.",
        "Configuration values are CONFIG_... (or LINUX_KERNEL_VERSION) with __kconfig; make it __weak to go "
        "without.",
    ),
    Symptom(
        "extern-function",
        r"failed to find BTF for extern '(?P<name>\w+)'",
        "{name}() is declared and defined nowhere in the program: a function of libc, perhaps, or a helper "
        "misspelt.",
        "Programs can call helpers, kernel functions declared with __ksym, and their own functions.",
    ),
    Symptom(
        "struct-ops",
        r"struct_ops init_kern: struct (?P<name>\w+) is not found in kernel BTF|"
        r"struct_ops init_kern \S+: .*(?:not found|mismatch)",
        "This kernel's struct_ops type {name} is missing or another one than the program's (sched_ext: Linux "
        "6.12 and later with CONFIG_SCHED_CLASS_EXT, each version with its own members).",
        "Use the kernel that the program was written for, or the program's release for this kernel.",
    ),
    Symptom(
        "map-strings",
        r"map '(?P<name>\.rodata\.\w[^']*)': failed to create",
        "Kernels before 5.5 take no map for {name}, where the compiler keeps strings.",
        'Give the text a name: static const char text[] = "..."; or use a newer kernel.',
    ),
    Symptom(
        "map-refused",
        r"map '(?P<name>[^']+)': failed to create: (?:ERROR: )?(?:Invalid argument|strerror_r\(-?22\))",
        "The kernel does not take map '{name}' with this type, these sizes or this max_entries.",
        "A ring buffer has a max_entries that is a power of two and a multiple of the page (4096; 16384 or 65536 "
        "with some arm64 kernels, so that 256 * 1024 fits everywhere), and no key and value; a perf event array "
        "has int for both; all others but storage maps need max_entries, and storage maps BPF_F_NO_PREALLOC.",
    ),
    Symptom(
        "map-too-large",
        r"map '(?P<name>[^']+)': failed to create: (?:Cannot allocate memory|Argument list too long)",
        "Map '{name}' would take more memory than there is: max_entries times the sizes of key and value.",
        "Make max_entries smaller, or a hash allocate as it grows: __uint(map_flags, BPF_F_NO_PREALLOC).",
    ),
    Symptom(
        "not-permitted",
        r"Couldn't load trivial BPF program|RLIMIT_MEMLOCK|try raising 'ulimit -l'|Operation not permitted",
        "The kernel does not allow this user, or this program, to be loaded: not root (CAP_BPF), a locked-down "
        "kernel, a container, a memlock limit (before 5.11), or a function that must not be modified.",
        "Load as root outside a container; `ebpf-dev run` does. fmod_ret and LSM programs also need a target that "
        "allows it.",
    ),
)

ATTACH = (
    *old_call_symptoms(),
    Symptom(
        "usdt-notes",
        r"usdt: no USDT notes section \(\.note\.stapsdt\) found in '(?P<file>[^']+)'",
        "{file} was built without USDT probes, as Debian builds its C library.",
        'Probe a function of it instead (SEC("uprobe/...")), or a program that has such probes: '
        "`readelf -n FILE` lists them.",
    ),
    Symptom(
        "function-renamed",
        r"'?(?P<name>_*blk_account_io_(?:start|done|merge_bio|completion))\b",
        "{name}() was renamed and inlined between Linux 5.16 and 6.4.",
        "Use the tracepoints tp_btf/block_io_start and tp_btf/block_io_done, or block_rq_issue and "
        "block_rq_complete.",
    ),
    Symptom(
        "btf-target",
        r"failed to find kernel BTF type ID of '(?P<name>\w+)'"
        r"|this kernel's BTF has no (?:LSM hook|\w+) (?P<other>\w+)",
        "This kernel has no {name}{other}, or the compiler inlined it or changed its arguments: then no "
        "fentry, tp_btf or LSM program can go there.",
        "`ebpf-dev exec -- bpftool btf dump file /sys/kernel/btf/vmlinux | grep {name}{other}` shows near "
        "names; do_execve, for example, is do_execveat_common or the tracepoint sched_process_exec.",
    ),
    Symptom(
        "kprobe-target",
        r"failed to (?:create kprobe|add legacy kprobe event for) '(?P<name>[\w.]+)\+0x\w+'.*(?:No such|Invalid)|"
        r"(?:this kernel has no function|there is no function that can be probed) (?P<other>[\w.]+)",
        "This kernel has no function {name}{other} to probe: inlined, renamed (NAME.isra.0, .constprop.0), in "
        "a module that is not loaded, or the kernel has no kprobes.",
        "`ebpf-dev exec -- grep {name}{other} /sys/kernel/tracing/available_filter_functions` shows near "
        "names; system calls: "
        'SEC("ksyscall/NAME").',
    ),
    Symptom(
        "tracepoint-target",
        r"failed to determine tracepoint '(?P<name>[^']+)' perf event ID"
        r"|this kernel has no (?:raw )?tracepoint (?P<other>[\w/]+)"
        r"|failed to attach to raw tracepoint '(?P<raw>[^']+)'",
        "This kernel has no tracepoint {name}{other}{raw}; or tracefs is not mounted, or system calls are not "
        "traced (CONFIG_FTRACE_SYSCALLS).",
        "`ebpf-dev exec -- ls /sys/kernel/tracing/events` lists the groups; a section names both, "
        "tracepoint/GROUP/NAME.",
    ),
    Symptom(
        "uprobe-symbol",
        r"failed to find symbol '(?P<name>[^']+)' in '(?P<binary>[^']+)'"
        r"|there is no binary or symbol (?P<other>\S+)",
        "{binary}{other} has no symbol {name}: stripped, inlined, or in a library (readline is in libreadline "
        "on some systems).",
        "`nm -D` on the binary and on the libraries that ldd lists shows where it is; name that file with --bin.",
    ),
    Symptom(
        "uprobe-section",
        r"section '(?P<section>u[^']*)' missing ':function\[\+offset\]' specification",
        'SEC("{section}") does not say where: a path and a function belong to it.',
        'Write SEC("uprobe//usr/bin/bash:readline"), or SEC("uprobe") and --bin PATH.',
    ),
    Symptom(
        "binary-missing",
        r"failed to open (?P<name>/\S+): No such file or directory",
        "There is no file {name} in the guest.",
        "Copy it there with `ebpf-dev cp`, or name another one with --bin.",
    ),
    Symptom(
        "usdt-header",
        r"failed to find USDT support BPF maps",
        "USDT programs need the maps of libbpf's own header.",
        "#include <bpf/usdt.bpf.h>",
    ),
    Symptom(
        "many-kprobes",
        r"\(section k(?:ret)?probe\.(?:multi|session)\S*\): .*(?:not supported|strerror_r\(-95\)|-EOPNOTSUPP)",
        "This kernel has no probes of many functions at once (CONFIG_FPROBE): of Debian's neither 6.1 nor, on "
        "arm64, 6.12.",
        'Use SEC("kprobe/FUNCTION"), a program for each function, or a newer kernel.',
    ),
    Symptom(
        "trampoline",
        r"(?:strerror_r\(-524\)|unknown error \(-?524\)|Unknown error 524|: -524\b|-ENOTSUPP\b)",
        "This kernel cannot attach fentry, fexit, fmod_ret or LSM programs to its functions: on arm64 that needs "
        "Linux 6.4 or later, and Debian 12 has 6.1.",
        "Use a kprobe in their place, or an image with a newer kernel: debian-13.",
    ),
    Symptom(
        "xdp-driver",
        r"Underlying driver does not support XDP in native mode|virtio_net: .*|.*[Cc]an't (?:set up|load) XDP.*|"
        r"XDP .*(?:MTU|LRO|too large)",
        "The interface's driver cannot run XDP programs itself, or not with its present MTU, LRO and queues.",
        "Leave --dev out to use the tool's own interface; generic mode (xdpgeneric) works on every one.",
    ),
    Symptom(
        "clsact",
        r"Exclusivity flag on, cannot modify",
        "The interface has its clsact qdisc already, which is harmless.",
        "Go on; `tc qdisc del dev IFACE clsact` removes what an earlier program left.",
    ),
)
