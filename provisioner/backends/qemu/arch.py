"""What QEMU calls things for each processor architecture; a new one is a new row."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.core.errors import HostError


@dataclass(frozen=True)
class Traits:
    """What of a host and its QEMU decides how a machine is made: SME in the processor, QEMU's version."""

    sme: bool = False
    qemu: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class Architecture:
    """One row: the emulator, the board, the guest's serial console and the processors to emulate.

    ``has_bios`` says that QEMU itself can start a disk with a boot loader; else, and for disks made for UEFI
    only, it takes the UEFI code that is in ``firmware_package`` on Debian.
    """

    name: str
    emulator: str
    board: str
    console: str
    tcg_cpu: str
    tcg_threads: str
    has_bios: bool
    firmware_package: str

    def hardware_cpu(self, accelerator: str, traits: Traits) -> str:
        """The ``-cpu`` value for KVM or HVF."""
        if accelerator != "hvf":
            return "host"
        if self.name == "x86_64":
            # QEMU on Intel Macs advertises two features that Apple's hypervisor then refuses
            # (lima-vm/lima issue 1485).
            return "host,-pdpe1gb,-avx512vl"
        # With "host" an M4 does not start under some of macOS 15's and QEMU's versions (QEMU issues 2665, 2721).
        return "max" if traits.sme else "host"

    def board_for(self, accelerator: str, traits: Traits) -> str:
        """The ``-machine`` value, without a version: memory saved by another QEMU is never used anyway."""
        if (self.name, accelerator) == ("aarch64", "hvf") and traits.qemu >= (11, 1, 0):
            # virt-11.1 has Apple's interrupt controller instead of QEMU's, and firmware of its time stalls on it.
            return self.board.replace("virt", "virt-11.0")
        return self.board


ARCHITECTURES = {
    "x86_64": Architecture(
        name="x86_64",
        emulator="qemu-system-x86_64",
        board="q35",
        console="ttyS0",
        # TCG of QEMU 7.2 runs cmpxchg16b wrongly: Linux 6.x double-faults in the slab allocator at random.
        # Without the feature bit the kernel takes another path. Newer versions lose nothing that we need.
        tcg_cpu="Nehalem,-cx16",
        # With a thread for each processor, one goes on running an instruction that another has patched:
        # Linux switches its static keys that way and panics at random with 7.2
        # ("Oops: int3" in get_random_u32, in sched_clock_idle_wakeup_event). Whether a later version is
        # right is not known; taking turns in one thread is right in all.
        tcg_threads="single",
        has_bios=True,
        firmware_package="ovmf",
    ),
    "aarch64": Architecture(
        name="aarch64",
        emulator="qemu-system-aarch64",
        # "max" is the one GIC version that TCG, KVM and HVF all accept.
        board="virt,gic-version=max",
        console="ttyAMA0",
        tcg_cpu="cortex-a72",
        tcg_threads="multi",
        has_bios=False,
        firmware_package="qemu-efi-aarch64",
    ),
}


def architecture(name: str) -> Architecture:
    """The row of an architecture; raises HostError("unsupported-arch") for one we have no row for."""
    try:
        return ARCHITECTURES[name]
    except KeyError:
        raise HostError(
            f"machines of the architecture {name!r} are not supported",
            code="unsupported-arch",
            hint=f"Use one of: {', '.join(ARCHITECTURES)}.",
        ) from None
