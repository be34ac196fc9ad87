"""Whether this process can run a virtual machine with KVM: found out by running a tiny one.

Numbers and structures are those of Linux's ``<linux/kvm.h>`` and ``<asm/kvm.h>``, a stable interface.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_API_VERSION = 12

_GET_API_VERSION = 0xAE00
_CREATE_VM = 0xAE01
_CHECK_EXTENSION = 0xAE03
_CAP_ARM_VM_IPA_SIZE = 165
_GET_VCPU_MMAP_SIZE = 0xAE04
_CREATE_VCPU = 0xAE41
_SET_USER_MEMORY_REGION = 0x4020AE46
_RUN = 0xAE80
_SET_REGS = 0x4090AE82
_GET_SREGS = 0x8138AE83
_SET_SREGS = 0x4138AE84

_SREGS_SIZE = 312
_EXIT_REASON_OFFSET = 8  # in struct kvm_run
_EXIT_IO, _EXIT_HLT = 2, 5

#: mov $42,%al; out %al,$0x10; hlt
_PROGRAM = bytes([0xB0, 42, 0xE6, 0x10, 0xF4])
_LOAD_ADDRESS = 0x1000
_PAGE = 4096

#: Seconds after which a probe that takes a millisecond counts as hung.
_PROBE_TIMEOUT = 3.0


@dataclass(frozen=True)
class Problem:
    """Why an accelerator is of no use here, and what would change that ("" when nothing would)."""

    reason: str
    cure: str = ""


def find_kvm_problem(arch: str, device: Path = Path("/dev/kvm")) -> Problem | None:
    """What keeps KVM from running a small program, or None when it ran.

    Takes about 3 ms. That it ran does not prove that Linux boots: nested and paravirtual setups exist that
    pass here and fail there, which is why the boot is watched as well.
    """
    found: list[Problem | None] = []
    # In a thread, for a broken hypervisor may never return from KVM_RUN.
    thread = threading.Thread(target=lambda: found.append(_try(arch, device)), daemon=True)
    thread.start()
    thread.join(_PROBE_TIMEOUT)
    return found[0] if found else Problem("it hangs when it is asked to run a program")


def _try(arch: str, device: Path) -> Problem | None:
    try:
        kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as exc:
        return _explain_open(exc, device)
    with _closing(kvm):
        try:
            return _run_machine(kvm, arch)
        except OSError as exc:
            return _explain_use(exc, device)


def _explain_open(exc: OSError, device: Path) -> Problem:
    if exc.errno == errno.ENOENT:
        return Problem(
            f"{device} does not exist", _MISSING_CURE
        )  # fmt: skip
    if exc.errno in (errno.EACCES, errno.EPERM):
        return Problem(
            f"you may not open {device}", "Run `sudo usermod -aG kvm $USER` and log in again."
        )  # fmt: skip
    return Problem(f"{device} cannot be opened: {exc.strerror}", _FIRMWARE_CURE)


def _explain_use(exc: OSError, device: Path) -> Problem:
    if exc.errno == errno.EBUSY:
        return Problem(
            "another hypervisor holds the processor's virtualisation", "Stop it (VirtualBox, VMware, ...)."
        )  # fmt: skip
    return Problem(f"{device} opens but cannot run a machine: {exc.strerror}", _FIRMWARE_CURE)


_MISSING_CURE = (
    "Enable virtualisation in the firmware setup, or nested virtualisation when this is a VM itself; "
    "then `modprobe kvm_intel` or `modprobe kvm_amd`."
)
_FIRMWARE_CURE = "See whether virtualisation is enabled in the firmware setup, or nested virtualisation in a VM."
#: The cures that mean a machine's own firmware.
FIRMWARE_CURES = frozenset({_MISSING_CURE, _FIRMWARE_CURE})


def _run_machine(kvm: int, arch: str) -> Problem | None:
    version = fcntl.ioctl(kvm, _GET_API_VERSION, 0)
    if version != _API_VERSION:
        return Problem(f"its interface has version {version} instead of {_API_VERSION}")
    # Without a size arm64's KVM takes 40 bits for guests' addresses, which a processor may not have (M1: 36).
    size = 0 if arch == "x86_64" else fcntl.ioctl(kvm, _CHECK_EXTENSION, _CAP_ARM_VM_IPA_SIZE)
    with _closing(fcntl.ioctl(kvm, _CREATE_VM, size)) as machine:
        if arch != "x86_64":
            # The program and the registers above are x86's; elsewhere a machine with a processor must do.
            os.close(fcntl.ioctl(machine, _CREATE_VCPU, 0))
            return None
        exits = _run_program(kvm, machine)
    if exits != [_EXIT_IO, _EXIT_HLT]:
        return Problem(f"it runs a five-byte program wrongly (exits {exits})", _FIRMWARE_CURE)
    return None


def _run_program(kvm: int, machine: int) -> list[int]:
    memory = mmap.mmap(-1, _PAGE)
    memory[: len(_PROGRAM)] = _PROGRAM
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    region = struct.pack("=IIQQQ", 0, 0, _LOAD_ADDRESS, _PAGE, address)
    fcntl.ioctl(machine, _SET_USER_MEMORY_REGION, region)
    with _closing(fcntl.ioctl(machine, _CREATE_VCPU, 0)) as vcpu:
        size = fcntl.ioctl(kvm, _GET_VCPU_MMAP_SIZE, 0)
        with mmap.mmap(vcpu, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as run:
            _set_registers(vcpu)
            return [_run_until_exit(vcpu, run) for _ in (_EXIT_IO, _EXIT_HLT)]


def _set_registers(vcpu: int) -> None:
    sregs = bytearray(_SREGS_SIZE)
    fcntl.ioctl(vcpu, _GET_SREGS, sregs)
    struct.pack_into("=Q", sregs, 0, 0)  # cs.base: after a reset it points to the BIOS
    struct.pack_into("=H", sregs, 12, 0)  # cs.selector
    fcntl.ioctl(vcpu, _SET_SREGS, bytes(sregs))
    registers = [0] * 18
    registers[16] = _LOAD_ADDRESS  # rip
    registers[17] = 2  # rflags: bit 1 is always set
    fcntl.ioctl(vcpu, _SET_REGS, struct.pack("=18Q", *registers))


def _run_until_exit(vcpu: int, run: mmap.mmap) -> int:
    fcntl.ioctl(vcpu, _RUN, 0)
    return int(struct.unpack_from("=I", run, _EXIT_REASON_OFFSET)[0])


@contextmanager
def _closing(handle: int, close: Callable[[int], None] = os.close) -> Iterator[int]:
    try:
        yield handle
    finally:
        close(handle)
