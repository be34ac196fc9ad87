"""Ways into the guest with the user's own OpenSSH: shell, exec, cp; it handles terminals and signals."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from provisioner.backends.base import State
from provisioner.core.errors import PASS_THROUGH_FAILURE, UsageError
from provisioner.core.process import require_tool
from provisioner.guest.clock import in_time
from provisioner.guest.commands import quote_command
from provisioner.guest.warm import SSH_FAILED
from provisioner.workflows.instances import Instance, console_tail, require_running


def open_shell(instance: Instance) -> int:
    """An interactive login shell; returns its exit status."""
    return _ssh(instance, [])


def exec_command(instance: Instance, argv: Sequence[str]) -> int:
    """Run a command with our stdin, stdout and stderr; its status is passed on.

    125 when the guest could not be reached or went away, with the reason on stderr.
    """
    if not argv:
        raise UsageError(
            "There is no command to run", code="no-command", hint="For example `ebpf-dev exec -- uname -r`."
        )
    status = _ssh(instance, [in_time(quote_command(argv), time.time())])
    if status == SSH_FAILED and instance.status().state is not State.RUNNING:
        tail = console_tail(instance.machine)
        print(f"ebpf-dev: instance '{instance.name}' stopped running\n{tail}", file=sys.stderr)  # noqa: T201
        return PASS_THROUGH_FAILURE
    return status


def copy(instance: Instance, sources: Sequence[str], target: str) -> int:
    """Copy files or directories between host and guest; guest paths are written ``:PATH``.

    Raises UsageError when no side or both sides are in the guest, or a host file does not exist.
    """
    guest_sources = [source for source in sources if source.startswith(":")]
    if bool(guest_sources) == target.startswith(":") or len(guest_sources) not in (0, len(sources)):
        raise UsageError(
            "One side of a copy must be in the guest, the other on the host",
            code="bad-copy",
            hint="Write guest paths with a colon: `ebpf-dev cp prog.c :/root/` or `ebpf-dev cp :/root/log .`",
        )
    for source in sources:
        if not source.startswith(":") and not Path(source).exists():
            raise UsageError(
                f"There is no file {source}", code="no-such-file", hint="A guest path starts with a colon."
            )
    require_running(instance)
    instance.connection.ensure_open()
    words = [_scp_word(instance, word) for word in (*sources, target)]
    scp = require_tool("scp", "to copy files to and from the guest")
    options = ["-q", "-r", "-p", *instance.connection.options()]
    done = subprocess.run([str(scp), *options, "--", *words], check=False)
    return done.returncode


def _scp_word(instance: Instance, word: str) -> str:
    if word.startswith(":"):
        return f"{instance.ssh_host}:{word[1:] or '.'}"
    # An absolute path can be taken neither for an option nor for host:path.
    return str(Path(word).absolute()) + ("/" if word.endswith("/") else "")


def read_ssh_config(instance: Instance) -> str:
    require_running(instance)
    return instance.ssh_config.read_text()


def _ssh(instance: Instance, command: Sequence[str]) -> int:
    require_running(instance)
    instance.connection.ensure_open()
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    argv = [*instance.connection.argv("-t" if on_terminal else "-T"), "--", *command]
    # Ctrl-C belongs to the remote side: ssh passes it on through the terminal.
    process = subprocess.Popen(argv, env={**os.environ, "LC_ALL": "C.UTF-8"})
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def include_line(instances: Path) -> str:
    """The line for ~/.ssh/config that makes every instance known to ssh, scp, rsync and VS Code."""
    return f'Include "{instances}/*/ssh_config"' if " " in str(instances) else f"Include {instances}/*/ssh_config"
