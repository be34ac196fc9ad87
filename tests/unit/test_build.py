"""Build plans and what becomes of a compiler's complaints."""

from pathlib import Path
from typing import Any

import pytest

from provisioner.bpf.build import compile_error, host_paths, plan_build
from provisioner.bpf.sources import Sources, find_sources


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc/h.h").write_text("")
    (tmp_path / "snoop.bpf.c").write_text('#include "snoop.h"\n#include <h.h>\n')
    (tmp_path / "snoop.h").write_text("")
    (tmp_path / "snoop.c").write_text('#include "snoop.skel.h"\n')
    return find_sources(tmp_path / "snoop.bpf.c", [tmp_path / "inc"])


def plan(sources: Sources, arch: str = "x86_64", release: str = "6.12", **more: list[str]) -> list[list[str]]:
    built = plan_build(sources, home="/h", release=release, arch=arch, **more)
    return [list(step) for step in built.steps]


def test_the_clang_call(sources: Sources) -> None:
    clang = plan(sources)[0]
    assert clang[0] == "clang"
    assert "-D__TARGET_ARCH_x86" in clang
    assert "-fno-stack-protector" in clang
    assert not any(word == "-Werror" for word in clang)
    assert clang.index("-I.") < clang.index("-Iinc") < clang.index("/h/vmlinux/6.12")


def test_arm64(sources: Sources) -> None:
    clang = plan(sources, arch="aarch64")[0]
    assert "-D__TARGET_ARCH_arm64" in clang
    assert "/usr/include/aarch64-linux-gnu" in clang


def test_the_companion_gets_a_skeleton(sources: Sources) -> None:
    _, skeleton, cc = plan(sources)
    assert skeleton[-2:] == ["snoop_bpf", "snoop"]
    assert cc[0] == "cc"
    assert cc[-5:] == ["-lbpf", "-lelf", "-lz", "-lpthread", "-lm"]


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


def test_a_libc_call_is_explained(sources: Sources) -> None:
    text = "snoop.bpf.c:5:2: error: call to undeclared function 'printf'; ISO C99 and later\n"
    assert "libc" in compile_error(sources, ["clang"], text).hint
