"""What ``doctor`` finds on the host, without any judgement."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.backends.lima.plan import choose_driver
from provisioner.backends.qemu.accelerator import Verdict
from provisioner.backends.qemu.arch import ARCHITECTURES
from provisioner.backends.qemu.firmware import find_firmware
from provisioner.backends.qemu.tools import Version, migration_capabilities, qemu_version
from provisioner.core.errors import HostError
from provisioner.core.host import HostFacts, find_tool
from provisioner.core.paths import Paths
from provisioner.core.settings import Settings
from provisioner.images.foreign import check_programs_run
from provisioner.images.hostapt import read_host_apt
from provisioner.workflows.backends import make_backend

_TOOLS = ("qemu-img", "mmdebstrap", "mke2fs", "newuidmap", "ssh", "brew", "limactl")


@dataclass(frozen=True)
class Place:
    """A directory of ours as it is on disk; ``problem`` "" when it can be used."""

    path: Path
    problem: str = ""


@dataclass(frozen=True)
class Findings:
    """What there is on the host, without any judgement; sizes in bytes.

    ``tools`` maps names to paths, None when missing. ``space`` maps directories to what is free there.
    ``subids`` holds the texts of /etc/subuid and /etc/subgid. ``sources`` are the URIs of the host's apt.
    ``verdicts`` is None when QEMU is missing and nothing could be probed; ``capabilities`` are what QEMU can be
    told about saving and resuming machines. ``driver`` is what runs machines below Lima, "" where Lima is not to
    run them, and ``lima_fault`` what keeps it from that.
    """

    facts: HostFacts
    tools: Mapping[str, Path | None] = field(default_factory=dict)
    qemu: Version | None = None
    qemu_fault: str = ""
    firmware_fault: str = ""
    foreign_fault: str = ""
    verdicts: tuple[Verdict, ...] | None = None
    capabilities: frozenset[str] = frozenset()
    space: Mapping[Path, int] = field(default_factory=dict)
    places: tuple[Place, ...] = ()
    subids: tuple[str, str] = ("", "")
    namespaces_fault: str = ""
    driver: str = ""
    lima_fault: HostError | None = None
    sources: tuple[str, ...] = ()


def look_at_host(paths: Paths, settings: Settings, facts: HostFacts) -> Findings:
    """Gather what the checks need; starts QEMU for its version and a tiny KVM machine, changes nothing."""
    emulator = emulator_name(settings)
    tools = {name: find_tool(name) for name in (emulator, *_TOOLS)}
    version, qemu_fault = _look_at_qemu(settings, tools[emulator])
    on_apt = facts.package_manager == "apt"
    scratch = [Path(os.environ.get("TMPDIR") or "/var/tmp")] if on_apt else []
    return Findings(
        facts=facts,
        tools=tools,
        qemu=version,
        qemu_fault=qemu_fault,
        firmware_fault=_look_at_firmware(settings, tools[emulator]),
        foreign_fault=_look_at_foreign_programs(settings),
        verdicts=_probe(paths, settings) if version else None,
        capabilities=migration_capabilities(settings.arch) if version else frozenset(),
        space={path: _free(path) for path in (paths.data, *scratch)},
        places=tuple(_look_at_places(paths, facts.uid)),
        subids=(_text("/etc/subuid"), _text("/etc/subgid")),
        namespaces_fault=_look_at_namespaces() if facts.system == "linux" else "",
        driver=choose_driver(facts, settings.arch, settings.accelerator) if settings.backend == "lima" else "",
        lima_fault=_look_at_lima(paths, settings) if settings.backend == "lima" else None,
        sources=tuple(dict.fromkeys(source.uri for source in read_host_apt().sources)) if on_apt else (),
    )


def emulator_name(settings: Settings) -> str:
    """The QEMU program that runs guests of the architecture asked for."""
    known = ARCHITECTURES.get(settings.arch)
    return known.emulator if known else f"qemu-system-{settings.arch}"


def _look_at_qemu(settings: Settings, emulator: Path | None) -> tuple[Version | None, str]:
    if emulator is None or settings.arch not in ARCHITECTURES:
        return None, ""
    try:
        return qemu_version(settings.arch), ""
    except HostError as exc:
        return None, "\n".join(filter(None, (exc.brief, exc.details)))


def _look_at_lima(paths: Paths, settings: Settings) -> HostError | None:
    try:
        make_backend("lima", paths).check_host(settings.arch)
    except HostError as exc:
        return exc
    return None


def _look_at_firmware(settings: Settings, emulator: Path | None) -> str:
    row = ARCHITECTURES.get(settings.arch)
    if row is None:
        return ""
    try:
        find_firmware(row, emulator or Path("/usr/bin", row.emulator))
    except HostError as exc:
        return exc.brief
    return ""


def _look_at_foreign_programs(settings: Settings) -> str:
    try:
        check_programs_run(settings.arch)
    except HostError as exc:
        return f"{exc.brief}: {exc.details}"
    return ""


def _probe(paths: Paths, settings: Settings) -> tuple[Verdict, ...] | None:
    from provisioner.backends.qemu.backend import QemuBackend

    try:
        return QemuBackend(paths.host_facts).probe_accelerators(settings.arch)
    except HostError:
        return None


def _free(path: Path) -> int:
    try:
        return shutil.disk_usage(_existing(path)).free
    except OSError:
        return 0


def _existing(path: Path) -> Path:
    """The directory itself, or the nearest one above it that is there."""
    return next((folder for folder in (path, *path.parents) if os.path.lexists(folder)), Path("/"))


def _look_at_places(paths: Paths, uid: int) -> Iterator[Place]:
    # The configuration is the user's own to share or not; everything else holds keys, disks or sockets.
    for path, private in (
        (paths.config, False),
        (paths.cache, True),
        (paths.data, True),
        (paths.runtime, True),
    ):
        yield Place(path, _place_fault(path, uid, private))


def _place_fault(path: Path, uid: int, private: bool) -> str:
    existing = _existing(path)
    try:
        facts = existing.stat()
    except OSError as exc:
        return f"{existing}: {exc.strerror}"
    if not stat.S_ISDIR(facts.st_mode):
        return f"{existing} is not a directory"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} cannot be written to"
    if existing != path:
        return ""
    if facts.st_uid != uid:
        return f"{path} belongs to user {facts.st_uid}, not to you"
    if private and facts.st_mode & 0o077:
        return f"{path} is open to other users (mode {stat.S_IMODE(facts.st_mode):04o})"
    return ""


def _look_at_namespaces() -> str:
    """Why an ordinary user cannot make a user namespace, or ""."""
    if _text("/proc/sys/kernel/unprivileged_userns_clone").strip() == "0":
        return "kernel.unprivileged_userns_clone is 0"
    if _text("/proc/sys/user/max_user_namespaces").strip() == "0":
        return "user.max_user_namespaces is 0"
    # Ubuntu restricts them since 23.10, but lets programs that have a profile of their own make them.
    restricted = _text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").strip() == "1"
    if restricted and not Path("/etc/apparmor.d/mmdebstrap").exists():
        return "kernel.apparmor_restrict_unprivileged_userns is 1, and mmdebstrap has no AppArmor profile"
    return ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
