"""``watch`` in a real kernel: a file saved three times, right, wrong and right again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.vm.conftest import Cli, read_until

PATIENCE = 300.0
# Opens files until the run ends, so that each program has something to say.
TRIGGER = "while :; do cat /etc/hostname; sleep 0.5; done"
PROGRAM = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "word.h"
char LICENSE[] SEC("license") = "GPL";
SEC("tracepoint/syscalls/sys_enter_openat")
int opened(void *ctx) { bpf_printk("it is the " WORD); return 0; }
"""
#: The programs of this name that are loaded.
LOADED = "bpftool prog show | grep -c 'name opened'"


def test_a_program_is_replaced_at_every_save_and_outlives_mistakes(instance: Cli, tmp_path: Path) -> None:
    program, header = tmp_path / "opens.bpf.c", tmp_path / "word.h"

    def save(path: Path, text: str) -> None:
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").rename(path)

    save(program, PROGRAM)
    save(header, '#define WORD "first"')
    process = instance.start("watch", str(program), "--json", "--trigger", TRIGGER)
    try:
        read_until(process, "it is the first", PATIENCE)
        save(header, '#define WORD "second"')
        said = read_until(process, "it is the second", PATIENCE)
        assert '"type": "saved"' in said
        assert "it is the first" not in said.split('"type": "loaded"')[1]
        save(program, PROGRAM.replace("return 0", "return oops"))
        said = read_until(process, '"type": "refused"', PATIENCE)
        assert "use of undeclared identifier 'oops'" in said
        read_until(process, "it is the second", PATIENCE)
        save(program, PROGRAM.replace("int opened(void *ctx) {", "int opened(void *ctx) { return *(int *)0;"))
        said = read_until(process, '"type": "refused"', PATIENCE)
        assert "verifier-rejected" in said
        read_until(process, "it is the second", PATIENCE)
        assert instance.guest("sh", "-c", LOADED).strip() == "1"
        save(program, PROGRAM.replace("it is the", "and now the"))
        read_until(process, "and now the second", PATIENCE)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert '"replaced": false' in said
    assert instance.guest("sh", "-c", f"{LOADED} || :").strip() == "0"
