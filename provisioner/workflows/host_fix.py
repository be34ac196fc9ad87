"""Installing what the host lacks: the commands are values first, then they are run one after the other."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from provisioner.core.errors import HostError
from provisioner.core.host import HostFacts, find_tool
from provisioner.core.process import require_tool
from provisioner.core.reporter import Reporter, Step
from provisioner.guest.apt import AptProgress
from provisioner.workflows.checks import Check

#: Seconds for one command; QEMU with what it depends on is some 100 MB to fetch, over whatever line there is.
_TIMEOUT = 3600.0

_APT_GET = (
    "env", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y",
    "-o", "APT::Status-Fd=1", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300",
)  # fmt: skip


@dataclass(frozen=True)
class Action:
    """One command and why. ``root``: it needs root. ``required`` False: what comes after may work without."""

    argv: tuple[str, ...]
    reason: str
    root: bool = True
    required: bool = True


def plan_fix(checks: Iterable[Check], facts: HostFacts) -> list[Action]:
    """What to run so that the failed checks become well, as far as commands can; pure."""
    failed = [check for check in checks if check.ok is False]
    packages = sorted({package for check in failed for package in check.packages})
    actions = _installations(packages, facts.package_manager) if packages else []
    for check in failed:
        actions += [Action(command, f"Putting right: {check.name}") for command in check.commands]
    return actions


def _installations(packages: Sequence[str], manager: str) -> list[Action]:
    names = " ".join(packages)
    if manager == "brew":
        # Homebrew refuses to run as root.
        return [Action(("brew", "install", *packages), f"Installing {names}", root=False)]
    return [
        # Not required: with an unreachable repository among others, the rest is usually enough.
        Action((*_APT_GET, "update"), "Fetching package lists", required=False),
        Action((*_APT_GET, "install", "--no-install-recommends", *packages), f"Installing {names}"),
    ]


def describe(action: Action, facts: HostFacts) -> str:
    """The command as one would type it."""
    shown = action.argv
    if shown[: len(_APT_GET)] == _APT_GET:
        shown = ("apt-get", *shown[len(_APT_GET) :])
    return shlex.join(("sudo", *shown) if action.root and not facts.is_root else shown)


def carry_out(actions: Sequence[Action], facts: HostFacts, reporter: Reporter) -> None:
    """Run the actions in order; root's through sudo when we are not root.

    Raises HostError: "sudo-missing", "sudo-refused", "tool-missing", "fix-failed" with the command's words.
    """
    prefix = _root_prefix(actions, facts)
    for action in actions:
        argv = [*(prefix if action.root else ()), *action.argv]
        with reporter.step(action.reason) as step:
            status, tail = _stream(argv, step)
            if status != 0 and action.required:
                raise _failed(action, facts, status, tail)
        if status != 0:
            reporter.warn(f"`{describe(action, facts)}` failed with status {status}; going on without.")


def _root_prefix(actions: Sequence[Action], facts: HostFacts) -> tuple[str, ...]:
    if facts.is_root or not any(action.root for action in actions):
        return ()
    sudo = find_tool("sudo")
    by_hand = "\n".join(describe(action, facts).removeprefix("sudo ") for action in actions if action.root)
    if sudo is None:
        raise HostError(
            "Installing takes root, and there is no sudo",
            code="sudo-missing",
            details=by_hand,
            hint="Run these commands as root, then try again.",
        )
    # Asked for before any progress is drawn, over which nobody could type; `-n` first, for `sudo -v` wants a
    # password even from those who need none for the commands themselves.
    quiet = subprocess.run([str(sudo), "-n", "true"], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if quiet.returncode != 0 and subprocess.run([str(sudo), "-v"], check=False).returncode != 0:
        raise HostError(
            "sudo did not let us become root",
            code="sudo-refused",
            details=by_hand,
            hint="Have these commands run as root, then try again.",
        )
    return (str(sudo),)


def _stream(argv: Sequence[str], step: Step) -> tuple[int, list[str]]:
    """Run a command to its end, its lines as progress; its status and last lines. Killed after _TIMEOUT."""
    tool = require_tool(argv[0], "to install what is missing")
    progress, tail = AptProgress(step), deque[str](maxlen=25)
    with subprocess.Popen(
        [str(tool), *argv[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        watchdog = threading.Timer(_TIMEOUT, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                progress.feed(line.rstrip("\n"))
                if line.strip() and not line.startswith(("dlstatus:", "pmstatus:")):
                    tail.append(line.rstrip())
                    step.detail(line.strip())
            return process.wait(), list(tail)
        except BaseException:
            # Also on Ctrl-C: apt-get and dpkg leave a state that the next time can go on from.
            process.terminate()
            raise
        finally:
            watchdog.cancel()


def _failed(action: Action, facts: HostFacts, status: int, tail: Sequence[str]) -> HostError:
    errors = [line for line in tail if line.startswith(("E:", "Err:", "Error"))]
    return HostError(
        f"{action.reason}: the command failed with status {status}",
        code="fix-failed",
        details="\n".join(errors or tail),
        hint=f"Run it by hand to see more: {describe(action, facts)}",
    )
