"""An arm64 machine without a root file system: Debian's kernel, and an initramfs that answers on the SSH port.

Two packages are fetched with the host's apt settings and unpacked; no program of arm64 runs on the host.
"""

from __future__ import annotations

import io
import lzma
import subprocess
from dataclasses import dataclass
from pathlib import Path

from provisioner.backends.base import DirectBoot
from provisioner.core.process import run_tool
from provisioner.images.build import plan_build
from provisioner.images.catalogue import Packages, find_image
from provisioner.images.hostapt import apt_option_words, read_host_apt

NEEDED_FOR = "to fetch an arm64 kernel"
DRIVERS = ("failover", "net_failover", "virtio_net")
#: The one line that whoever connects gets; the boot id tells a machine that went on from one that booted.
BANNER = 'echo "SSH-2.0-$(uname -m) $(uname -r) $(cat /proc/sys/kernel/random/boot_id)"'
INIT = f"""\
#!/bin/busybox sh
/bin/busybox mkdir /proc /sys
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
for driver in {" ".join(DRIVERS)}; do insmod /$driver.ko; done
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
echo "types of the kernel: $(wc -c </sys/kernel/btf/vmlinux) bytes"
exec nc -ll -p 22 -e /banner
"""


@dataclass(frozen=True)
class Kernel:
    release: str
    boot: DirectBoot


def fetch_kernel(directory: Path) -> Kernel:
    """Debian 13's cloud kernel for arm64 and the initramfs, below ``directory``; seconds."""
    apt = _apt(directory / "apt")
    subprocess.run([*apt, "update"], check=True)
    (metapackage,) = (
        name for name in find_image("debian-13").packages["aarch64"].kernel if name.startswith("linux-image")
    )
    depends = run_tool(["apt-cache", *apt[1:], "depends", metapackage], needed_for=NEEDED_FOR).stdout
    image = next(line.split()[1] for line in depends.splitlines() if "Depends: linux-image-" in line)
    subprocess.run([*apt, "download", image, "busybox-static"], check=True, cwd=directory)
    for package in directory.glob("*.deb"):
        run_tool(["dpkg-deb", "-x", package, directory / "tree"], needed_for=NEEDED_FOR)
    release = image.removeprefix("linux-image-")
    initrd = directory / "initrd"
    initrd.write_bytes(_initramfs(directory / "tree", release))
    return Kernel(release, DirectBoot(directory / "tree" / "boot" / f"vmlinuz-{release}", initrd, "panic=-1"))


def _apt(root: Path) -> list[str]:
    """apt-get for arm64 in a root of its own, with the host's mirror and fetch options."""
    recipe = find_image("debian-13").build
    assert recipe is not None
    plan = plan_build(
        recipe, Packages((), ()), "aarch64", read_host_apt(), authorized_key="", host_private="", host_public=""
    )
    for name in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/lib/dpkg",
                 "var/cache/apt/archives/partial"):  # fmt: skip
        (root / name).mkdir(parents=True)
    status = root / "var/lib/dpkg/status"
    status.touch()
    (root / "etc/apt/sources.list").write_text(
        "".join(line.replace("deb ", f"deb [signed-by={plan.keyring}] ", 1) + "\n" for line in plan.sources)
    )
    config = root / "apt.conf"
    settings = (
        f'Dir "{root}";',
        f'Dir::State::status "{status}";',
        'APT::Architecture "arm64";',
        'APT::Architectures { "arm64"; };',
        # Else apt becomes a user who cannot reach a test's directory.
        'APT::Sandbox::User "root";',
        *apt_option_words(plan.options),
    )
    config.write_text("\n".join(settings) + "\n")
    return ["apt-get", "-qq", "-c", str(config)]


def _initramfs(tree: Path, release: str) -> bytes:
    modules = tree / "usr/lib/modules" / release
    files = {
        "init": INIT.encode(),
        "banner": f"#!/bin/sh\n{BANNER}\n".encode(),
        "bin/busybox": (tree / "usr/bin/busybox").read_bytes(),
    }
    for name in DRIVERS:
        (module,) = modules.rglob(f"{name}.ko.xz")
        files[f"{name}.ko"] = lzma.decompress(module.read_bytes())
    return _cpio(files)


def _cpio(files: dict[str, bytes]) -> bytes:
    """An archive in the kernel's form (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    archive = io.BytesIO()
    entries = [("bin", 0o040755, b""), *((name, 0o100755, data) for name, data in files.items())]
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        archive.write(b"070701" + b"".join(b"%08x" % field for field in fields))
        for part in (name.encode() + b"\0", data):
            archive.write(part)
            archive.write(bytes(-archive.tell() % 4))
    return archive.getvalue()
