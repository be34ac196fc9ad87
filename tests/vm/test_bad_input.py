"""Programs and companions that go too far: each ends with a clear word, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vm.conftest import Cli, read_until
from tests.vm.leftovers import await_nothing_left, left_in

RUN = 600.0
PROGRAMS = Path(__file__).parent / "programs"

HEAD = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
"""
QUIET = HEAD + 'SEC("tracepoint/syscalls/sys_enter_sync") int quiet(void *ctx) { return 0; }\n'
FLOOD = (
    HEAD
    + """
static long say(__u32 number, void *context) { bpf_printk("flood %d", number); return 0; }
SEC("tracepoint/syscalls/sys_enter_sync") int flood(void *ctx) { bpf_loop(20000, say, NULL, 0); return 0; }
"""
)


@pytest.fixture
def nothing_left(instance: Cli) -> Iterator[Cli]:
    """The instance, which must be the same after the test."""
    before = left_in(instance)
    yield instance
    await_nothing_left(instance, before)


def write(directory: Path, program: str, companion: str | None = None) -> str:
    path = directory / "victim.bpf.c"
    path.write_text(program)
    if companion:
        (directory / "victim.c").write_text(companion)
    return str(path)


def test_what_holds_no_program_is_refused_on_the_host(instance: Cli, tmp_path: Path) -> None:
    large, empty, broken = tmp_path / "large.c", tmp_path / "empty.bpf.c", tmp_path / "broken.bpf.o"
    large.write_bytes(b"int x;\n" * 1_500_000)
    empty.touch()
    broken.write_bytes(b"\x7fELF" + b"\0" * 100)
    for file, told in ((large, "10 MiB large"), (empty, "empty"), (broken, "not an eBPF object")):
        result = instance("run", str(file), "--for", "1", check=False)
        assert result.status == 2
        assert told in result.stderr


@pytest.mark.nightly
def test_a_long_verification_is_interrupted_from_the_keyboard(nothing_left: Cli) -> None:
    process = nothing_left.start("run", str(PROGRAMS / "load_long.bpf.c"), "--for", "60")
    read_until(process, "Compiling", RUN)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=RUN)
    assert process.returncode == 130, said
    assert "Traceback" not in said


@pytest.mark.nightly
def test_a_flood_of_printk_is_shown_or_counted(nothing_left: Cli, tmp_path: Path) -> None:
    report = nothing_left.json(
        "run", write(tmp_path, FLOOD), "--for", "3", "--json", "--trigger", "sync", timeout=RUN, check=False
    )
    output = report["output"]
    shown = len(output["printk"]) + output["left_out"].get("printk", 0)
    assert shown + output["lost"].get("printk", 0) >= 20000
    assert report["ok"], report


FORKS = """
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "victim.skel.h"
int main(void)
{
    puts("forking 1");
    fflush(stdout);
    signal(SIGINT, SIG_IGN);
    for (;;) {
        if (fork() == 0)
            setsid();
        usleep(50000);
    }
}
"""
FILLS = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "victim.skel.h"
int main(void)
{
    struct statvfs space;
    int fd = open("fill", O_RDWR | O_CREAT, 0600);

    unlink("fill");
    statvfs(".", &space);
    fallocate(fd, 0, 0, (off_t)space.f_bfree * space.f_frsize - 65536);
    while (write(fd, space.f_bfree ? "x" : "", 1) == 1 && lseek(fd, 4095, SEEK_CUR) > 0)
        ;
    puts("disk full 1");
    fflush(stdout);
    pause();
}
"""


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("companion", "said"), [(FORKS, "forking 1"), (FILLS, "disk full 1")], ids=["forks", "fills"]
)
def test_a_companion_that_goes_too_far(nothing_left: Cli, tmp_path: Path, companion: str, said: str) -> None:
    result = nothing_left("run", write(tmp_path, QUIET, companion), "--for", "2", timeout=RUN, check=False)
    assert said in result.stdout, result.stdout + result.stderr
    assert nothing_left.guest("sh", "-c", "echo there is room > /root/room && cat /root/room && rm /root/room")


@pytest.mark.nightly
def test_a_kernel_that_panics_is_told_and_up_recovers(second: Callable[[str], Cli], tmp_path: Path) -> None:
    cli = second("panics")
    result = cli(
        "run", write(tmp_path, QUIET), "-i", "panics", "--for", "30", "--trigger", "echo c > /proc/sysrq-trigger",
        timeout=RUN, check=False,
    )  # fmt: skip
    assert result.status == 4
    assert "stopped running in the middle" in result.stderr
    assert "panic" in result.stderr
    assert cli.state("panics")["state"] == "stopped"
    cli("up", "panics", timeout=RUN)
    assert cli.guest("uname", instance="panics").strip() == "Linux"
