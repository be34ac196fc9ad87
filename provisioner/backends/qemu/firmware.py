"""What starts a disk that has its own boot loader: QEMU's built-in BIOS, or UEFI code of the host's."""

from __future__ import annotations

import tempfile
from pathlib import Path

from provisioner.backends.base import FirmwareBoot, Machine
from provisioner.backends.qemu import tools
from provisioner.backends.qemu.arch import Architecture, architecture
from provisioner.core.errors import HostError

#: Below the prefix that QEMU is installed in: what it brings along itself, as from Homebrew. That path stays
#: the same through upgrades, unlike those in QEMU's firmware descriptors there.
_OWN = "share/qemu/edk2-{arch}-code.fd"
#: Where distributions keep it: Debian and Ubuntu, Fedora, Arch, openSUSE. For aarch64 only those of 64 MiB,
#: which is what the machine's flash takes; for x86_64 those without Secure Boot, which needs more of a machine.
_DISTRIBUTIONS = {
    "x86_64": (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/qemu/ovmf-x86_64-code.bin",
    ),
    "aarch64": (
        "/usr/share/AAVMF/AAVMF_CODE.fd",
        "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
        "/usr/share/edk2/aarch64/QEMU_CODE.fd",
        "/usr/share/qemu/aavmf-aarch64-code.bin",
    ),
}
#: The part of a disk's first sector that is a program; partition tables begin behind it.
_BOOT_CODE = 440


def firmware_candidates(arch: str, emulator: Path) -> tuple[Path, ...]:
    """Where UEFI code for ``arch`` may be, in the order to look; ``emulator`` is the path of QEMU."""
    prefix = emulator.parent.parent
    own = _OWN.format(arch=arch)
    return (prefix / own, *map(Path, _DISTRIBUTIONS[arch]))


def find_firmware(arch: Architecture, emulator: Path) -> Path:
    """The UEFI code to start machines with; raises HostError("firmware-missing")."""
    candidates = firmware_candidates(arch.name, emulator)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise HostError(
        f"no UEFI firmware for {arch.name} was found; it is needed to boot this image for the first time",
        code="firmware-missing",
        details="\n".join(map(str, candidates)),
        hint=f"Install it (Debian and Ubuntu: {arch.firmware_package}; Homebrew's qemu brings it along).",
    )


def choose_firmware(machine: Machine, emulator: Path) -> Path | None:
    """The UEFI code for this machine; None when it needs none, or when QEMU's BIOS can start its disk.

    Raises HostError("firmware-missing") when only UEFI could and the host has none.
    """
    row = architecture(machine.arch)
    if not isinstance(machine.boot, FirmwareBoot) or (row.has_bios and has_boot_code(machine.overlay)):
        return None
    return find_firmware(row, emulator)


def has_boot_code(disk: Path) -> bool:
    """Whether a qcow2 has something in its first sector for a BIOS to run."""
    with tempfile.TemporaryDirectory() as folder:
        sector = tools.copy_first_sector(disk, Path(folder, "sector"))
        return any(sector.read_bytes()[:_BOOT_CODE])
