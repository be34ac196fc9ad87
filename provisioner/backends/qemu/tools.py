"""The QEMU programs of this host, one function each."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

from provisioner.backends.qemu.arch import Traits, architecture
from provisioner.backends.qemu.hvf import explain_hvf
from provisioner.core.errors import HostError
from provisioner.core.host import HostFacts, find_tool, host_arch, this_host
from provisioner.core.process import CommandResult, require_tool, run_tool

Version = tuple[int, int, int]

#: Ubuntu 22.04's, the oldest one in wide use; older ones lack options and fixes that we rely on.
MINIMUM: Version = (6, 2, 0)
#: On Apple Silicon QEMU before this crashed with HVF (QEMU issue 1990).
MINIMUM_APPLE_SILICON: Version = (8, 2, 1)

#: Seconds for a machine without a program to be made.
_TRY_TIMEOUT = 20.0
_NEEDED_FOR = "to run the virtual machine"


def require_emulator(arch: str) -> Path:
    """The path of QEMU for an architecture; raises HostError("tool-missing", "unsupported-arch")."""
    return require_tool(architecture(arch).emulator, _NEEDED_FOR)


def qemu_version(arch: str | None = None) -> Version | None:
    """The version of this host's QEMU for ``arch`` (the host's own by default), or None without one."""
    emulator = find_tool(architecture(arch or host_arch()).emulator)
    return _version(emulator, emulator.stat().st_mtime_ns) if emulator else None


def check_version(arch: str) -> Version:
    """The version of QEMU; raises HostError("qemu-too-old") when it is below what we need."""
    emulator = require_emulator(arch)
    version = _version(emulator, emulator.stat().st_mtime_ns)
    floor = minimum_version(this_host())
    if version >= floor:
        return version
    raise HostError(
        f"QEMU {show_version(version)} is too old; {show_version(floor)} or later is needed",
        code="qemu-too-old",
        details=str(emulator),
        hint="Upgrade QEMU; `ebpf-dev doctor` shows what it finds.",
    )


def traits(arch: str) -> Traits:
    """What of this host and its QEMU decides how machines are made; raises HostError as ``check_version``."""
    mac = this_host().mac
    return Traits(sme=mac is not None and mac.sme, qemu=check_version(arch))


def minimum_version(host: HostFacts) -> Version:
    return MINIMUM_APPLE_SILICON if host.is_apple_silicon else MINIMUM


def show_version(version: Version) -> str:
    return ".".join(map(str, version))


def parse_version(text: str) -> Version | None:
    """The version in the output of ``qemu-system-* --version``, or None when there is none."""
    match = re.search(r"version (\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


# Each of these starts QEMU, which takes tens of milliseconds; the modification time tells of an upgrade.
@functools.cache
def _version(emulator: Path, mtime: int) -> Version:
    done = run_tool([emulator, "--version"], needed_for=_NEEDED_FOR, check=False)
    if this_host().mac and (killed := explain_hvf(done.stderr, done.status)):
        raise HostError(killed.reason, code="qemu-killed", details=str(emulator), hint=killed.cure)
    text = done.stdout or done.stderr
    version = parse_version(text)
    if version is None:
        raise HostError(
            f"{emulator} does not say which version it is",
            code="qemu-too-old",
            details=text.strip(),
            hint="Install QEMU from your distribution or from Homebrew.",
        )
    return version


@functools.cache
def _built_in(emulator: Path, mtime: int) -> frozenset[str]:
    done = run_tool([emulator, "-accel", "help"], needed_for=_NEEDED_FOR)
    return frozenset(line.strip() for line in done.stdout.splitlines()[1:])  # after a title


def try_start(arch: str, board: str, accel: str, cpu: str) -> CommandResult:
    """Start a machine that executes nothing, and end it: what QEMU says when its options do not work here.

    Raises HostError("tool-timeout") when it hangs.
    """
    words = ["-nodefaults", "-no-user-config", "-display", "none", "-m", "64M", "-S", "-qmp", "stdio"]
    argv: list[str | Path] = [require_emulator(arch), *words, "-machine", board, "-accel", accel, "-cpu", cpu]
    return run_tool(argv, needed_for=_NEEDED_FOR, input=_asked("quit"), timeout=_TRY_TIMEOUT, check=False)


def _asked(*words: str) -> str:
    """The lines that ask a QEMU on a pipe for these commands, one after the other."""
    return "".join(json.dumps({"execute": word}) + "\n" for word in ("qmp_capabilities", *words))


def built_in_accelerators(arch: str) -> frozenset[str]:
    """The accelerators this host's QEMU was built with."""
    emulator = require_emulator(arch)
    return _built_in(emulator, emulator.stat().st_mtime_ns)


def migration_capabilities(arch: str) -> frozenset[str]:
    """What this host's QEMU can be told about saving and resuming; asks one that runs no machine."""
    emulator = require_emulator(arch)
    argv: list[str | Path] = [emulator, "-machine", "none", "-nodefaults", "-display", "none", "-qmp", "stdio"]
    asked = _asked("query-migrate-capabilities", "quit")
    done = run_tool(argv, needed_for=_NEEDED_FOR, input=asked, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    lists = (answer["return"] for answer in answers if isinstance(answer.get("return"), list))
    return frozenset(row["capability"] for row in next(lists, []))


def virtual_size(disk: Path) -> int:
    """The size in bytes that a guest sees of a disk; raises HostError("tool-failed")."""
    return int(_image_info(disk)["virtual-size"])


def find_backing(disk: Path) -> str | None:
    """What a disk stands on, None when it is whole by itself; raises HostError("tool-failed")."""
    backing = _image_info(disk).get("backing-filename")
    return str(backing) if backing else None


def _image_info(disk: Path) -> dict[str, Any]:
    argv: list[str | Path] = ["qemu-img", "info", "--force-share", "--output=json", disk]
    info: dict[str, Any] = json.loads(run_tool(argv, needed_for="to read a disk image").stdout)
    return info


def flatten(disk: Path, target: Path) -> None:
    """Write a disk and everything below it into one qcow2; raises HostError("tool-failed")."""
    argv: list[str | Path] = ["qemu-img", "convert", "-O", "qcow2", disk, target]
    run_tool(argv, needed_for="to copy a disk image", timeout=900)


def copy_first_sector(disk: Path, target: Path) -> Path:
    """Write the first 512 bytes that a guest sees of a qcow2 to ``target``; raises HostError("tool-failed")."""
    argv: list[str | Path] = ["qemu-img", "dd", "-U", "-f", "qcow2", "-O", "raw", "bs=512", "count=1"]
    run_tool([*argv, f"if={disk}", f"of={target}"], needed_for="to see how a disk is to be started")
    return target


def create_overlay(path: Path, base: Path, size: int) -> None:
    """Make a qcow2 of ``size`` bytes whose unwritten parts come from ``base``; its mode is 0600."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)  # qemu-img writes into it and leaves the mode
    backing = ["-b", str(base.absolute()), "-F", "qcow2"]
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(path), str(size)]
    run_tool(argv, needed_for="to make the machine's disk")
