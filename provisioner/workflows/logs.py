"""``logs``: the guest's console, as far as it was written."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from provisioner.backends.base import State
from provisioner.core.paths import Paths
from provisioner.workflows.instances import open_instance

# Colours and cursor movements (ECMA-48) that systemd and agetty write for a terminal of their own.
_CONTROL = re.compile(r"\x1b(?:\[[0-9;?!]*[ -/]*[@-~]|[@-Z\\-_])|[\x00-\x08\x0b-\x1f\x7f]")


def console_lines(name: str, paths: Paths, *, follow: bool) -> Iterator[str]:
    """The console's lines without control characters; with ``follow`` until the machine stops."""
    instance = open_instance(name, paths)
    log = instance.machine.console_log
    if not log.exists():
        return
    with log.open(errors="replace", newline="\n") as file:
        while True:
            line = file.readline()
            if line:
                yield _CONTROL.sub("", line.rstrip())
            elif not follow or instance.status().state is not State.RUNNING:
                return
            else:
                time.sleep(0.2)
