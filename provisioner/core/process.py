"""Host programs: found by name, run from an argv list, never through a shell."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.errors import HostError
from provisioner.core.host import find_tool


@dataclass(frozen=True)
class CommandResult:
    """What a finished command left: its argv, exit status and both outputs as text."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.status == 0


def require_tool(name: str, needed_for: str) -> Path:
    """The path of a host program; raises HostError("tool-missing") that says what it was needed for."""
    found = find_tool(name)
    if found is None:
        raise HostError(
            f"{name} is not installed; it is needed {needed_for}",
            code="tool-missing",
            hint="Run `ebpf-dev doctor --fix` to install what is missing.",
        )
    return found


def run_tool(
    argv: Sequence[str | Path],
    *,
    needed_for: str,
    timeout: float = 60.0,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    input: str = "",
) -> CommandResult:
    """Run a host program on ``input`` to its end and return its outputs; ``timeout`` is in seconds.

    Raises HostError: "tool-missing", "tool-timeout", or with ``check`` "tool-failed" with its own words.
    """
    tool = require_tool(str(argv[0]), needed_for)
    words = (str(tool), *(str(word) for word in argv[1:]))
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=timeout, env=env, check=False,
            input=input,
        )  # fmt: skip
    except subprocess.TimeoutExpired as exc:
        raise HostError(
            f"{argv[0]} did not finish within {timeout:.0f} s; it was needed {needed_for}",
            code="tool-timeout",
            details=" ".join(words),
            hint="Try again; if it hangs again, run the command by hand to see where.",
        ) from exc
    result = CommandResult(words, done.returncode, done.stdout, done.stderr)
    if check and not result.ok:
        raise HostError(
            f"{argv[0]} failed with status {result.status}; it was needed {needed_for}",
            code="tool-failed",
            details=(result.stderr or result.stdout).strip(),
            hint=f"The command was: {' '.join(words)}",
        )
    return result


def command_line(pid: int) -> str:
    """The command line of a process, "" when there is no such process (or it is a zombie)."""
    proc = Path("/proc")
    if (proc / "self").exists():
        try:
            return (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    argv = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return run_tool(argv, needed_for="to recognise a process of ours", check=False).stdout
