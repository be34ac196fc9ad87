"""A stand-in for a distribution's cloud image: foreign to us, started by firmware and GRUB, set up by cloud-init.

It is what a machine without a way to the real ones can test against: nothing of ``templates/guest`` is in it,
and all it learns about us comes from the seed. Needs mmdebstrap, for a BIOS grub-pc-bin and for UEFI mtools; no
loop devices, no root.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from provisioner.backends.qemu.arch import ARCHITECTURES
from provisioner.core.files import write_atomic
from provisioner.core.process import require_tool, run_tool
from provisioner.core.reporter import Reporter, SilentReporter
from provisioner.images.build import plan_build
from provisioner.images.catalogue import BuildRecipe, Packages, find_image
from provisioner.images.foreign import DEB_ARCHES, check_programs_run
from provisioner.images.hostapt import apt_option_words, read_host_apt
from provisioner.images.tree import Tree, mmdebstrap_failed, run_mmdebstrap, scratch_directory, write_filesystem
from tests.unit.http_server import Mirror
from tests.vm.disks import make_bios_disk, make_uefi_disk

LABEL = "cloud-root"
PARTITION_SIZE = 3 << 30
#: GRUB in one file, where the packages grub-efi-*-bin have it.
LOADERS = {
    "x86_64": "usr/lib/grub/x86_64-efi/monolithic/grubx64.efi",
    "aarch64": "usr/lib/grub/arm64-efi/monolithic/grubaa64.efi",
}
PACKAGES = (
    "systemd-sysv", "udev", "dbus", "openssh-server", "cloud-init", "cloud-guest-utils", "e2fsprogs", "fdisk",
    "netplan.io", "systemd-resolved", "iproute2", "ca-certificates", "kmod", "initramfs-tools", "zstd",
)  # fmt: skip
#: Without mitigations, which make an emulated guest several times slower; see ``backends/qemu/command.py``.
GRUB_CFG = f"""\
set timeout=0
linux /vmlinuz root=LABEL={LABEL} ro console=%s mitigations=off
initrd /initrd.img
boot
"""
#: On the partition that UEFI reads, as grub-install writes it: the way to the file above.
ESP_CFG = f"""\
search --label {LABEL} --set=root
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""
FSTAB = f"LABEL={LABEL} / ext4 defaults 0 1\n"


@dataclass(frozen=True)
class CloudRoot:
    """The root file system of a cloud image, and the GRUB that its packages bring for UEFI."""

    arch: str
    partition: Path
    loader: Path

    def bios_image(self, target: Path) -> Path:
        """Make ``target``, a qcow2 that a BIOS can start."""
        require_tool("grub-mkimage", "to build a test cloud image: its boot loader")
        make_bios_disk(target.with_suffix(".raw"), self.partition)
        return _pack(target)

    def uefi_image(self, target: Path) -> Path:
        """Make ``target``, a qcow2 that only UEFI can start."""
        require_tool("mformat", "to build a test cloud image: the partition that UEFI reads")
        make_uefi_disk(target.with_suffix(".raw"), self.partition, self.loader, ESP_CFG, self.arch)
        return _pack(target)


@contextmanager
def cloud_root(
    directory: Path, arch: str, extra: Sequence[str] = (), reporter: Reporter | None = None
) -> Iterator[CloudRoot]:
    """Debian 13 with cloud-init for ``arch``, in files below ``directory``; takes minutes, a foreign one tens.

    ``extra`` packages are in it as well: what an emulated guest would take minutes to unpack. Raises what
    building from packages raises, see ``images/tree.py``.
    """
    require_tool("mmdebstrap", "to build a test cloud image: its tree")
    check_programs_run(arch)
    root = CloudRoot(arch, directory / "root.partition", directory / "grub.efi")
    try:
        _fill(root, extra, reporter or SilentReporter())
        yield root
    finally:
        for path in (root.partition, root.loader):
            path.unlink(missing_ok=True)


def cloud_paths(arch: str) -> list[Path]:
    """Where servers have Debian 13's images: the pinned one and the rolling one."""
    return [Path(urlsplit(row.disk.location).path) for row in find_image("debian-13").rows_for(arch)]


def mirror_of(image: Path, arch: str) -> Mirror:
    """A server, to be started, that has ``image`` as the rolling one of Debian 13; the file itself is removed."""
    data = image.read_bytes()
    image.unlink()
    rolling = cloud_paths(arch)[-1]
    sums = f"{hashlib.sha512(data).hexdigest()}  {rolling.name}\n".encode()
    return Mirror(files={str(rolling): data, str(rolling.parent / "SHA512SUMS"): sums})


def _pack(target: Path) -> Path:
    raw = target.with_suffix(".raw")
    run_tool(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", raw, target],
        needed_for="to pack the test cloud image",
        timeout=600,
    )
    raw.unlink()
    return target


def _fill(root: CloudRoot, extra: Sequence[str], reporter: Reporter) -> None:
    with scratch_directory() as scratch, reporter.step("Building a test cloud image") as step:
        tree = Tree(scratch / "tree")
        try:
            write_atomic(scratch / "files.tar", _files(root.arch))
            status, tail = run_mmdebstrap(_mmdebstrap_argv(tree, root.arch, extra), scratch, step)
            if status != 0:
                raise mmdebstrap_failed(status, tail)
            tree.copy_out(LOADERS[root.arch], root.loader)
            write_filesystem(tree, root.partition, PARTITION_SIZE, LABEL)
        finally:
            tree.remove()


def _mmdebstrap_argv(tree: Tree, arch: str, extra: Sequence[str]) -> list[str]:
    recipe = find_image("debian-13").build
    assert recipe is not None
    deb_arch = DEB_ARCHES[arch]
    plan = plan_build(
        BuildRecipe(
            recipe.distribution, recipe.suite, (), recipe.components, recipe.keyring,
            (*PACKAGES, f"grub-efi-{deb_arch}-bin"),
        ),
        Packages(kernel=(f"linux-image-cloud-{deb_arch}",), toolchain=tuple(extra)),
        arch,
        read_host_apt(),
        authorized_key="",
        host_private="",
        host_public="",
    )  # fmt: skip
    return [
        "mmdebstrap",
        f"--mode={tree.mode}",
        "--format=directory",
        "--variant=minbase",
        f"--architectures={deb_arch}",
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


def _files(arch: str) -> bytes:
    config = GRUB_CFG % ARCHITECTURES[arch].console
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in (("boot/grub/grub.cfg", config), ("etc/fstab", FSTAB)):
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mode = len(text), 0o644
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()
