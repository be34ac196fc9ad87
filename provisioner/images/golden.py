"""Goldens on disk: provisioned, read-only disks that instances stand on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from provisioner.backends.base import DirectBoot
from provisioner.core.errors import InstanceError
from provisioner.core.paths import Paths

SCHEMA = 1
META = "golden.json"
#: What reading a golden raises that is missing, torn or of another time.
DAMAGED = (OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class Golden:
    """A provisioned, read-only disk and how to boot it.

    ``release`` is the kernel's that it boots, ``image_release`` the one's that its image brought,
    ``like`` the catalogue's entry whose packages it has.
    """

    key: str
    directory: Path
    release: str
    kernel: Path
    initrd: Path
    cmdline: str
    network_digest: str
    image_release: str
    like: str

    @property
    def disk(self) -> Path:
        return self.directory / "disk.qcow2"

    @property
    def boot(self) -> DirectBoot:
        return DirectBoot(self.kernel, self.initrd, self.cmdline)


#: What distributions switch on by themselves (Ubuntu 24.04, Debian 13), and bpf.
SECURITY_MODULES = "lockdown,yama,integrity,apparmor,landlock,bpf"


def foreign_cmdline(root: str, subvolume: str = "") -> str:
    """The command line for the kernel of a cloud image, once it is booted without its boot loader.

    Its network configuration was written for the names that its first boot gave the interfaces, so they
    stay. ``panic=-1`` with QEMU's -no-reboot turns a panic into an exit that is noticed at once. Ubuntu leaves
    bpf out of its security modules, and LSM programs would never be called; names that a kernel does not have
    are passed over. Fedora's root is a ``subvolume`` of a btrfs; its SELinux stays off, being left out here too.
    """
    flags = f" rootflags=subvol={subvolume}" if subvolume else ""
    return f"root={root}{flags} ro loglevel=4 systemd.show_status=true panic=-1 lsm={SECURITY_MODULES}"


def golden_key(*inputs: str) -> str:
    """A digest of everything that went into a golden, so that a change of any makes another."""
    text = "\n".join((str(SCHEMA), *inputs))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_golden(paths: Paths, key: str) -> Golden:
    """The golden named by an instance's record; raises InstanceError("golden-missing")."""
    try:
        return read_golden(paths.goldens / key)
    except DAMAGED as exc:
        raise InstanceError(
            f"The provisioned disk {key} that the instance stands on is gone or damaged",
            code="golden-missing",
            details=str(exc),
            hint="`ebpf-dev delete` removes the instance; `ebpf-dev up` provisions a new one.",
        ) from exc


def read_golden(directory: Path) -> Golden:
    """The golden kept in ``directory``; raises one of ``DAMAGED`` when it is missing or not whole."""
    meta = json.loads((directory / META).read_bytes())
    if meta["schema"] != SCHEMA:
        raise ValueError(f"schema {meta['schema']}, expected {SCHEMA}")
    golden = Golden(
        key=directory.name,
        directory=directory,
        release=meta["release"],
        kernel=Path(meta["kernel"]),
        initrd=Path(meta["initrd"]),
        cmdline=meta["cmdline"],
        network_digest=meta["network_digest"],
        image_release=meta.get("image_release", meta["release"]),
        like=meta.get("like") or meta["image"],
    )
    if golden.disk.stat().st_size != meta["disk_size"]:
        raise ValueError(f"{golden.disk} has changed its size")
    for path in (golden.kernel, golden.initrd, Path(meta["base_disk"])):
        path.stat()
    return golden
