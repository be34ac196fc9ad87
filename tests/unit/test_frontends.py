"""Which files are for a front end of their own, what runs those, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.bpf.frontends import find_frontend, uses_bcc_macros
from provisioner.core.errors import UsageError
from tests.unit.sources import write

BCC_TOOL = """\
from __future__ import print_function
import helpers
from bcc import BPF
b = BPF(src_file="count.c")
b.attach_kprobe(event="vfs_read", fn_name="count")
b.attach_kprobe(event=b.get_syscall_fnname("clone"), fn_name="count")
"""
BCC_C = """\
#include <uapi/linux/ptrace.h>
BPF_HASH(counts, u32);
int count(struct pt_regs *ctx) { return 0; }
"""
LIBBPF_C = 'SEC("xdp") int pass(void *ctx) { return 2; }\n'


def refusal(path: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        find_frontend(path)
    assert caught.value.hint
    return caught.value


def test_a_bpftrace_script_and_what_it_hooks(tmp_path: Path) -> None:
    write(
        tmp_path,
        opens_dot_bt='#include "own.h"\ntracepoint:syscalls:sys_enter_openat, kprobe:vfs_read { @ = count(); }\n',
        own_dot_h="",
        other_dot_h="",
    )
    found = find_frontend(tmp_path / "opens.bt")
    assert found
    assert found.package == "bpftrace"
    assert [path.name for path in found.files] == ["opens.bt", "own.h"]
    assert found.hooks == ("syscalls:sys_enter_openat", "vfs_read")


def test_a_script_without_a_suffix_is_known_by_its_first_line(tmp_path: Path) -> None:
    write(tmp_path, opens="#!/usr/bin/env bpftrace\nBEGIN { exit(); }\n", notes="bpftrace is nice\n")
    found = find_frontend(tmp_path / "opens")
    assert found
    assert found.command[0].endswith("/bpftrace")
    assert find_frontend(tmp_path / "notes") is None


def test_a_bcc_tool_comes_with_its_c_and_its_modules(tmp_path: Path) -> None:
    write(
        tmp_path,
        tool_dot_py=BCC_TOOL,
        helpers_dot_py="",
        count_dot_c='#include "count.h"\n' + BCC_C + "TRACEPOINT_PROBE(sched, sched_switch) { return 0; }\n",
        count_dot_h="",
        unrelated_dot_py="import os\n",
    )
    found = find_frontend(tmp_path / "tool.py")
    assert found
    assert found.package == "bcc"
    assert found.script.name == "tool.py"
    assert {path.name for path in found.files} == {"tool.py", "helpers.py", "count.c", "count.h"}
    assert set(found.hooks) == {"vfs_read", "clone", "sched, sched_switch"}


def test_python_without_bcc_is_none_of_ours(tmp_path: Path) -> None:
    write(tmp_path, x_dot_py="print('import bcc')\n")
    assert find_frontend(tmp_path / "x.py") is None


def test_bcc_c_is_refused_with_the_tool_that_loads_it(tmp_path: Path) -> None:
    write(tmp_path, count_dot_c=BCC_C)
    error = refusal(tmp_path / "count.c")
    assert error.code == "bcc-source"
    assert "ebpf-dev add bcc" in error.hint
    write(tmp_path, tool_dot_py=BCC_TOOL)
    assert f"ebpf-dev run {tmp_path / 'tool.py'}" in refusal(tmp_path / "count.c").hint


@pytest.mark.parametrize(
    "text",
    [LIBBPF_C, '#define BPF_HASH(name, key) int name\nBPF_HASH(a, b);\nSEC("x") int f() {}\n', "int main() {}\n"],
)
def test_c_for_libbpf_goes_its_way(tmp_path: Path, text: str) -> None:
    write(tmp_path, x_dot_c=text)
    assert find_frontend(tmp_path / "x.c") is None


def test_macros_of_ones_own_are_not_bcc() -> None:
    assert uses_bcc_macros("BPF_HASH(a, u32);")
    assert not uses_bcc_macros("#define BPF_HASH(name, key) int name\nBPF_HASH(a, u32);")
    assert not uses_bcc_macros("/* BPF_HASH(a, u32); */")


def test_a_go_project_is_refused_with_its_programs(tmp_path: Path) -> None:
    write(
        tmp_path,
        go_dot_mod="module x\nrequire github.com/cilium/ebpf v0.16.0\n",
        cmd__main_dot_go="package main\n",
        bpf__pass_dot_c=LIBBPF_C,
        bpf__util_dot_c="int f(void) { return 0; }\n",
    )
    for path in (tmp_path, tmp_path / "cmd", tmp_path / "cmd/main.go"):
        error = refusal(path)
        assert error.code == "go-project"
        assert "ebpf-dev add go" in error.hint
    error = refusal(tmp_path)
    assert "cilium/ebpf" in error.brief
    assert error.details.splitlines()[1:] == [str(tmp_path / "bpf/pass.c")]


def test_a_directory_with_a_program_is_run_whatever_project_it_is_of(tmp_path: Path) -> None:
    write(tmp_path, go_dot_mod="require github.com/cilium/ebpf v0.16.0\n", pass_dot_c=LIBBPF_C)
    assert find_frontend(tmp_path) is None


@pytest.mark.parametrize(
    ("manifest", "name"),
    [
        ('[dependencies]\naya = "0.13"\n', "Aya"),
        ("[dependencies.aya]\nversion = 1\n", "Aya"),
        ('[build-dependencies]\nlibbpf-cargo = "0.24"\n', "libbpf-rs"),
    ],
)
def test_a_rust_project_is_refused(tmp_path: Path, manifest: str, name: str) -> None:
    write(tmp_path, Cargo_dot_toml=f'[package]\nname = "tool"\n{manifest}')
    error = refusal(tmp_path)
    assert error.code == "rust-project"
    assert name in error.brief
    assert "ebpf-dev add rust" in error.hint


def test_a_workspace_is_as_its_members_are(tmp_path: Path) -> None:
    write(
        tmp_path,
        Cargo_dot_toml='[workspace]\nmembers = ["tool-ebpf"]\n',
        **{"tool-ebpf__Cargo_dot_toml": '[dependencies]\naya-ebpf = "1"\naya = { workspace = true }\n'},
    )
    assert refusal(tmp_path).code == "rust-project"


def test_projects_about_something_else_are_not_refused_here(tmp_path: Path) -> None:
    write(tmp_path, go_dot_mod="module x\n", Cargo_dot_toml='[dependencies]\nserde = "1"\n')
    assert find_frontend(tmp_path) is None
