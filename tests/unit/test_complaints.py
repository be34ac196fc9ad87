"""What becomes of a compiler's complaints."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from provisioner.bpf.build import host_paths
from provisioner.bpf.complaints import LOOK_UP, compile_error, unknown_name
from provisioner.bpf.sources import Sources, find_sources


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc/h.h").write_text("")
    (tmp_path / "snoop.bpf.c").write_text('#include "snoop.h"\n#include <h.h>\n')
    (tmp_path / "snoop.h").write_text("")
    (tmp_path / "snoop.c").write_text('#include "snoop.skel.h"\nint main() { open(".output/snoop.bpf.o"); }\n')
    return find_sources(tmp_path / "snoop.bpf.c", [tmp_path / "inc"])


CLANG = """In file included from ./snoop.bpf.c:1:
./snoop.h:3:1: error: unknown type name 'u33'
    3 | u33 x;
      | ^
snoop.bpf.c:9:2: warning: unused
1 error generated.
"""


def test_diagnostics_name_host_files(sources: Sources) -> None:
    error = compile_error(sources, ["clang"], CLANG)
    assert error.file == str(sources.root / "snoop.h")
    assert error.line == 3
    assert error.brief == f"{sources.root}/snoop.h:3: unknown type name 'u33'"
    assert f"In file included from {sources.root}/snoop.bpf.c:1:" in error.details
    assert error.exit_status == 6


def test_paths_inside_other_paths_are_left_alone(sources: Sources) -> None:
    assert host_paths("/usr/include/snoop.h:1: error: x", sources) == "/usr/include/snoop.h:1: error: x"
    assert host_paths("inc/h.h:1:2: note: y", sources) == f"{sources.root}/inc/h.h:1:2: note: y"


def test_a_missing_header_tells_about_include(sources: Sources) -> None:
    error = compile_error(sources, ["clang"], "snoop.bpf.c:1:10: fatal error: 'foo.h' file not found\n")
    assert "foo.h" in error.hint
    assert "--include" in error.hint


def undeclared(name: str) -> str:
    return f"snoop.bpf.c:5:2: error: call to undeclared function '{name}'; ISO C99 and later do not support\n"


@pytest.mark.parametrize(
    ("name", "found", "hint"),
    [
        ("printf", "", "function of libc"),
        ("bpf_rcu_read_lock", "kfunc extern void bpf_rcu_read_lock(void) __weak __ksym;", "__weak __ksym"),
        ("bpf_new_thing", "helper \tBPF_FUNC_new_thing = 250,", "is a helper"),
        ("bpf_nothing", "", "no helper bpf_nothing"),
        ("my_function", "", "declared nowhere"),
    ],
)
def test_an_undeclared_function_is_named_for_what_it_is(
    sources: Sources, name: str, found: str, hint: str
) -> None:
    assert unknown_name(undeclared(name)) == name
    assert hint in compile_error(sources, ["clang"], undeclared(name), found).hint


VMLINUX = """enum bpf_func_id {
	BPF_FUNC_strncmp = 182,
	BPF_FUNC_ktime_get_tai_ns = 208,
};
extern void bpf_rcu_read_lock(void) __weak __ksym;
"""


@pytest.mark.parametrize(
    ("name", "kind"), [("bpf_ktime_get_tai_ns", "helper"), ("bpf_rcu_read_lock", "kfunc"), ("strncmp", "")]
)
def test_a_name_is_looked_up(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "vmlinux.h").write_text(VMLINUX)
    argv = ["sh", "-c", LOOK_UP, "lookup", name, str(tmp_path / "vmlinux.h")]
    found = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert found.partition(" ")[0] == kind


MACRO = "macro linux/if_ether.h:#define ETH_P_IP\t0x0800\t\t/* Internet Protocol packet\t*/"
ENUMERATOR = "macro linux/in.h:#define IPPROTO_TCP\t\tIPPROTO_TCP"


@pytest.mark.parametrize(
    ("include", "name", "found", "hint"),
    [
        ("vmlinux.h", "ETH_P_IP", MACRO, "Add to the program: #define ETH_P_IP 0x0800"),
        ("linux/bpf.h", "ETH_P_IP", MACRO, "not included: #include <linux/if_ether.h>."),
        ("linux/bpf.h", "IPPROTO_TCP", ENUMERATOR, "not included: #include <linux/in.h>."),
        ("vmlinux.h", "IPPROTO_TCP", ENUMERATOR, "enumerator of <linux/in.h> that this kernel's vmlinux.h lacks"),
    ],
)
def test_a_macro_of_a_header(tmp_path: Path, include: str, name: str, found: str, hint: str) -> None:
    (tmp_path / "p.bpf.c").write_text(f"#include <{include}>\n")
    text = f"p.bpf.c:5:2: error: use of undeclared identifier '{name}'\n"
    assert unknown_name(text) == name
    told = compile_error(find_sources(tmp_path / "p.bpf.c"), ["clang"], text, found).hint
    assert hint in told
    assert f"#define {name} {name}" not in told
    assert "/*" not in told


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("no member named 'scx' in 'struct task_struct'", "no field scx"),
        ("redefinition of 'bpf_check_mtu' as different kind of symbol", "Remove this definition"),
        ("'net/sock.h' file not found", "vmlinux.h"),
    ],
)
def test_other_complaints(sources: Sources, text: str, hint: str) -> None:
    assert hint in compile_error(sources, ["clang"], f"snoop.bpf.c:5:2: error: {text}\n").hint


OWN = '#include "vmlinux.h"\nstruct event { u32 pid; };\nstruct rq {\n\tu64 a;\n};\n// struct file {\n'


@pytest.mark.parametrize(
    ("text", "complaint", "hint"),
    [
        (
            OWN,
            "no member named 'pidd' in 'struct event'; did you mean 'pid'?",
            "struct event is the program's own",
        ),
        (OWN, "no member named 'state' in 'struct task_struct'", "another kernel version"),
        (OWN, "no member named 'f_x' in 'struct file'", "another kernel version"),
        (OWN, "redefinition of 'rq'", "rename the program's"),
        (OWN, "redefinition of 'sock'", "Keep vmlinux.h and drop the others"),
        ("struct bpf_event { int a; };", "redefinition of 'bpf_event'", "rename the program's"),
        (OWN, "incomplete definition of type 'struct nft_ctx'", "/sys/kernel/btf/MODULE"),
        (OWN, "variable has incomplete type 'struct sched_ext_ops'", "sched_ext"),
        (
            "#include <linux/bpf.h>",
            "arithmetic on a pointer to an incomplete type 'struct ethhdr'",
            'Include "vmlinux.h"',
        ),
    ],
)
def test_own_types_are_not_blamed_on_the_kernel(tmp_path: Path, text: str, complaint: str, hint: str) -> None:
    (tmp_path / "p.bpf.c").write_text(text)
    error = compile_error(find_sources(tmp_path / "p.bpf.c"), ["clang"], f"p.bpf.c:9:5: error: {complaint}\n")
    assert hint in error.hint


def test_bcc_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "b.c").write_text("BPF_HASH(counts, u32);\nint kprobe__x(void *ctx) { return 0; }")
    error = compile_error(find_sources(tmp_path / "b.c"), ["clang"], "b.c:1:10: error: expected parameter\n")
    assert "BCC" in error.hint


SEC = "#include <bpf/bpf_helpers.h>\n"


@pytest.mark.parametrize(
    ("text", "complaint", "hint"),
    [
        ('\nSEC("xdp") int f(void *c) {}', "expected parameter declarator", "SEC is a macro of a header that"),
        ('\nchar L[] SEC("license") = "GPL";', "expected ';' after top level declarator", "<bpf/bpf_helpers.h>"),
        ("\nstruct { __uint(type, 1); } m;", "type name requires a specifier or qualifier", "<bpf/bpf_helpers.h>"),
        (SEC + "int BPF_KPROBE(f, int x) {}", "expected identifier", "#include <bpf/bpf_tracing.h>"),
        (SEC + "int BPF_PROG(f, u32 x) {}", "unexpected type name 'u32': expected identifier", "bpf_tracing.h"),
        (SEC + "int BPF_USDT(f, u32 x) {}", "expected identifier", "#include <bpf/usdt.bpf.h>"),
        ("#include <bpf/bpf_tracing.h>\nint BPF_PROG(f, int) {}", "expected identifier", ""),
        ('#include <bpf/bpf_tracing.h>\nSEC("xdp") int f(', "expected parameter declarator", ""),
        ("#define SEC(x)\nSEC(x) int f(", "expected parameter declarator", ""),
        ('\n/* SEC("x") */ int f(', "expected parameter declarator", ""),
    ],
)
def test_a_macro_whose_header_is_forgotten(tmp_path: Path, text: str, complaint: str, hint: str) -> None:
    (tmp_path / "p.bpf.c").write_text(text)
    error = compile_error(find_sources(tmp_path / "p.bpf.c"), ["clang"], f"p.bpf.c:2:5: error: {complaint}\n")
    assert hint in error.hint if hint else error.hint == ""


def test_the_arguments_of_a_macro_may_be_on_the_next_line(tmp_path: Path) -> None:
    (tmp_path / "p.bpf.c").write_text(SEC + "int BPF_KPROBE(f,\n               int x)\n{}\n")
    error = compile_error(find_sources(tmp_path / "p.bpf.c"), ["clang"], "p.bpf.c:3:5: error: expected identifier")
    assert "BPF_KPROBE" in error.hint
