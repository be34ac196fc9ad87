"""What the last start of a machine wrote down: its command line, and the accelerator that was chosen."""

from __future__ import annotations

import json
import socket

from provisioner.backends.base import Machine
from provisioner.backends.qemu.layout import QemuFiles
from provisioner.core.errors import InstanceError


def recorded_accelerator(files: QemuFiles) -> str:
    """The accelerator of the last start; without a record "tcg", which is never blamed for anything."""
    try:
        return str(json.loads(files.record.read_bytes())["accelerator"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tcg"


def recorded_argv(machine: Machine) -> list[str]:
    """The command line of the last start, to repeat it by hand: port 0 is replaced by one that is free now.

    Raises InstanceError("no-record") when the machine was never started.
    """
    try:
        argv = json.loads(QemuFiles(machine).record.read_bytes())["argv"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InstanceError(
            f"there is no record of a start of {machine.name!r}",
            code="no-record",
            details=str(exc),
            hint=f"`ebpf-dev up {machine.name}` starts it.",
        ) from exc
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return [str(word).replace(":127.0.0.1:0-:22", f":127.0.0.1:{port}-:22") for word in argv]
