"""``run`` in a real kernel: every example, and everything that can go wrong with a program."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from provisioner.bpf.examples import Example, find_missing, load_examples
from tests.vm.conftest import Cli, read_until
from tests.vm.leftovers import await_nothing_left, left_in

RUN = 600.0


@pytest.mark.parametrize("example", load_examples().values(), ids=lambda example: example.name)
def test_example(instance: Cli, example: Example) -> None:
    report = instance.json(
        "run", example.name, "--for", f"{example.seconds:g}", "--json", timeout=RUN, check=False
    )
    assert report["error"] is None, report
    assert report["ok"], report
    assert not find_missing(example, report), report


def run(cli: Cli, file: Path, *words: str, seconds: float = 2) -> dict[str, Any]:
    found: dict[str, Any] = cli.json(
        "run", str(file), "--for", str(seconds), "--json", *words, timeout=RUN, check=False
    )
    return found


def test_a_run_leaves_nothing_behind(instance: Cli) -> None:
    before = left_in(instance)
    for example in ("xdp-loadbalancer", "tc-flow", "execsnoop"):
        instance("run", example, "--for", "3", timeout=RUN)
    assert left_in(instance) == before


def test_a_client_killed_outright_leaves_nothing_in_the_guest(instance: Cli) -> None:
    before = left_in(instance)
    process = instance.start("run", "xdp-counter", "--for", "300")
    read_until(process, "attached", RUN)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    await_nothing_left(instance, before)


def test_ctrl_c_ends_a_run_in_good_order(instance: Cli) -> None:
    process = instance.start("run", "hello", "--for", "300")
    read_until(process, "attached", RUN)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "hello" in said  # the summary came


def test_an_unchanged_program_is_not_built_again(instance: Cli) -> None:
    instance("run", "hello", "--for", "1", timeout=RUN)
    report = instance.json("run", "hello", "--for", "1", "--json", timeout=RUN)
    assert [stage["name"] for stage in report["stages"]] == ["load", "attach", "run"]


HELLO = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "local.h"
char LICENSE[] SEC("license") = "GPL";
SEC("tracepoint/syscalls/sys_enter_openat")
int opened(void *ctx) { bpf_printk("opened " WORD); return 0; }
"""


def test_local_headers_triggers_and_printk(instance: Cli, tmp_path: Path) -> None:
    directory = tmp_path / "dir with spaces"
    directory.mkdir()
    (directory / "p.bpf.c").write_text(HELLO)
    (directory / "local.h").write_text('#define WORD "a file"\n')
    report = run(instance, directory / "p.bpf.c", "--trigger", "cat /etc/hostname")
    assert report["ok"], report
    assert "opened a file" in report["output"]["printk"]
    assert report["programs"][0]["run_count"] > 0
    assert report["output"]["trigger"] == ["ebpf-dev"]


def test_a_compile_error_names_the_host_file_and_line(instance: Cli, tmp_path: Path) -> None:
    file = tmp_path / "bad.bpf.c"
    file.write_text(
        HELLO.replace('#include "local.h"', "").replace(" WORD", "").replace("return 0", "return oops")
    )
    result = instance("run", str(file), "--for", "1", timeout=RUN, check=False)
    assert result.status == 6
    assert f"{file}:7: use of undeclared identifier 'oops'" in result.stderr


REFUSED = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
SEC("xdp")
int reads_too_far(struct xdp_md *ctx)
{
    unsigned char *data = (void *)(long)ctx->data;
    return data[14] == 8 ? XDP_DROP : XDP_PASS;
}
"""


def test_a_verifier_refusal_shows_why_and_keeps_the_log(instance: Cli, tmp_path: Path) -> None:
    file = tmp_path / "refused.bpf.c"
    file.write_text(REFUSED)
    report = run(instance, file)
    error = report["error"]
    assert error["code"] == "verifier-rejected"
    assert "invalid access to packet" in error["details"]
    assert error["file"] == str(file)
    assert error["line"] == 9
    log = next(line for line in error["details"].splitlines() if "whole verifier log" in line).split(": ", 1)[1]
    assert "processed" in Path(log).read_text()
    assert instance("run", str(file), "--for", "1", timeout=RUN, check=False).status == 7


def test_a_companions_words_and_status_are_passed_on(instance: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.bpf.c").write_text(HELLO.replace('#include "local.h"', "").replace(" WORD", ""))
    (tmp_path / "c.c").write_text(
        '#include <stdio.h>\n#include "c.skel.h"\n'
        "int main(int argc, char **argv) {\n"
        "    struct c_bpf *skel = c_bpf__open_and_load();\n"
        '    printf("loaded %d %s\\n", skel != NULL, argv[1]);\n'
        '    fprintf(stderr, "to stderr\\n");\n'
        "    return skel ? 37 : 1;\n}\n"
    )
    result = instance(
        "run", str(tmp_path / "c.bpf.c"), "--for", "20", "--", "an argument", timeout=RUN, check=False
    )
    assert result.status == 37, result.stdout + result.stderr
    assert "loaded 1 an argument" in result.stdout
    assert "to stderr" in result.stderr


def test_a_companion_that_never_ends_is_ended(instance: Cli, tmp_path: Path) -> None:
    (tmp_path / "s.bpf.c").write_text(HELLO.replace('#include "local.h"', "").replace(" WORD", ""))
    (tmp_path / "s.c").write_text(
        '#include <signal.h>\n#include <stdio.h>\n#include <unistd.h>\n#include "s.skel.h"\n'
        'int main(void) { signal(SIGINT, SIG_IGN); puts("on and on"); for (;;) sleep(1); }\n'
    )
    result = instance("run", str(tmp_path / "s.bpf.c"), "--for", "2", timeout=RUN, check=False)
    assert "on and on" in result.stdout
    assert result.status == 128 + 9


def test_a_companion_that_ends_when_told_to_has_not_failed(instance: Cli, tmp_path: Path) -> None:
    (tmp_path / "e.bpf.c").write_text(HELLO.replace('#include "local.h"', "").replace(" WORD", ""))
    (tmp_path / "e.c").write_text(
        '#include <stdio.h>\n#include <unistd.h>\n#include "e.skel.h"\n'
        'int main(void) { puts("until told"); fflush(stdout); for (;;) sleep(1); }\n'
    )
    report = run(instance, tmp_path / "e.bpf.c", seconds=2)
    assert report["output"]["companion"] == ["until told"]
    assert report["ok"], report


def test_what_is_no_program(instance: Cli, tmp_path: Path) -> None:
    for words in (["nothing-like-it"], [str(tmp_path)], [str(tmp_path / "none.c")]):
        result = instance("run", *words, "--for", "1", check=False)
        assert result.status == 2
        assert "Hint" in result.stderr
