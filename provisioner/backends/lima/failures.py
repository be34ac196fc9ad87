"""What Lima's last words mean."""

from __future__ import annotations

import json
import re
from pathlib import Path

from provisioner.core.errors import EbpfDevError, HostError, InstanceError

#: (what Lima says, code, brief, hint), the first match counts.
_KNOWN = (
    (r"must not run as the root", "lima-root", "Lima does not run as root",
     "Run ebpf-dev as an ordinary user, or use `--backend qemu`."),
    (r"under rosetta", "lima-rosetta", "this limactl was built for another processor",
     "Install Lima for this Mac's own processor: `brew reinstall lima`."),
    (r"UNIX_PATH_MAX|socket path .* too long", "lima-home-too-long",
     "the path of Lima's directory is too long for its sockets", "Set EBPF_DEV_HOME to a shorter path."),
    (r"(unsupported|unknown|invalid) (driver|vmType)|driver .* (not found|is not supported)|vmType .* must be",
     "lima-driver", "this Lima lacks the driver that the machine needs",
     "Reinstall Lima, or use `--backend qemu`."),
    (r'"qemu-(system-\w+|img)": executable file not found', "tool-missing", "Lima's driver needs QEMU",
     "Run `ebpf-dev doctor --fix` to install what is missing."),
    (r"could not find firmware", "firmware-missing", "Lima found no UEFI firmware for this machine",
     "Install it (Debian and Ubuntu: qemu-efi-aarch64; Homebrew's qemu brings it along)."),
    (r"HV_DENIED|com\.apple\.security\.hypervisor", "hvf-denied", "macOS does not let this program use HVF",
     "Reinstall QEMU and Lima from Homebrew, whose programs are signed for it."),
    (r"[Nn]o space left on device", "disk-full", "the disk that holds Lima's directory is full",
     "Free some space there, then try again."),
)  # fmt: skip


#: How Lima passes on what QEMU says, and what it says itself when it has nothing to say.
_QEMU, _EMPTY = "qemu[stderr]: ", "exiting, status={"


def last_words(*logs: str) -> str:
    """The warnings and errors in Lima's JSON logs, each once; what is no JSON is taken as it is."""
    lines = [line for log in logs for line in map(_complaint, log.splitlines()) if line.strip()]
    telling = [line for line in lines if not line.startswith(_EMPTY)]
    return "\n".join(dict.fromkeys(telling or lines))


def _complaint(line: str) -> str:
    """What a line of the log complains about, "" when it only tells."""
    try:
        entry = json.loads(line)
        message = str(entry.get("msg", "")).removeprefix("[hostagent] ")
    except (ValueError, AttributeError):
        return line
    if message.startswith(_QEMU):
        return message.removeprefix(_QEMU)
    return message if entry.get("level") not in ("info", "debug", "trace") else ""


def explain_refusal(command: str, log: str) -> EbpfDevError:
    """The error for a subcommand that failed, from what it wrote."""
    words = last_words(log)
    return find_known(words) or InstanceError(
        f"`limactl {command}` failed",
        code="lima-failed",
        details=words,
        hint="Run `ebpf-dev doctor`; `ebpf-dev delete` and `ebpf-dev up` make the machine anew.",
    )


def find_known(words: str) -> HostError | None:
    """The error that Lima's words stand for, when we know it."""
    for pattern, code, brief, hint in _KNOWN:
        if re.search(pattern, words):
            return HostError(brief, code=code, details=words, hint=hint)
    return None


def no_limactl(system: str) -> HostError:
    on_mac = "`ebpf-dev doctor --fix` installs it."
    elsewhere = "Install it from Lima's releases (no distribution has it), or use `--backend qemu`."
    return HostError(
        "limactl is not installed; it is needed to run the virtual machine",
        code="tool-missing",
        hint=on_mac if system == "macos" else elsewhere,
    )


def as_root() -> HostError:
    return HostError(
        "Lima does not run as root",
        code="lima-root",
        hint="Run ebpf-dev as an ordinary user, or use `--backend qemu`.",
    )


def no_driver(driver: str, known: frozenset[str]) -> HostError:
    return HostError(
        f"this Lima lacks the driver {driver!r} that a machine needs here",
        code="lima-driver",
        details=f"it has: {', '.join(sorted(known)) or 'none'}",
        hint="Reinstall Lima, or use `--backend qemu`.",
    )


def no_disk(name: str, disk: Path) -> InstanceError:
    return InstanceError(
        f"the machine {name!r} has no disk",
        code="start-failed",
        details=str(disk),
        hint=f"`ebpf-dev delete {name}`, then `ebpf-dev up {name}` makes it anew.",
    )


def no_image(name: str, disk: Path) -> InstanceError:
    return InstanceError(
        f"the disk image under {name!r} is missing",
        code="image-missing",
        details=str(disk),
        hint=f"`ebpf-dev delete {name}`, then `ebpf-dev up {name}` makes it anew.",
    )


def will_not_end(name: str, pids: list[int]) -> InstanceError:
    return InstanceError(
        f"the machine {name!r} does not end",
        code="stop-failed",
        details=f"processes {pids}",
        hint=f"`kill -9 {' '.join(map(str, pids))}` by hand.",
    )


def unsaveable(name: str) -> InstanceError:
    return InstanceError(
        f"Lima cannot save the memory of {name!r}",
        code="save-unsupported",
        hint=f"`ebpf-dev down {name} --no-save` shuts it down.",
    )
