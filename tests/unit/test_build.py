"""Build plans: what is sent to the guest, and the commands that are run there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from provisioner.bpf.build import BuildPlan, plan_build, simpler_compile
from provisioner.bpf.sources import Sources, find_sources


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc/h.h").write_text("")
    (tmp_path / "snoop.bpf.c").write_text('#include "snoop.h"\n#include <h.h>\n')
    (tmp_path / "snoop.h").write_text("")
    (tmp_path / "snoop.c").write_text('#include "snoop.skel.h"\nint main() { open(".output/snoop.bpf.o"); }\n')
    return find_sources(tmp_path / "snoop.bpf.c", [tmp_path / "inc"])


def plan(sources: Sources, arch: str = "x86_64", cflags: Sequence[str] = ()) -> BuildPlan:
    return plan_build(sources, home="/h", release="6.12", arch=arch, cflags=cflags)


def plan_of(directory: Path, text: str, cflags: Sequence[str] = ()) -> BuildPlan:
    (directory / "p.bpf.c").write_text(text)
    return plan(find_sources(directory / "p.bpf.c"), cflags=cflags)


def test_the_clang_call(sources: Sources) -> None:
    clang = list(plan(sources).compile)
    assert clang[0] == "clang"
    assert "-D__TARGET_ARCH_x86" in clang
    assert "-D__x86_64__" in clang
    assert "-fno-stack-protector" in clang
    assert not any(word == "-Werror" for word in clang)
    assert clang.index("-I.") < clang.index("-Iinc") < clang.index("/h/vmlinux/6.12")


def test_arm64(sources: Sources) -> None:
    clang = plan(sources, arch="aarch64").compile
    assert "-D__TARGET_ARCH_arm64" in clang
    assert "/usr/include/aarch64-linux-gnu" in clang


def test_the_companion_gets_a_skeleton_and_the_object_by_its_own_names(sources: Sources) -> None:
    built = plan(sources)
    skeleton, link, cc = built.companion_steps
    assert skeleton[-2:] == ("snoop_bpf", "snoop")
    assert link[4:6] == (built.run_dir, built.object)
    assert {"snoop.bpf.o", "snoop.o", "snoop_kern.o", ".output/snoop.bpf.o"} <= set(link[6:])
    assert cc[0] == "cc"
    assert "-lbpf" in cc
    assert "-lxdp" not in cc


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("int main(void) { struct pkt_log *skel = pkt_log__open_and_load(); }", "pkt_log"),
        ("int main(void) { struct pkt_log_bpf *skel; struct pkt_log *record; }", "pkt_log_bpf"),
        ("int main(void) { pkt_log__destroy(OPEN(pkt_log)); }", "pkt_log"),
        ("int main(void) { struct pkt_log2 *skel = pkt_log2__open(); }", "pkt_log_bpf"),
    ],
)
def test_a_skeleton_is_called_as_its_companion_does(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "pkt-log.bpf.c").write_text("int x;")
    (tmp_path / "pkt-log.c").write_text(f'#include "pkt-log.bpf.skel.h"\n{text}\n')
    skeleton = plan(find_sources(tmp_path / "pkt-log.bpf.c")).companion_steps[0]
    assert skeleton[-2:] == (name, "pkt-log")


def test_a_directory_is_named_by_all_that_goes_in(sources: Sources) -> None:
    def directory(**changes: object) -> str:
        values: Any = {"home": "/h", "release": "6.12", "arch": "x86_64", **changes}
        return plan_build(sources, **values).directory

    first = directory()
    assert directory() == first
    assert directory(cflags=("-DX",)) != first
    assert directory(release="6.13") != first
    (sources.root / "snoop.h").write_text("int changed;")
    assert directory() != first


def test_an_object_is_only_sent(tmp_path: Path) -> None:
    (tmp_path / "x.bpf.o").write_bytes(b"\x7fELF\2\1\1" + bytes(11) + b"\xf7\0")
    built = plan(find_sources(tmp_path / "x.bpf.o"))
    assert built.compile == ()
    assert built.object == f"{built.directory}/src/x.bpf.o"
    assert list(built.files) == ["src/x.bpf.o"]


@pytest.mark.parametrize(
    ("text", "quick"),
    [
        ('/* hello */\n// there\n#include "vmlinux.h"\n', True),
        ("#include <vmlinux.h>\nint x;", True),
        ('#include "own.h"\n', True),
        ('#define X 1\n#include "vmlinux.h"\n', False),
        ('#include <linux/bpf.h>\n#include "vmlinux.h"\n', False),
        ("int x;", False),
    ],
)
def test_the_precompiled_header_serves_who_includes_vmlinux_first(tmp_path: Path, text: str, quick: bool) -> None:
    (tmp_path / "own.h").write_text('#ifndef OWN\n#define OWN\n#include "vmlinux.h"\n#endif\n')
    assert ("-include-pch" in plan_of(tmp_path, text).compile) is quick


def test_flags_of_the_user_go_without_the_precompiled_header(tmp_path: Path) -> None:
    assert "-include-pch" not in plan_of(tmp_path, '#include "vmlinux.h"\n', cflags=["-DX"]).compile


def test_a_vmlinux_of_the_project_goes_without_the_precompiled_header(tmp_path: Path) -> None:
    (tmp_path / "vmlinux.h").write_text("struct sk_buff;")
    built = plan_of(tmp_path, '#include "vmlinux.h"\n')
    assert "-include-pch" not in built.compile
    assert "src/vmlinux.h" in built.files


RING = """#include "vmlinux.h"
int f(void) { struct event *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0); }"""


def test_event_types_stand_behind_the_programs_own_text(tmp_path: Path) -> None:
    sent = plan_of(tmp_path, RING).files["src/p.bpf.c"]
    assert isinstance(sent, bytes)
    text = sent.decode()
    assert text.startswith(RING)
    assert "__typeof__(struct event) *__ebpf_dev_event_rb" in text


def test_a_failed_call_is_repeated_without_what_is_to_blame(tmp_path: Path) -> None:
    best = plan_of(tmp_path, RING).compile
    untyped = simpler_compile(best, "<event types>:1:1: error: incomplete type 'struct event'")
    assert untyped
    assert "-include-pch" in untyped
    assert set(best) - set(untyped) == {"-DEBPF_DEV_EVENT_TYPES"}
    slow = simpler_compile(best, "fatal error: file 'vmlinux.h' has been modified since the precompiled header")
    assert slow
    assert set(best) - set(slow) == {"-DBPF_NO_KFUNC_PROTOTYPES", "-include-pch", "/h/vmlinux/6.12/vmlinux.h.pch"}
    assert simpler_compile(slow, "call to undeclared function 'x'") is None
    assert simpler_compile(best, "p.bpf.c:2:1: error: expected ';'") is None
    assert simpler_compile(best, "p.bpf.c:2:1: error: use of undeclared identifier 'ETH_P_IP'") is None
    assert simpler_compile(best, "call to undeclared function 'bpf_rcu_read_lock'") == slow


def test_dialects(tmp_path: Path) -> None:
    copying = plan_of(tmp_path, "int f() { memcpy(a, b, 8); }").compile
    assert "-Dmemcpy=__builtin_memcpy" in copying
    own = plan_of(tmp_path, "#define memset(d, c, n) __builtin_memset(d, c, n)\nint f() { memset(a, 0, 8); }")
    assert not any(word.startswith("-Dmemset") for word in own.compile)
    asking = plan_of(tmp_path, "#ifndef HAVE_LIBBPF_BPF_X\nint bpf_x;\n#endif")
    assert "-DHAVE_LIBBPF_BPF_X" in asking.compile
    legacy = plan_of(tmp_path, 'struct bpf_map_def SEC("maps") m = {};')
    assert "../include/ebpf-dev/legacy-maps.h" in legacy.compile
    assert b"struct bpf_map_def {" in _bytes(legacy.files["include/ebpf-dev/legacy-maps.h"])
    kfunc = plan_of(tmp_path, "extern int bpf_x(struct task_struct *p) __ksym;")
    assert "-DBPF_NO_KFUNC_PROTOTYPES" in kfunc.compile


def test_headers_of_old_trees_are_sent_along(tmp_path: Path) -> None:
    files = plan_of(tmp_path, "#include <uapi/linux/bpf.h>\n#include <bpf/bpf_trace_helpers.h>\n").files
    assert files["include/uapi/linux/bpf.h"] == b"#include <linux/bpf.h>\n"
    assert files["include/bpf/bpf_trace_helpers.h"] == b"#include <bpf/bpf_tracing.h>\n"
    run_config = _bytes(plan_of(tmp_path, "#include <xdp/xdp_helpers.h>\n").files["include/xdp/xdp_helpers.h"])
    assert b"#define XDP_RUN_CONFIG(" in run_config
    assert "include/uapi/linux/../x.h" not in plan_of(tmp_path, "#include <uapi/linux/../x.h>").files


def _bytes(content: Path | bytes) -> bytes:
    assert isinstance(content, bytes)
    return content
