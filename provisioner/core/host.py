"""What kind of machine the tool runs on: recorded once, as a value; everything else is a function of that value.

The only module that asks which system this is. A decision that depends on it takes ``HostFacts``, so that a Mac's
can be tested on Linux.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ARCHES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
ARCHES = ("x86_64", "aarch64")

#: What is asked of sysctl(8) on macOS: whether HVF can be used; whether this Mac is a virtual machine; whether
#: the processor has SME, as the M4 was the first to have.
_HV_SUPPORT, _IN_MACHINE, _SME = "kern.hv_support", "kern.hv_vmm_present", "hw.optional.arm.FEAT_SME"
#: Where Homebrew's installer puts it, which newcomers may not have on their PATH yet.
BREW_PREFIXES = {"aarch64": Path("/opt/homebrew"), "x86_64": Path("/usr/local")}


@dataclass(frozen=True)
class MacFacts:
    """What is known of a Mac besides.

    ``version`` is that of macOS, such as (15, 2). ``translated``: this Python is an Intel program that Rosetta
    translates; ``hv_support`` and ``in_machine``: it can run virtual machines, it is one; ``sme``: its processor
    has SME. ``brew`` is Homebrew's prefix, None without it.
    """

    version: tuple[int, int]
    translated: bool = False
    hv_support: bool = True
    in_machine: bool = False
    sme: bool = False
    brew: Path | None = None


@dataclass(frozen=True)
class HostFacts:
    """The host as recorded once; memory in bytes (0 when unknown).

    ``system`` is "linux", "macos" or whatever Python calls the rest. ``distro`` and ``distro_like`` are the
    ``ID`` and ``ID_LIKE`` of os-release(5), empty elsewhere. ``arch`` is the machine's, also where this Python
    is a program for another: "x86_64", "aarch64" or the raw name. ``kernel`` is its release. ``mac`` is None
    on any other system.
    """

    system: str
    arch: str
    kernel: str = ""
    distro: str = ""
    distro_like: tuple[str, ...] = ()
    title: str = ""
    user: str = ""
    uid: int = 0
    cpus: int = 1
    memory: int = 0
    memory_available: int = 0
    mac: MacFacts | None = None

    @property
    def is_root(self) -> bool:
        return self.uid == 0

    @property
    def is_apple_silicon(self) -> bool:
        return (self.system, self.arch) == ("macos", "aarch64")

    @property
    def is_wsl(self) -> bool:
        """Whether this is Linux inside Windows (WSL 2), whose kernels say so in their release."""
        return self.system == "linux" and "microsoft" in self.kernel.lower()

    @property
    def package_manager(self) -> str:
        """Who installs packages here, as far as we can drive it: "apt", "brew" or ""."""
        if self.system == "macos":
            return "brew"
        family = {self.distro, *self.distro_like}
        return "apt" if self.system == "linux" and family & {"debian", "ubuntu"} else ""


@functools.cache
def this_host() -> HostFacts:
    """The host we run on, looked at once: kernel, distribution, user, processors, memory.

    Starts no process, but sysctl(8) on macOS.
    """
    release = parse_os_release(_os_release_text())
    system = {"darwin": "macos"}.get(sys.platform, sys.platform)
    machine, build = platform.machine(), platform.version()
    arch = machine_arch(machine, build)
    total, available = _memory()
    return HostFacts(
        system=system,
        arch=arch,
        kernel=platform.release(),
        distro=release.get("ID", ""),
        distro_like=tuple(release.get("ID_LIKE", "").split()),
        title=release.get("PRETTY_NAME") or f"{platform.system()} {platform.release()}",
        user=_user_name(),
        uid=os.getuid(),
        cpus=cpu_count(),
        memory=total,
        memory_available=available,
        mac=_look_at_mac(arch, translated=normal_arch(machine) != arch) if system == "macos" else None,
    )


def host_arch() -> str:
    """The processor architecture of this host in the words the rest of the tool uses."""
    return this_host().arch


def machine_arch(machine: str, build: str) -> str:
    """The architecture of the machine, from what uname(1) says with -m and -v; the raw name when unknown.

    On Apple Silicon an Intel program is told "x86_64", while the kernel's own build goes on naming ARM64.
    """
    if "RELEASE_ARM64" in build:
        return "aarch64"
    return normal_arch(machine) or machine


def mac_facts(version: str, sysctl: Mapping[str, str], *, translated: bool, brew: Path | None) -> MacFacts:
    """The facts of a Mac from macOS's ``version`` and what sysctl(8) says; what it does not know it leaves out."""
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return MacFacts(
        version=(int(major) if major.isdecimal() else 0, int(minor) if minor.isdecimal() else 0),
        translated=translated,
        hv_support=sysctl.get(_HV_SUPPORT) == "1",
        in_machine=sysctl.get(_IN_MACHINE) == "1",
        sme=sysctl.get(_SME) == "1",
        brew=brew,
    )


def parse_sysctl(text: str) -> dict[str, str]:
    """The "NAME: VALUE" lines that sysctl(8) prints."""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {name: value.strip() for name, colon, value in pairs if colon}


def _look_at_mac(arch: str, *, translated: bool) -> MacFacts:
    try:
        # It names what it does not know on stderr, and goes on; which processors know SME differs.
        done = subprocess.run(
            ["/usr/sbin/sysctl", _HV_SUPPORT, _IN_MACHINE, _SME],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
        sysctl = parse_sysctl(done.stdout)
    except (OSError, subprocess.TimeoutExpired):
        sysctl = {}
    return mac_facts(platform.mac_ver()[0], sysctl, translated=translated, brew=_find_brew(arch))


def _find_brew(arch: str) -> Path | None:
    found = shutil.which("brew")
    usual = BREW_PREFIXES.get(arch, Path("/usr/local"))
    if found:
        return Path(found).parent.parent
    return usual if (usual / "bin/brew").is_file() else None


def find_tool(name: str) -> Path | None:
    """The path of a host program, also from where an ordinary user's PATH may not lead: sbin and Homebrew's."""
    mac = this_host().mac
    beside = f"{mac.brew}/bin" if mac and mac.brew else "/usr/sbin:/sbin"
    found = shutil.which(name) or shutil.which(name, path=beside)
    return Path(found) if found else None


def default_backend() -> str:
    """What runs machines where nobody says it: Lima on a Mac that has it, else QEMU."""
    return choose_backend(this_host().system, find_tool("limactl") is not None)


def choose_backend(system: str, has_lima: bool) -> str:
    return "lima" if system == "macos" and has_lima else "qemu"


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
