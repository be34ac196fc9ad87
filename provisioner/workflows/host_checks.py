"""The host half of ``doctor``: what was found is judged by pure functions, in plain words and with a cure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from provisioner.backends.qemu.accelerator import Verdict
from provisioner.backends.qemu.arch import ARCHITECTURES
from provisioner.backends.qemu.qmp import LEAVE_OUT_SHARED
from provisioner.backends.qemu.saved import UNPROVEN
from provisioner.backends.qemu.tools import minimum_version, show_version
from provisioner.core.host import HostFacts
from provisioner.core.settings import Settings
from provisioner.core.sizes import format_size
from provisioner.images.build import SPACE_NEEDED
from provisioner.images.foreign import TESTER
from provisioner.workflows.checks import Check
from provisioner.workflows.host_findings import Findings, Place, emulator_name
from provisioner.workflows.mac_checks import busy_qemu, mac_checks

#: Subordinate ids an ordinary user needs: one for every id that a Debian root file system may use.
ID_COUNT = 65536
_FIRST_ID = 100_000  # SUB_UID_MIN's default in login.defs(5)

_APT_PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86", "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils", "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "newuidmap": "uidmap",
    "ssh": "openssh-client", "firmware": "qemu-efi-aarch64",
}  # fmt: skip
_BREW_PACKAGES = {
    "qemu-system-x86_64": "qemu", "qemu-system-aarch64": "qemu", "qemu-img": "qemu", "firmware": "qemu",
    "limactl": "lima",
}  # fmt: skip
#: The last tells the kernel about QEMU where systemd does not.
_FOREIGN_PACKAGES = (TESTER, "qemu-user-static", "binfmt-support")
PACKAGES: Mapping[str, Mapping[str, str]] = {"apt": _APT_PACKAGES, "brew": _BREW_PACKAGES}


def judge_host(found: Findings, settings: Settings) -> list[Check]:
    """The checks that follow from what was found; pure."""
    checks = [
        *mac_checks(found, settings),
        *([_lima(found)] if found.driver else []),
        *(_qemu_checks(found, settings) if found.driver != "vz" else []),
        _resume(found, settings),
        _tool(found, "ssh", "opens shells and copies files"),
        *_package_builder(found, settings),
        _memory(found.facts, settings),
        *(_space(path, free) for path, free in found.space.items()),
        _places(found.places),
    ]
    return [check for check in checks if check is not None]


def _qemu_checks(found: Findings, settings: Settings) -> Iterator[Check | None]:
    yield _qemu(found, settings)
    yield busy_qemu(found)
    yield _tool(found, "qemu-img", "makes the disks of machines")
    if _needs_firmware(settings):
        yield _firmware(found)
    yield _accelerator(found, settings)


def _lima(found: Findings) -> Check:
    fault = found.lima_fault
    if fault is None:
        return Check("Lima", True, f"runs machines with its driver {found.driver}")
    packages = _packages(found, "limactl") if fault.code == "tool-missing" else ()
    return Check("Lima", False, fault.brief, fault.details, cure=fault.hint, packages=packages)


def _packages(found: Findings, tool: str) -> tuple[str, ...]:
    package = PACKAGES.get(found.facts.package_manager, {}).get(tool)
    return (package,) if package else ()


def _install(found: Findings, tool: str) -> str:
    packages = _packages(found, tool)
    if packages:
        return f"`ebpf-dev doctor --fix` installs {packages[0]}."
    return f"Install {tool} with the package manager of your system."


def _tool(found: Findings, name: str, purpose: str, *, needed: bool = True) -> Check:
    path = found.tools.get(name)
    if path:
        return Check(name, True, f"{path}")
    return Check(
        name,
        False,
        f"missing; it {purpose}",
        cure=_install(found, name),
        needed=needed,
        packages=_packages(found, name),
    )


def _qemu(found: Findings, settings: Settings) -> Check:
    emulator = emulator_name(settings)
    if not found.tools.get(emulator):
        return _tool(found, emulator, "runs the virtual machine")
    if found.qemu is None:
        return Check(emulator, False, "it does not run", found.qemu_fault, cure="Install QEMU anew.")
    version, floor = show_version(found.qemu), minimum_version(found.facts)
    if found.qemu < floor:
        summary = f"version {version} is too old; {show_version(floor)} or later is needed"
        if found.facts.package_manager == "brew":  # whose "install" upgrades what is there
            packages = _packages(found, emulator)
            return Check(emulator, False, summary, cure="`brew upgrade qemu`.", packages=packages)
        return Check(emulator, False, summary, cure="Upgrade QEMU, or the distribution it comes from.")
    return Check(emulator, True, f"version {version}", str(found.tools[emulator]))


def _needs_firmware(settings: Settings) -> bool:
    known = ARCHITECTURES.get(settings.arch)
    return bool(known and not known.has_bios)


def _firmware(found: Findings) -> Check:
    if not found.firmware_fault:
        return Check("UEFI firmware", True, "installed")
    packages = _packages(found, "firmware")
    cure = _install(found, "firmware")
    return Check("UEFI firmware", False, found.firmware_fault, cure=cure, packages=packages)


def _accelerator(found: Findings, settings: Settings) -> Check:
    if not found.verdicts:
        return Check("accelerator", None, "not checked, as QEMU is missing")
    best = next(verdict for verdict in found.verdicts if verdict.usable)
    wanted = settings.accelerator
    if wanted not in ("auto", best.accelerator):
        return _insisted(found.verdicts, wanted)
    if best.accelerator != "tcg" or wanted == "tcg":
        return Check("accelerator", True, f"{best.accelerator}: {best.reason}")
    failed = [verdict for verdict in found.verdicts if not verdict.usable]
    return Check(
        "accelerator",
        False,
        f"tcg: {best.reason}",
        details="\n".join(f"{verdict.accelerator}: {verdict.reason}" for verdict in failed),
        cure=" ".join(verdict.cure for verdict in failed if verdict.cure),
        needed=False,
    )


def _resume(found: Findings, settings: Settings) -> Check:
    if found.driver:
        fault = "machines are booted instead of resumed: Lima cannot save their memory"
        return Check("resume", False, fault, needed=False)
    if not found.verdicts:
        return Check("resume", None, "not checked, as QEMU is missing")
    best = next(verdict.accelerator for verdict in found.verdicts if verdict.usable)
    accelerator = best if settings.accelerator == "auto" else settings.accelerator
    if accelerator in UNPROVEN:
        fault = f"machines are booted instead of resumed: with {accelerator} nobody has shown that it works"
    elif LEAVE_OUT_SHARED not in found.capabilities:
        fault = f"new machines are booted instead of resumed: this QEMU does not know {LEAVE_OUT_SHARED}"
    else:
        return Check("resume", True, "machines go on from saved memory")
    return Check("resume", False, fault, needed=False)


def _insisted(verdicts: tuple[Verdict, ...], wanted: str) -> Check:
    for verdict in verdicts:
        if verdict.accelerator == wanted and verdict.usable:
            return Check("accelerator", True, f"{wanted}: {verdict.reason}")
    refused = next((verdict for verdict in verdicts if verdict.accelerator == wanted), None)
    reason = refused.reason if refused else "this system does not have it"
    cure = (refused.cure if refused else "") or "Leave the accelerator at 'auto' to use the best there is."
    return Check("accelerator", False, f"{wanted} was asked for and cannot be used: {reason}", cure=cure)


def _package_builder(found: Findings, settings: Settings) -> Iterator[Check]:
    """What building an image from packages takes; one can do without where cloud images can be fetched."""
    if found.facts.package_manager != "apt":
        return
    yield _tool(found, "mmdebstrap", "builds images where no cloud image can be fetched")
    yield _tool(found, "mke2fs", "makes the file systems of images")
    yield _sources(found)
    if settings.arch != found.facts.arch:
        yield _foreign_programs(found, settings)
    if not found.facts.is_root:
        yield _tool(found, "newuidmap", "lets an ordinary user build images")
        yield _subordinate_ids(found)
        yield _namespaces(found)


def _foreign_programs(found: Findings, settings: Settings) -> Check:
    name = f"{settings.arch} programs"
    if not found.foreign_fault:
        return Check(name, True, "run here")
    return Check(
        name,
        False,
        found.foreign_fault,
        cure=f"`ebpf-dev doctor --arch {settings.arch} --fix` installs qemu-user-static. "
        "In a container it has to be registered on the host.",
        needed=False,
        packages=_FOREIGN_PACKAGES,
    )


def _sources(found: Findings) -> Check:
    if found.sources:
        return Check("apt sources", True, f"{len(found.sources)} configured", "\n".join(found.sources))
    return Check(
        "apt sources",
        False,
        "this host's apt has none; images can only be fetched, not built from packages",
        cure="Configure apt (sources.list(5)), or name a mirror: `mirror:` in ebpf-dev.yaml.",
        needed=False,
    )


def _subordinate_ids(found: Findings) -> Check:
    command = subid_command(found.facts, *found.subids)
    if command is None:
        return Check("subordinate ids", True, f"{found.facts.user} has them")
    return Check(
        "subordinate ids",
        False,
        f"/etc/subuid and /etc/subgid give {found.facts.user} too few; building images takes {ID_COUNT}",
        cure=f"`ebpf-dev doctor --fix`, or: sudo {' '.join(command)}",
        commands=(command,),
    )


def subid_command(facts: HostFacts, subuid: str, subgid: str) -> tuple[str, ...] | None:
    """The usermod(8) command that gives the user the ids missing from either file, None when none is."""
    words: list[str] = []
    for option, text in (("--add-subuids", subuid), ("--add-subgids", subgid)):
        if not _has_ids(text, facts):
            start = _free_ids(text)
            words += [option, f"{start}-{start + ID_COUNT - 1}"]
    return ("usermod", *words, facts.user) if words else None


def _ranges(text: str) -> Iterator[tuple[str, int, int]]:
    """Owner, first id and count of each line of a subuid(5) file; broken lines are left out."""
    for line in text.splitlines():
        owner, *numbers = line.strip().split(":")
        if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
            yield owner, int(numbers[0]), int(numbers[1])


def _has_ids(text: str, facts: HostFacts) -> bool:
    owners = {facts.user, str(facts.uid)}
    return any(owner in owners and count >= ID_COUNT for owner, _, count in _ranges(text))


def _free_ids(text: str) -> int:
    """The first id above every range that is given to somebody."""
    return max([_FIRST_ID, *(first + count for _, first, count in _ranges(text))])


def _namespaces(found: Findings) -> Check:
    if not found.namespaces_fault:
        return Check("user namespaces", True, "ordinary users may make them")
    return Check(
        "user namespaces",
        False,
        f"ordinary users may not make them: {found.namespaces_fault}",
        cure="Change the setting with sysctl(8), or build the image as root once.",
    )


def _memory(facts: HostFacts, settings: Settings) -> Check:
    wanted = format_size(settings.memory)
    if not facts.memory:
        return Check("memory", None, f"not known; a machine takes {wanted}")
    cure = "Give the machine less: --memory, EBPF_DEV_MEMORY, or `memory:` in ebpf-dev.yaml."
    if facts.memory <= settings.memory:
        summary = f"this host has {_about(facts.memory)}, and a machine takes {wanted}"
        return Check("memory", False, summary, cure=cure)
    if facts.memory_available < settings.memory:
        summary = f"{_about(facts.memory_available)} are available, and a machine takes up to {wanted}"
        return Check("memory", False, summary, cure=f"Close some programs. {cure}", needed=False)
    return Check("memory", True, f"{_about(facts.memory_available)} available, a machine takes up to {wanted}")


def _space(path: Path, free: int) -> Check:
    name = "disk space"
    if free >= SPACE_NEEDED:
        return Check(name, True, f"{_about(free)} free for {path}")
    return Check(
        name,
        False,
        f"{_about(free)} free for {path}; making an image takes {format_size(SPACE_NEEDED)}",
        cure="Free some, or set EBPF_DEV_HOME to a directory on a larger disk.",
    )


def _about(size: int) -> str:
    """A measured size, to a tenth of a GiB: nobody needs the bytes."""
    gib = 1 << 30
    return format_size(round(size * 10 / gib) * gib // 10) if size >= gib else format_size(size >> 20 << 20)


def _places(places: tuple[Place, ...]) -> Check:
    problems = [place.problem for place in places if place.problem]
    if not problems:
        return Check("directories", True, "can be used", "\n".join(str(place.path) for place in places))
    several = len(problems) > 1
    return Check(
        "directories",
        False,
        "some of our directories cannot be used" if several else problems[0],
        "\n".join(problems) if several else "",
        cure="Take them back with chown and `chmod 700`, or set EBPF_DEV_HOME to another place.",
    )
