"""Where a program's headers are found when nobody names their directory."""

from pathlib import Path

import pytest

from provisioner.bpf.includes import MAX_HAND_WRITTEN
from provisioner.bpf.sources import Sources, find_sources


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    return tmp_path


def add(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def dirs(sources: Sources, root: Path) -> list[str]:
    return [str((sources.root / path).relative_to(root)) for path in sources.include_dirs]


def names(sources: Sources) -> set[str]:
    return {path.name for path in sources.files}


def test_a_go_generate_line_names_directories_and_macros(repository: Path) -> None:
    line = "//go:generate go tool bpf2go -tags linux bpf {} -- -I{} -DN=2 -Wall -std=gnu2x\n"
    add(
        repository,
        {
            "ex/p.c": '#include "common.h"\n',
            "ex/main.go": line.format("other.c", "../nowhere") + line.format("p.c", "../headers"),
            "headers/common.h": '#include "bpf_helpers.h"\n',
            "headers/bpf_helpers.h": "",
        },
    )
    sources = find_sources(repository / "ex/p.c")
    assert dirs(sources, repository) == ["headers"]
    assert sources.flags == ("-DN=2", "-std=gnu2x")
    assert names(sources) == {"p.c", "common.h", "bpf_helpers.h"}
    assert sources.notes == ()


@pytest.mark.parametrize(
    ("call", "flags", "where"),
    [
        ('-cc clang -cflags "-O2 -g -D__TARGET_ARCH_x86 -DN=2 -I../hdr" X p.c', ("-DN=2",), "hdr"),
        ("--cflags='-I ../hdr -DS=\\\"a\\\"' X p.c -- -std=gnu2x", ('-DS="a"', "-std=gnu2x"), "hdr"),
        ("-cflags $BPF_CFLAGS X p.c", (), "inc"),
        ("X p.c", (), "inc"),
        ('-cflags "-I../hdr X p.c', (), "inc"),
    ],
)
def test_flags_of_a_go_generate_line_come_before_a_makefiles(
    repository: Path, call: str, flags: tuple[str, ...], where: str
) -> None:
    add(
        repository,
        {
            "ex/p.c": '#include "k.h"\n',
            "ex/gen.go": f"//go:generate go run github.com/cilium/ebpf/cmd/bpf2go {call}\n",
            "Makefile": "BPF_CFLAGS := -O2 -I$(CURDIR)/inc\n",
            "hdr/k.h": "int hdr;",
            "inc/k.h": "int inc;",
        },
    )
    sources = find_sources(repository / "ex/p.c")
    assert sources.flags == flags
    assert dirs(sources, repository) == [where]


def test_a_go_generate_line_may_be_in_a_package_beside(repository: Path) -> None:
    line = "//go:generate go tool bpf2go X ../bpf/p.c -- -DN=2\n"
    add(repository, {"bpf/p.c": "int x;", "loader/gen.go": line})
    assert find_sources(repository / "bpf/p.c").flags == ("-DN=2",)


def test_the_nearest_makefile_that_names_directories_is_read(repository: Path) -> None:
    add(
        repository,
        {
            "Makefile": "CFLAGS = -Iwrong\n",
            "src/Makefile": (
                "TOP := ..\ninclude $(TOP)/flags.mk\n"
                "BPF_CFLAGS += -g \\\n  -I$(TOP)/inc -I $(abspath $(TOP)/$(ARCH))\n"
                "BPF_CFLAGS += -I$(UNKNOWN)/x -I/usr/include\nall:\n\tclang -I. $(BPF_CFLAGS) -c p.c\n"
            ),
            "flags.mk": "BPF_CFLAGS = -std=gnu2x -I$(TOP)/more\n",
            "src/p.c": "#include <a.h>\n#include <b.h>\n#include <c.h>\n",
            "wrong/a.h": "",
            "inc/a.h": "",
            "x86/b.h": "",
            "more/c.h": "",
        },
    )
    sources = find_sources(repository / "src/p.c")
    assert dirs(sources, repository) == ["more", "inc", "x86"]
    assert sources.flags == ("-std=gnu2x",)


def test_a_variable_that_appends_to_itself(repository: Path) -> None:
    makefile = "INC := -Ione\nINC := $(INC) -Itwo\n"
    add(
        repository, {"Makefile": makefile, "p.c": "#include <a.h>\n#include <b.h>\n", "one/a.h": "", "two/b.h": ""}
    )
    assert dirs(find_sources(repository / "p.c"), repository) == ["one", "two"]


def test_directories_of_headers_above_the_program_are_tried(repository: Path) -> None:
    add(
        repository,
        {"src/deep/p.c": "#include <scx/x.h>\n", "include/scx/x.h": '#include "y.h"\n', "include/scx/y.h": ""},
    )
    sources = find_sources(repository / "src/deep/p.c")
    assert dirs(sources, repository) == ["include"]
    assert names(sources) == {"p.c", "x.h", "y.h"}
    assert "scx/x.h" in sources.notes[0]


def test_the_only_header_of_that_name_in_the_repository_is_taken(repository: Path) -> None:
    add(repository, {"ex/p.c": '#include "solo/types.h"\n', "build/kit/solo/types.h": ""})
    assert dirs(find_sources(repository / "ex/p.c"), repository) == ["build/kit"]


def test_of_several_the_nearest_is_taken_and_of_equals_none(repository: Path) -> None:
    add(repository, {"a/ex/p.c": '#include "t.h"\n', "a/kit/t.h": "int near;", "b/kit/t.h": "int far;"})
    assert dirs(find_sources(repository / "a/ex/p.c"), repository) == ["a/kit"]
    add(repository, {"a/other/t.h": "int as_near;"})
    assert dirs(find_sources(repository / "a/ex/p.c"), repository) == []


def test_headers_of_the_guest_are_not_searched_for(repository: Path) -> None:
    text = "#include <bpf/bpf_helpers.h>\n#include <linux/in.h>\n#include <stdbool.h>\n#include <vmlinux.h>\n"
    vendored = {f"vendor/{name}": "" for name in ("bpf/bpf_helpers.h", "linux/in.h", "stdbool.h", "vmlinux.h")}
    add(repository, {"src/p.c": text, **vendored})
    assert names(find_sources(repository / "src/p.c")) == {"p.c"}


def test_a_directory_found_late_serves_earlier_headers_too(repository: Path) -> None:
    add(
        repository,
        {"p.c": "#include <linux/in.h>\n#include <kit/k.h>\n", "headers/linux/in.h": "", "headers/kit/k.h": ""},
    )
    assert names(find_sources(repository / "p.c")) == {"p.c", "in.h", "k.h"}


def test_a_file_on_its_own_does_not_search_its_surroundings(tmp_path: Path) -> None:
    add(tmp_path, {"here/p.c": '#include "t.h"\n', "elsewhere/deep/t.h": ""})
    assert names(find_sources(tmp_path / "here/p.c")) == {"p.c"}


X86 = "struct pt_regs {\n\tlong unsigned int r15;\n};\n"
ARM64 = "struct user_pt_regs {\n\t__u64 regs[31];\n};\nstruct pt_regs {\n\tint x;\n};\n"


@pytest.mark.parametrize(
    ("text", "arch", "taken"),
    [(X86, "x86_64", True), (X86, "aarch64", False), (ARM64, "aarch64", True), (ARM64, "x86_64", False)],
)
def test_a_generated_vmlinux_must_be_of_the_guests_architecture(
    repository: Path, text: str, arch: str, taken: bool
) -> None:
    add(repository, {"p.c": '#include "vmlinux.h"\n', "vmlinux.h": text + "/**/" * (MAX_HAND_WRITTEN // 4)})
    sources = find_sources(repository / "p.c", arch=arch)
    assert ("vmlinux.h" in names(sources)) is taken
    assert bool(sources.warnings) is not taken


def test_a_vmlinux_written_by_hand_is_taken_as_it_is(repository: Path) -> None:
    add(repository, {"p.c": '#include "vmlinux.h"\n', "vmlinux.h": X86})
    assert "vmlinux.h" in names(find_sources(repository / "p.c", arch="aarch64"))
