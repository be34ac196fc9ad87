"""Which files a program needs, and how they are named on both sides."""

from pathlib import Path

import pytest

from provisioner.bpf.sources import find_sources, program_stem
from provisioner.core.errors import UsageError
from tests.unit.sources import write


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.bpf.c", "a"), ("xdp_prog_kern.c", "xdp_prog"), ("x.kern.c", "x"), ("plain.c", "plain")],
)
def test_stem(name: str, stem: str) -> None:
    assert program_stem(name) == stem


def test_a_bare_program(tmp_path: Path) -> None:
    write(tmp_path, hello_dot_c="#include <linux/bpf.h>\nint x;")
    sources = find_sources(tmp_path / "hello.c")
    assert sources.companion is None
    assert sources.files == (Path("hello.c"),)
    assert sources.root == tmp_path.resolve()


def test_companion_and_headers_of_headers(tmp_path: Path) -> None:
    write(
        tmp_path,
        snoop_dot_bpf_dot_c='#include "snoop.h"\n',
        snoop_dot_c='  # include "snoop.skel.h"\n#include "sub/b.h"\nint main(void) { return 0; }\n',
        snoop_dot_h='#include "sub/a.h"\n',
        sub__a_dot_h='#include "b.h"\n#include <stdio.h>\n',
        sub__b_dot_h="",
        other_dot_h="",
    )
    sources = find_sources(tmp_path / "snoop.bpf.c")
    assert sources.companion == Path("snoop.c")
    assert [str(file) for file in sources.files] == [
        "snoop.bpf.c", "snoop.c", "snoop.h", "sub/a.h", "sub/b.h",
    ]  # fmt: skip


def test_headers_outside_the_directory_move_the_root_up(tmp_path: Path) -> None:
    write(
        tmp_path,
        src__deep__p_dot_bpf_dot_c='#include "../../common/c.h"\n#include <d.h>\n',
        common__c_dot_h="",
        headers__d_dot_h="",
    )
    sources = find_sources(tmp_path / "src/deep/p.bpf.c", [tmp_path / "headers"])
    assert sources.root == tmp_path.resolve()
    assert sources.program == Path("src/deep/p.bpf.c")
    assert sources.include_dirs == (Path("headers"),)
    assert {str(file) for file in sources.files} == {"src/deep/p.bpf.c", "common/c.h", "headers/d.h"}


def test_headers_that_include_each_other(tmp_path: Path) -> None:
    write(tmp_path, p_dot_c='#include "a.h"', a_dot_h='#include "b.h"', b_dot_h='#include "a.h"')
    assert len(find_sources(tmp_path / "p.c").files) == 3


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: None, "no-such-file"),
        (lambda path: path.mkdir(), "not-a-program"),
        (lambda path: path.write_bytes(b"int x;\0"), "not-a-program"),
        (lambda path: path.write_text(""), "not-a-program"),
        (lambda path: path.write_bytes(b" " * (5 << 20)), "not-a-program"),
    ],
)
def test_what_is_no_program(tmp_path: Path, make: object, code: str) -> None:
    assert callable(make)
    make(tmp_path / "p.c")
    with pytest.raises(UsageError) as caught:
        find_sources(tmp_path / "p.c")
    assert caught.value.code == code
    assert caught.value.hint


def test_a_file_of_another_language(tmp_path: Path) -> None:
    write(tmp_path, p_dot_py="pass")
    with pytest.raises(UsageError, match="not a C file"):
        find_sources(tmp_path / "p.py")


def test_a_directory_stands_for_its_only_program(tmp_path: Path) -> None:
    write(tmp_path, x_dot_bpf_dot_c='SEC("xdp")', x_dot_c="// SEC(\nint main;", y_dot_c='SEC("xdp")')
    assert find_sources(tmp_path).program == Path("x.bpf.c")


def test_a_directory_of_several_programs_lists_them(tmp_path: Path) -> None:
    write(tmp_path, x_dot_c='SEC("xdp")', y_dot_c='SEC("xdp")', z_dot_c="int z;")
    with pytest.raises(UsageError) as caught:
        find_sources(tmp_path)
    assert caught.value.code == "several-programs"
    assert [Path(line).name for line in caught.value.details.splitlines()] == ["x.c", "y.c"]


@pytest.mark.parametrize(
    "section",
    [
        '__attribute__((section("xdp"), used))',
        '__attribute__ (( __section__ ( "xdp" ) ))',
        '__section("xdp")',
        'SEC("xdp")',
    ],
)
def test_sections_without_libbpfs_macro(tmp_path: Path, section: str) -> None:
    program, user = f"{section} int f(void *ctx) {{ return 2; }}", '__attribute__((section("probes"))) int x;'
    write(tmp_path, x_dot_c=program, x_user_dot_c=f"{user} int main(void) {{ }}")
    write(tmp_path, y_dot_c='__attribute__((section(".init_array"))) void *y;')
    assert find_sources(tmp_path).program == Path("x.c")


def test_links_to_nowhere_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, x_dot_bpf_dot_c='#include "q.h"\nSEC("xdp")', _dot_git__x="", sub__real_dot_h="")
    (tmp_path / "zz.bpf.c").symlink_to("nowhere.c")
    (tmp_path / "directory.c").mkdir()
    (tmp_path / "sub/q.h").symlink_to("nowhere.h")
    assert find_sources(tmp_path).files == (Path("x.bpf.c"),)


def test_an_object_needs_no_sources(tmp_path: Path) -> None:
    (tmp_path / "a.bpf.o").write_bytes(b"\x7fELF\2\1\1" + bytes(11) + b"\xf7\0rest")
    sources = find_sources(tmp_path / "a.bpf.o")
    assert sources.is_object
    assert sources.stem == "a"
    (tmp_path / "host.o").write_bytes(b"\x7fELF\2\1\1" + bytes(11) + b"\x3e\0rest")
    with pytest.raises(UsageError, match="not an eBPF object"):
        find_sources(tmp_path / "host.o")


def test_helpers_of_a_companion_are_found_by_their_headers(tmp_path: Path) -> None:
    write(
        tmp_path,
        p_dot_bpf_dot_c="int x;",
        p_dot_c='#include "trace.h"\n#include "other.h"\nint main(void) { }',
        trace_dot_h="",
        trace_dot_c='#include "names.h"\nint trace;',
        names_dot_h="",
        names_dot_c="int names;",
        other_dot_h="",
        other_dot_c="int main(void) { }",
    )
    sources = find_sources(tmp_path / "p.bpf.c")
    assert {str(path) for path in sources.helpers} == {"trace.c", "names.c"}
    assert find_sources(tmp_path / "p.bpf.c", use_companion=False).helpers == ()


def test_user_space_that_takes_arguments_is_a_companion_on_request(tmp_path: Path) -> None:
    write(tmp_path, xdp_kern_dot_c="int x;", xdp_user_dot_c="int main(void) { }")
    assert find_sources(tmp_path / "xdp_kern.c").companion is None
    assert find_sources(tmp_path / "xdp_kern.c", use_companion=True).companion == Path("xdp_user.c")
    (tmp_path / "xdp_user.c").unlink()
    with pytest.raises(UsageError) as caught:
        find_sources(tmp_path / "xdp_kern.c", use_companion=True)
    assert caught.value.code == "no-companion"


def test_an_include_directory_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, p_dot_c="int x;")
    with pytest.raises(UsageError) as caught:
        find_sources(tmp_path / "p.c", [tmp_path / "nowhere"])
    assert caught.value.code == "no-such-directory"


def test_a_program_to_be_probed_is_no_loader(tmp_path: Path) -> None:
    probe, plain = 'SEC("uprobe//proc/self/exe:add") int f() {}', 'SEC("xdp") int f() {}'
    victim, loader = "int add() {} int main() { add(); }", '#include "p.skel.h"\nint main() {}'
    (tmp_path / "p.bpf.c").write_text(probe)
    (tmp_path / "target.c").write_text(victim)
    found = find_sources(tmp_path / "p.bpf.c")
    assert (found.companion, found.probed) == (Path("target.c"), True)
    (tmp_path / "p.c").write_text(victim)
    assert find_sources(tmp_path / "p.bpf.c").companion == Path("p.c")
    (tmp_path / "p.c").write_text(loader)
    found = find_sources(tmp_path / "p.bpf.c")
    assert (found.companion, found.probed) == (Path("p.c"), False)
    assert find_sources(tmp_path / "p.bpf.c", use_companion=False).companion == Path("target.c")
    (tmp_path / "p.c").unlink()
    (tmp_path / "p.bpf.c").write_text(plain)
    assert find_sources(tmp_path / "p.bpf.c").companion is None
