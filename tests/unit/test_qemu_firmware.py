"""What starts a disk with a boot loader, on hosts as they were recorded and disks as their first sector is."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.backends.base import FirmwareBoot
from provisioner.backends.qemu import tools
from provisioner.backends.qemu.arch import ARCHITECTURES
from provisioner.backends.qemu.firmware import choose_firmware, find_firmware, firmware_candidates
from provisioner.core.errors import HostError
from tests.unit.qemu_machines import make_machine

DEBIAN = {
    "/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd", "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
    "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
}  # fmt: skip
#: ``ls $(brew --prefix)/share/qemu/edk2-*``; there are no variables for aarch64 and none for x86_64 either.
HOMEBREW_FILES = ("edk2-aarch64-code.fd", "edk2-arm-vars.fd", "edk2-x86_64-code.fd", "edk2-i386-vars.fd")
APPLE_SILICON = {f"/opt/homebrew/share/qemu/{name}" for name in HOMEBREW_FILES}
INTEL_MAC = {f"/usr/local/share/qemu/{name}" for name in HOMEBREW_FILES}
FEDORA = {"/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/ovmf/OVMF_CODE.fd"}


def found_on(host: set[str], arch: str, prefix: str) -> str | None:
    emulator = Path(prefix, "bin", f"qemu-system-{arch}")
    return next((str(path) for path in firmware_candidates(arch, emulator) if str(path) in host), None)


@pytest.mark.parametrize(
    ("host", "prefix", "arch", "found"),
    [
        (DEBIAN, "/usr", "aarch64", "/usr/share/AAVMF/AAVMF_CODE.fd"),
        (DEBIAN, "/usr", "x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd"),
        (APPLE_SILICON, "/opt/homebrew", "aarch64", "/opt/homebrew/share/qemu/edk2-aarch64-code.fd"),
        (APPLE_SILICON, "/opt/homebrew", "x86_64", "/opt/homebrew/share/qemu/edk2-x86_64-code.fd"),
        (INTEL_MAC, "/usr/local", "x86_64", "/usr/local/share/qemu/edk2-x86_64-code.fd"),
        (DEBIAN | INTEL_MAC, "/usr/local", "x86_64", "/usr/local/share/qemu/edk2-x86_64-code.fd"),
        (FEDORA, "/usr", "aarch64", "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw"),
        (FEDORA, "/usr", "x86_64", "/usr/share/edk2/ovmf/OVMF_CODE.fd"),
        (set(), "/usr", "aarch64", None),
    ],
)
def test_search_order(host: set[str], prefix: str, arch: str, found: str | None) -> None:
    assert found_on(host, arch, prefix) == found


def test_what_qemu_brings_along_is_used(tmp_path: Path) -> None:
    own = tmp_path / "share" / "qemu" / "edk2-aarch64-code.fd"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_firmware(ARCHITECTURES["aarch64"], tmp_path / "bin" / "qemu-system-aarch64") == own


def test_none_at_all_is_told_with_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    with pytest.raises(HostError) as caught:
        find_firmware(ARCHITECTURES["aarch64"], tmp_path / "bin" / "qemu-system-aarch64")
    assert caught.value.code == "firmware-missing"
    assert "qemu-efi-aarch64" in caught.value.hint


@pytest.mark.parametrize(
    ("arch", "sector", "uefi"),
    [
        ("x86_64", b"\xeb\x63\x90".ljust(510, b"\0") + b"\x55\xaa", False),
        # A partition table alone: nothing that a BIOS could run.
        ("x86_64", bytes(446) + b"\0\0\2\0\xee\xff\xff\xff".ljust(64, b"\0") + b"\x55\xaa", True),
        ("aarch64", b"\xeb\x63\x90".ljust(510, b"\0") + b"\x55\xaa", True),
    ],
)
def test_uefi_is_for_disks_that_no_bios_can_start(
    arch: str, sector: bytes, uefi: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(disk: Path, target: Path) -> Path:
        target.write_bytes(sector)
        return target

    monkeypatch.setattr(tools, "copy_first_sector", copy)
    own = tmp_path / "share" / "qemu" / f"edk2-{arch}-code.fd"
    own.parent.mkdir(parents=True)
    own.touch()
    machine = make_machine(tmp_path, tmp_path, arch=arch, boot=FirmwareBoot())
    assert choose_firmware(machine, tmp_path / "bin" / "qemu") == (own if uefi else None)


def test_a_kernel_needs_no_firmware(tmp_path: Path) -> None:
    machine = make_machine(tmp_path, tmp_path, arch="aarch64")
    assert choose_firmware(machine, tmp_path / "bin" / "qemu") is None
