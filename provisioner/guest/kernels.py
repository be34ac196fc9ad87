"""The kernels in a guest: which pairs it has and could have, a further one installed, a pair taken out."""

from __future__ import annotations

from pathlib import Path

from provisioner.core.errors import GuestError
from provisioner.core.reporter import Reporter
from provisioner.guest.base import HOME, Guest
from provisioner.guest.kernel_features import OPTIONS
from provisioner.guest.kernel_pairs import (
    KernelPair,
    choose_pair,
    newest_release,
    parse_configs,
    with_installed,
)
from provisioner.guest.manager import PackageManager

KERNEL, INITRD = "vmlinuz", "initrd"

# Debian's and Fedora's names. A kernel without headers or initramfs is left out: nothing can be built for it, or
# it cannot boot.
_FIND_FILES = """
for build in /lib/modules/*/build/Makefile; do
    release=${build#/lib/modules/}; release=${release%/build/Makefile}
    [ -e "/boot/vmlinuz-$release" ] || continue
    for initrd in "/boot/initrd.img-$release" "/boot/initramfs-$release.img"; do
        [ ! -e "$initrd" ] || { "$@"; break; }
    done
done
"""
_LIST = f'show() {{ echo "$release"; }}; set -- show; {_FIND_FILES}'
_LIST_CONFIGS = f"""
show() {{
    echo "release $release"
    cat "/boot/config-$release" "/lib/modules/$release/config" 2>/dev/null | grep -E "^($options)="
    return 0
}}
options=$1
set -- show
{_FIND_FILES}
"""
_INITRD = f'show() {{ [ "$release" != "$wanted" ] || echo "$initrd"; }}; wanted=$1; set -- show; {_FIND_FILES}'


#: Of arm64 some distributions compress it: Ubuntu as a whole, Fedora inside an EFI program (Linux's
#: drivers/firmware/efi/libstub/zboot-header.S). Hypervisors load it as it is: QEMU knows gzip, vz nothing at all.
UNPACK_KERNEL = r"""
set -e
file=$1 raw=$2
bytes() { tail -c +$(($1 + 1)) "$file" | head -c "$2"; }
number() { od -An -tu4 -j "$1" -N 4 "$file" | tr -d ' '; }
if [ "$(bytes 0 2 | od -An -tx1 | tr -d ' ')" = 1f8b ]; then
    gzip -dc "$file" >"$raw"
elif [ "$(bytes 4 4 | tr -d '\000')" = zimg ]; then
    kind=$(bytes 24 8 | tr -d '\000')
    case $kind in gzip | xz | zstd | lz4) ;; *) echo "a kernel packed by $kind" >&2; exit 1 ;; esac
    bytes "$(number 8)" "$(number 12)" | "$kind" -dc >"$raw"
else
    raw=$file
fi
echo "$raw"
"""


def find_kernel_pair(guest: Guest) -> str:
    """The newest release whose image and headers are both there; raises GuestError("headers-missing")."""
    releases = guest.run(["sh", "-c", _LIST]).stdout.split()
    if not releases:
        found = guest.run(["sh", "-c", "uname -r; ls -d /lib/modules/* /usr/src/* /boot/vmlinuz*"], check=False)
        raise GuestError(
            "The guest has no kernel with matching headers",
            code="headers-missing",
            details=found.stdout.strip(),
            hint="Its mirror may be in the middle of an update: try `ebpf-dev up` again in an hour.",
        )
    return newest_release(releases)


def find_pairs(guest: Guest, manager: PackageManager, backports: str, reporter: Reporter) -> list[KernelPair]:
    """What the guest's distribution offers and what the guest has, the newest first.

    ``backports`` is a suite to look into beside the guest's own ("" for none). Raises GuestError as the package
    manager does.
    """
    offered = manager.find_kernels(guest, backports, reporter)
    configs = guest.run(["sh", "-c", _LIST_CONFIGS, "configs", "|".join(OPTIONS)]).stdout
    return with_installed(offered, parse_configs(configs))


def install_pair(guest: Guest, manager: PackageManager, word: str, backports: str, reporter: Reporter) -> str:
    """Install the pair that ``word`` means (see ``choose_pair``) and return its release.

    Safe to repeat. Raises UsageError("unknown-kernel", "kernel-incomplete"), and GuestError("kernel-broken")
    when the distribution's packages did not make a kernel that can boot and be built for.
    """
    running = guest.run(["uname", "-r"]).stdout.strip()
    pair = choose_pair(word, find_pairs(guest, manager, backports, reporter), running)
    if manager.find_missing(guest, pair.packages):
        manager.install_kernel(guest, pair, reporter)
        manager.clean(guest)
    if pair.release not in guest.run(["sh", "-c", _LIST]).stdout.split():
        found = guest.run(
            ["sh", "-c", 'ls -d /boot/*"$1"* /lib/modules/"$1"/build', "ls", pair.release], check=False
        )
        raise GuestError(
            f"Linux {pair.release} was installed and is not whole",
            code="kernel-broken",
            details=f"{found.stdout}{found.stderr}".strip(),
            hint="`ebpf-dev kernels` lists others.",
        )
    return pair.release


def take_out(guest: Guest, release: str, directory: Path) -> None:
    """Copy kernel, unpacked, and initial file system of an installed pair into ``directory``, to boot directly."""
    packed, raw = f"/boot/vmlinuz-{release}", f"{HOME}/vmlinuz.raw"
    kernel = guest.run(["sh", "-c", UNPACK_KERNEL, "unpack", packed, raw], timeout=300).stdout.strip()
    initrd = guest.run(["sh", "-c", _INITRD, "initrd", release]).stdout.strip()
    for source, name in ((kernel, KERNEL), (initrd, INITRD)):
        guest.get(source, directory / name)
    if kernel == raw:
        guest.run(["rm", raw])


def check_kernel(guest: Guest, release: str) -> None:
    """Raise GuestError("kernel-differs") unless the guest runs ``release`` and has its headers."""
    words = 'uname -r; ls "/lib/modules/$(uname -r)/build/Makefile"'
    found = guest.run(["sh", "-c", words], check=False)
    if found.ok and found.stdout.split()[0] == release:
        return
    raise GuestError(
        f"The guest should run Linux {release} with its headers, and does not",
        code="kernel-differs",
        details=f"{found.stdout}{found.stderr}".strip(),
        hint="`ebpf-dev delete` and `ebpf-dev up` make a fresh instance.",
    )
