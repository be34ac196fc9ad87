"""What the rows stand on: the tool as its users start it, instances for measuring, OpenSSH without any help."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.backends.base import State
from provisioner.core.config import load_settings
from provisioner.core.paths import Paths, find_paths
from provisioner.core.reporter import SilentReporter
from provisioner.core.settings import Settings
from provisioner.core.store import Store
from provisioner.workflows.instances import Instance, open_instance
from provisioner.workflows.lifecycle import bring_down
from tests.bench.measure import NotTakenError

TOOL = (sys.executable, "-m", "provisioner")
NAME = "bench"
#: A connection of its own, whatever the instance's ssh_config allows to share.
COLD = ("-o", "ControlMaster=no", "-o", "ControlPath=none")


@dataclass
class Lab:
    """Takes every figure ``runs`` times on the instance `bench` of this user; ``scratch`` is thrown away."""

    runs: int
    scratch: Path
    paths: Paths = field(default_factory=find_paths)

    @property
    def settings(self) -> Settings:
        """What a user without any file of settings has."""
        return load_settings(self.paths, Path(tempfile.gettempdir()), os.environ, {})

    def cli(self, *words: str) -> str:
        """Run the tool and return what it printed; raises NotTakenError when it fails."""
        return run((*TOOL, *words))

    def instance(self, name: str = NAME) -> Instance:
        return open_instance(name, self.paths)

    def running(self, name: str = NAME) -> Instance:
        """The instance, brought up unless it runs."""
        self.cli("up", name)
        return self.instance(name)

    def stopped(self, *, saved: bool) -> None:
        """Have `bench` down, with its memory saved or without."""
        if Store(self.paths).find(NAME) is None or self.instance().status().state is not State.STOPPED:
            self.running()
        bring_down(NAME, self.paths, SilentReporter(), save=saved)

    def ssh(self, *words: str, stdin: bytes = b"") -> None:
        """Plain OpenSSH with a connection of its own."""
        run(self.ssh_argv(*words), stdin)

    def ssh_argv(self, *words: str) -> tuple[str, ...]:
        return ("ssh", *COLD, "-F", str(self.instance().ssh_config), f"ebpf-dev-{NAME}", *words)

    def clean(self) -> None:
        """Delete the instances that were made for measuring."""
        for name in Store(self.paths).names():
            if name == NAME or name.startswith(f"{NAME}-"):
                self.cli("delete", name)


def run(argv: Sequence[str], stdin: bytes = b"", timeout: float = 1800.0) -> str:
    """The output of a command; raises NotTakenError with the last thing it said when it fails."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise NotTakenError(str(exc)) from exc
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise NotTakenError(
            f"{Path(argv[0]).name} ended with {done.returncode}: {said[-1] if said else 'no word'}"
        )
    return done.stdout.decode(errors="replace")
