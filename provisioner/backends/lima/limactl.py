"""``limactl``, one method per subcommand; version 1 and 2 are understood."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.backends.lima.failures import explain_refusal
from provisioner.core.errors import HostError, InstanceError
from provisioner.core.process import require_tool, run_tool

Version = tuple[int, int, int]

TOOL = "limactl"
#: The first version with ``--log-format`` and a ``user:`` of our choice.
MINIMUM: Version = (1, 0, 0)

_NEEDED_FOR = "to run the virtual machine"
#: Seconds for copying an image of some gigabytes, and for commands that only look or kill.
_COPY, _SHORT = 900.0, 60.0


@dataclass(frozen=True)
class Row:
    """One line of ``limactl list --json``.

    ``status`` is Lima's own word. A process number or a port is 0 when there is none; ``errors`` is empty with
    1.x, which writes Go's errors as ``{}``.
    """

    name: str
    status: str
    driver: str = ""
    ssh_port: int = 0
    host_agent: int = 0
    driver_pid: int = 0
    errors: tuple[str, ...] = ()


def parse_rows(text: str) -> list[Row]:
    """The instances in the output of ``limactl list --json``: an object a line, nothing when there is none."""
    return [_parse_row(json.loads(line)) for line in text.splitlines() if line.startswith("{")]


def _parse_row(value: Mapping[str, Any]) -> Row:
    return Row(
        name=value["name"],
        status=value["status"],
        driver=value.get("vmType", ""),
        ssh_port=value.get("sshLocalPort", 0),
        host_agent=value.get("hostAgentPID", 0),
        driver_pid=value.get("driverPID", 0),
        errors=tuple(error for error in value.get("errors") or () if isinstance(error, str)),
    )


def parse_version(text: str) -> Version | None:
    """The version in the output of ``limactl --version``, None when it says none ("<unknown>")."""
    match = re.search(r"\bv?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def show_version(version: Version) -> str:
    return ".".join(map(str, version))


class Limactl:
    """Lima's command with a home of our own, never the user's."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def version(self) -> Version | None:
        """Its version; a build that does not know its own gives None."""
        return parse_version(run_tool([TOOL, "--version"], needed_for=_NEEDED_FOR).stdout)

    def drivers(self) -> frozenset[str]:
        """The drivers ("vz", "qemu") it was built with for this host."""
        try:
            return frozenset(self._run("create", "--list-drivers").split())
        except InstanceError:  # 1.x has no such option; `info` in turn fails where Lima's templates are missing
            return frozenset(json.loads(self._run("info")).get("vmTypes") or ())

    def find(self, name: str) -> Row | None:
        """The instance ``name``, None when there is none."""
        # Asked by name it does not wait for others that hang, but calls an unknown one a failure like any other.
        if not (self._home / name).is_dir():
            return None
        return next(iter(parse_rows(self._run("list", "--json", name))), None)

    def create(self, name: str, config: Path) -> None:
        """Make the instance that the YAML file ``config`` describes; it is not started."""
        self._run("create", f"--name={name}", str(config), timeout=_COPY)

    def start(self, name: str, log: Path, timeout: float, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Begin to start an instance and return at once; ``env`` is added to the environment.

        The process ends when Lima calls the instance ready, its words going to ``log``; the machine does not
        depend on it.
        """
        argv = self._argv("start", f"--timeout={timeout:.0f}s", name)
        with log.open("wb") as words:
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=words, stderr=words, cwd="/", env={**self._env(), **env},
                start_new_session=True,
            )  # fmt: skip

    def edit(self, name: str, expression: str) -> None:
        """Change the configuration of a stopped instance with a yq ``expression``."""
        self._run("edit", f"--set={expression}", name)

    def stop(self, name: str, *, force: bool = False, timeout: float = _SHORT) -> None:
        """Shut an instance down, or kill what there is of it; raises HostError("tool-timeout")."""
        self._run("stop", *(["--force"] if force else []), name, timeout=timeout)

    def delete(self, name: str) -> None:
        """Kill the instance and remove its directory; fine when there is none."""
        self._run("delete", "--force", name)

    def _run(self, *words: str, timeout: float = _SHORT) -> str:
        argv = self._argv(*words)
        done = run_tool(argv, needed_for=_NEEDED_FOR, timeout=timeout, check=False, env=self._env())
        if not done.ok:
            raise explain_refusal(words[0], done.stderr or done.stdout)
        return done.stdout

    def _argv(self, *words: str) -> list[str]:
        # Without a terminal it must neither ask nor colour.
        return [str(require_tool(TOOL, _NEEDED_FOR)), "--tty=false", "--log-format=json", *words]

    def _env(self) -> dict[str, str]:
        return {**os.environ, "LIMA_HOME": str(self._home)}


def check_version(limactl: Limactl) -> Version | None:
    """Its version; raises HostError("lima-too-old", "tool-missing")."""
    version = limactl.version()
    if version is None or version >= MINIMUM:
        return version
    raise HostError(
        f"Lima {show_version(version)} is too old; {show_version(MINIMUM)} or later is needed",
        code="lima-too-old",
        hint="Upgrade it (`brew upgrade lima` on a Mac), or use `--backend qemu`.",
    )
