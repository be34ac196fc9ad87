"""A stand-in for a distribution's cloud image: foreign to us, started by firmware and GRUB, set up by cloud-init.

It is what a machine without a way to the real ones can test against: nothing of ``templates/guest`` is in it,
and all it learns about us comes from the seed. Needs mmdebstrap and grub-pc-bin; no loop devices, no root.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from provisioner.core.files import write_atomic
from provisioner.core.process import require_tool, run_tool
from provisioner.core.reporter import Reporter, SilentReporter
from provisioner.images.build import plan_build
from provisioner.images.catalogue import BuildRecipe, Packages, find_image
from provisioner.images.hostapt import apt_option_words, read_host_apt
from provisioner.images.tree import Tree, mmdebstrap_failed, run_mmdebstrap, scratch_directory, write_filesystem

LABEL = "cloud-root"
SECTOR = 512
#: Where every partitioning tool starts the first partition; GRUB's core lies in the gap before it.
FIRST_SECTOR = 2048
PARTITION_SIZE = 3 << 30
GRUB_DIR = Path("/usr/lib/grub/i386-pc")
_LINUX, _ACTIVE = 0x83, 0x80

PACKAGES = (
    "systemd-sysv", "udev", "dbus", "openssh-server", "cloud-init", "cloud-guest-utils", "e2fsprogs", "fdisk",
    "netplan.io", "systemd-resolved", "iproute2", "ca-certificates", "kmod", "initramfs-tools", "zstd",
)  # fmt: skip
GRUB_CFG = f"""\
set timeout=0
linux /vmlinuz root=LABEL={LABEL} ro console=ttyS0
initrd /initrd.img
boot
"""
FSTAB = f"LABEL={LABEL} / ext4 defaults 0 1\n"


def build_cloud_image(target: Path, extra: Sequence[str] = (), reporter: Reporter | None = None) -> Path:
    """Make ``target``, a qcow2 of Debian 13 that a BIOS can start; takes a minute or two.

    ``extra`` packages are in it as well: what an emulated guest would take minutes to unpack. Raises what
    building from packages raises, see ``images/tree.py``.
    """
    for tool, purpose in (("mmdebstrap", "its tree"), ("grub-mkimage", "its boot loader")):
        require_tool(tool, f"to build a test cloud image: {purpose}")
    raw = target.with_suffix(".raw")
    partition = target.with_suffix(".partition")
    try:
        _make_partition(partition, extra, reporter or SilentReporter())
        _make_disk(raw, partition, _grub_core(target.with_suffix(".core")))
        run_tool(
            ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, target],
            needed_for="to pack the test cloud image",
            timeout=600,
        )
    finally:
        for path in (raw, partition, target.with_suffix(".core")):
            path.unlink(missing_ok=True)
    return target


def _make_partition(partition: Path, extra: Sequence[str], reporter: Reporter) -> None:
    with scratch_directory() as scratch, reporter.step("Building a test cloud image") as step:
        tree = Tree(scratch / "tree")
        try:
            write_atomic(scratch / "files.tar", _files())
            status, tail = run_mmdebstrap(_mmdebstrap_argv(tree, extra), scratch, step)
            if status != 0:
                raise mmdebstrap_failed(status, tail)
            write_filesystem(tree, partition, PARTITION_SIZE, LABEL)
        finally:
            tree.remove()


def _mmdebstrap_argv(tree: Tree, extra: Sequence[str]) -> list[str]:
    recipe = find_image("debian-13").build
    assert recipe is not None
    plan = plan_build(
        BuildRecipe(recipe.distribution, recipe.suite, (), recipe.components, recipe.keyring, PACKAGES),
        Packages(kernel=("linux-image-cloud-amd64",), toolchain=tuple(extra)),
        "x86_64",
        read_host_apt(),
        authorized_key="",
        host_private="",
        host_public="",
    )
    return [
        "mmdebstrap",
        f"--mode={tree.mode}",
        "--format=directory",
        "--variant=minbase",
        f"--include={','.join(plan.packages)}",
        f"--keyring={plan.keyring}",
        *(f"--aptopt={line}" for line in apt_option_words(plan.options)),
        "--customize-hook=tar-in files.tar /",
        # As on the real ones: no host keys and no network configuration until cloud-init brings them.
        '--customize-hook=rm -f "$1"/etc/ssh/ssh_host_*',
        '--customize-hook=chroot "$1" systemctl enable systemd-networkd.service systemd-resolved.service',
        '--customize-hook=ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"',
        plan.suite,
        str(tree.path),
        *plan.sources,
    ]


def _files() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in (("boot/grub/grub.cfg", GRUB_CFG), ("etc/fstab", FSTAB)):
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mode = len(text), 0o644
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def _grub_core(path: Path) -> bytes:
    """GRUB with the few modules that lead it to its configuration."""
    modules = ["biosdisk", "part_msdos", "ext2", "linux", "normal", "boot", "configfile"]
    subprocess.run(
        ["grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", path, *modules],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path.read_bytes()


def _make_disk(raw: Path, partition: Path, core: bytes) -> None:
    if len(core) > (FIRST_SECTOR - 1) * SECTOR:
        raise ValueError(f"GRUB's core has {len(core)} bytes and does not fit before the partition")
    with raw.open("wb") as disk:
        disk.write(_master_boot_record())
        # boot.img looks for the core in the sector after its own, and the core for its rest in the next.
        disk.write(core)
    os.truncate(raw, FIRST_SECTOR * SECTOR + PARTITION_SIZE)
    subprocess.run(
        [
            "dd", f"if={partition}", f"of={raw}", "bs=1M", f"seek={FIRST_SECTOR * SECTOR >> 20}",
            "conv=sparse,notrunc", "status=none",
        ],
        check=True,
    )  # fmt: skip


def _master_boot_record() -> bytes:
    """GRUB's first sector with a partition table of one Linux partition (UEFI specification, 5.2.1)."""
    code = (GRUB_DIR / "boot.img").read_bytes()[:440]
    entry = struct.pack(
        "<B3sB3sII",
        _ACTIVE, b"\xfe\xff\xff", _LINUX, b"\xfe\xff\xff", FIRST_SECTOR, PARTITION_SIZE // SECTOR,
    )  # fmt: skip
    return code.ljust(446, b"\0") + entry + bytes(3 * 16) + b"\x55\xaa"
