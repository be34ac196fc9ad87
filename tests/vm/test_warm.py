"""The connection that commands share, while machines come and go under it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from provisioner.core.paths import find_paths
from tests.vm.conftest import BOOT, Cli

NAME = "warm"


def masters(cli: Cli) -> list[int]:
    """The processes that hold a connection to the instance open; one that still opens it has another number."""
    config = os.fsencode(find_paths(cli.env).instance(NAME) / "ssh_config")
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if config in words and b"ControlMaster=yes" in words and not words.startswith(b"sh\0"):
                found.append(int(entry.name))
    return found


def wait_for_masters(cli: Cli, count: int) -> list[int]:
    deadline = time.monotonic() + 60
    while len(found := masters(cli)) != count:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def test_it_follows_the_machine_and_ends_with_it(second: Callable[[str], Cli]) -> None:
    cli = second(NAME)
    cli.guest("true", instance=NAME)
    before = wait_for_masters(cli, 1)
    both = [subprocess.Popen(cli.argv("exec", "-i", NAME, "--", "true"), env=cli.env) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert masters(cli) == before

    cli("reset", NAME, timeout=BOOT)
    assert cli.guest("echo", "as new", instance=NAME) == "as new\n"
    assert wait_for_masters(cli, 1) != before

    os.kill(cli.state(NAME)["pid"], signal.SIGKILL)
    wait_for_masters(cli, 0)
    refused = cli("exec", "-i", NAME, "--", "true", check=False)
    assert refused.status == 125
    assert "not running" in refused.stderr

    cli("reset", NAME, timeout=BOOT)
    cli.guest("true", instance=NAME)
    (master,) = wait_for_masters(cli, 1)
    os.kill(master, signal.SIGKILL)
    assert cli.guest("echo", "opened again", instance=NAME) == "opened again\n"

    cli("down", NAME, timeout=BOOT)
    wait_for_masters(cli, 0)
    assert not find_paths(cli.env).warm_socket(NAME).exists()
