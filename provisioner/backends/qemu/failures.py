"""What QEMU's last words mean, and the errors of machines that do not do what they should."""

from __future__ import annotations

import re

from provisioner.backends.base import Machine
from provisioner.backends.console import last_lines
from provisioner.backends.qemu.hvf import explain_hvf
from provisioner.backends.qemu.layout import QemuFiles
from provisioner.backends.qemu.process import QemuProcess
from provisioner.backends.qemu.qmp import LEAVE_OUT_SHARED, QmpError
from provisioner.core.errors import EbpfDevError, HostError, InstanceError

NO_SPACE = "No space left on device"


class AcceleratorFailure(Exception):  # noqa: N818 - not an error yet: there is another accelerator to try
    """The hardware accelerator could not run this guest: a short reason, the evidence, and a cure if there is."""

    def __init__(self, accelerator: str, reason: str, details: str = "", cure: str = "") -> None:
        super().__init__(reason)
        self.accelerator = accelerator
        self.reason = reason
        self.details = details
        self.cure = cure


#: (what QEMU says, what to do about it), the first match counts.
_HINTS = (
    (r'Failed to get .*"?lock', "Another QEMU uses this disk; find it with `ps` and stop it."),
    (r"[Cc]annot (set up guest memory|allocate memory)|Out of memory", "Give the machine less --memory."),
    (r"Could not open backing file|could not (open|load) (kernel|initrd)",
     "The image under this machine is gone or damaged: `ebpf-dev delete {name}`, then `ebpf-dev up {name}`."),
    (r"Image is corrupt|not in qcow2 format",
     "The machine's disk is damaged: `ebpf-dev delete {name}`, then `ebpf-dev up {name}`."),
    (r"terminating on signal", "Something ended it from outside; `ebpf-dev up {name}` starts it again."),
)  # fmt: skip
_OTHER_HINT = "Run `ebpf-dev doctor`; `ebpf-dev delete {name}` and `ebpf-dev up {name}` make the machine anew."


def explain_death(machine: Machine, accelerator: str, status: int | None) -> EbpfDevError | AcceleratorFailure:
    """The error for a QEMU that ended before the guest answered; ``status`` as of subprocess, if known."""
    files = QemuFiles(machine)
    words = last_lines(files.log)
    if NO_SPACE in words:
        return disk_full(machine, words)
    if accelerator == "hvf" and (known := explain_hvf(words, status)):
        return AcceleratorFailure(accelerator, known.reason, words, known.cure)
    if accelerator != "tcg" and re.search(accelerator, words, re.IGNORECASE):
        return AcceleratorFailure(accelerator, _first_complaint(words), words)
    if not words and status in (0, None):
        return _powered_off(machine)
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, words)), _OTHER_HINT)
    return InstanceError(
        f"QEMU ended while {machine.name!r} was starting{_signal(status)}",
        code="start-failed",
        details=words or last_lines(files.console),
        hint=hint.format(name=machine.name),
    )


def disk_full(machine: Machine, details: str) -> HostError:
    return HostError(
        f"the disk that holds {machine.name!r} is full",
        code="disk-full",
        details=details or str(machine.directory),
        hint=f"Free some space there, then run `ebpf-dev up {machine.name}` again.",
    )


def _powered_off(machine: Machine) -> InstanceError:
    return InstanceError(
        f"the guest {machine.name!r} switched itself off before its sshd answered",
        code="start-failed",
        details=last_lines(machine.console_log),
        hint=f"Its console is above; `ebpf-dev up {machine.name}` tries again.",
    )


def _first_complaint(words: str) -> str:
    """The first line that is no warning, without the program's name before it."""
    lines = [line for line in words.splitlines() if "warning:" not in line] or words.splitlines()
    return re.sub(r"^\S*qemu-system-\w+: (error: )?", "", lines[0])


def _signal(status: int | None) -> str:
    return f" (killed by signal {-status})" if status is not None and status < 0 else ""


def memory_not_shareable() -> HostError:
    return HostError(
        "this QEMU cannot leave memory that is kept in a file out of what it saves",
        code="memory-not-shareable",
        details=f"it has no migration capability {LEAVE_OUT_SHARED}",
        hint="Nothing to do: machines boot instead of being resumed.",
    )


def no_disk(machine: Machine) -> InstanceError:
    return InstanceError(
        f"the machine {machine.name!r} has no disk",
        code="start-failed",
        details=str(machine.overlay),
        hint=f"`ebpf-dev delete {machine.name}`, then `ebpf-dev up {machine.name}` makes it anew.",
    )


def no_control(machine: Machine, exc: QmpError) -> InstanceError:
    return InstanceError(
        f"QEMU started for {machine.name!r} but cannot be controlled: {exc}",
        code="start-failed",
        details=last_lines(QemuFiles(machine).log),
        hint="Is the host overloaded? Try again; `ebpf-dev doctor` looks at the host.",
    )


def will_not_end(process: QemuProcess) -> InstanceError:
    pid = process.pid()
    return InstanceError(
        f"QEMU of {process.files.machine.name!r} does not end",
        code="stop-failed",
        details=f"process {pid}" if pid else "its process number is not known",
        hint=f"`kill -9 {pid}` by hand." if pid else "Look for it with `ps` and end it by hand.",
    )
