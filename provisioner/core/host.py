"""What kind of machine the tool runs on; the only module that looks at ``sys.platform``."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

_ARCHES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
ARCHES = ("x86_64", "aarch64")


@dataclass(frozen=True)
class HostFacts:
    """The host as recorded once; memory in bytes (0 when unknown).

    ``system`` is "linux", "macos" or whatever Python calls the rest. ``distro`` and ``distro_like`` are the
    ``ID`` and ``ID_LIKE`` of os-release(5), empty elsewhere. ``arch`` is "x86_64", "aarch64" or the raw name.
    """

    system: str
    arch: str
    distro: str = ""
    distro_like: tuple[str, ...] = ()
    title: str = ""
    user: str = ""
    uid: int = 0
    cpus: int = 1
    memory: int = 0
    memory_available: int = 0

    @property
    def is_root(self) -> bool:
        return self.uid == 0

    @property
    def package_manager(self) -> str:
        """Who installs packages here, as far as we can drive it: "apt", "brew" or ""."""
        if self.system == "macos":
            return "brew"
        family = {self.distro, *self.distro_like}
        return "apt" if self.system == "linux" and family & {"debian", "ubuntu"} else ""


def find_host_facts() -> HostFacts:
    """Look at the host: kernel, distribution, user, processors, memory. Starts no process."""
    release = parse_os_release(_os_release_text())
    system = host_system()
    total, available = _memory()
    return HostFacts(
        system=system,
        arch=host_arch(),
        distro=release.get("ID", ""),
        distro_like=tuple(release.get("ID_LIKE", "").split()),
        title=release.get("PRETTY_NAME") or f"{platform.system()} {platform.release()}",
        user=_user_name(),
        uid=os.getuid(),
        cpus=cpu_count(),
        memory=total,
        memory_available=available,
    )


def host_system() -> str:
    """ "linux", "macos", or Python's own name for anything else."""
    return {"darwin": "macos"}.get(sys.platform, sys.platform)


def host_arch() -> str:
    """The processor architecture in the words the rest of the tool uses."""
    machine = platform.machine()
    return normal_arch(machine) or machine


def normal_arch(name: str) -> str | None:
    """ "x86_64" or "aarch64" for any usual spelling (``amd64``, ``arm64``); None for another architecture."""
    return _ARCHES.get(name.lower())


def cpu_count() -> int:
    """Processors this process may use; fewer than the machine has inside a container or under taskset."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def host_processor() -> str:
    """What tells the kind of processor apart from another; "" where the kernel has no /proc/cpuinfo."""
    try:
        first = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0]
    except OSError:
        return ""
    changing = ("cpu MHz", "bogomips", "BogoMIPS")
    return "\n".join(line for line in first.splitlines() if not line.startswith(changing))


def parse_os_release(text: str) -> dict[str, str]:
    """The assignments of an os-release(5) file, unquoted; lines that are none are skipped."""
    values = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name.isidentifier():
            values[name] = value.strip().strip("\"'")
    return values


def parse_meminfo(text: str) -> tuple[int, int]:
    """Total and available bytes from ``/proc/meminfo``; its "kB" are KiB (proc(5))."""
    words = (line.split() for line in text.splitlines())
    table = {fields[0]: int(fields[1]) * 1024 for fields in words if len(fields) >= 2 and fields[1].isdigit()}
    total = table.get("MemTotal:", 0)
    return total, table.get("MemAvailable:", total)


def _os_release_text() -> str:
    # os-release(5): /etc first, then /usr/lib.
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
    return ""


def _memory() -> tuple[int, int]:
    try:
        return parse_meminfo(Path("/proc/meminfo").read_text(encoding="ascii", errors="replace"))
    except OSError:
        pass
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0, 0
    return total, total


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number that has no name
        return str(os.getuid())
