"""A foreign cloud image over HTTP: bad files, cut connections, firmware, cloud-init, provisioning."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.backends.base import FirmwareBoot, Machine
from provisioner.backends.qemu.backend import QemuBackend
from provisioner.bpf.examples import find_missing, load_examples
from provisioner.core.host import ARCHES
from provisioner.core.paths import find_paths
from provisioner.core.reporter import SilentReporter
from provisioner.guest.identity import ensure_identity
from provisioner.images.catalogue import find_image
from provisioner.images.seed import make_seed
from tests.unit.http_server import Mirror, serving
from tests.vm.cloud_image import CloudRoot, cloud_paths, cloud_root, mirror_of
from tests.vm.conftest import BOOT, FIRST_UP, Cli, empty_home, kill_group, machines_of, read_until
from tests.vm.foreign import programs_of

#: Seconds for a first `up` whose image is built through emulation, and provisioned in an emulated guest.
NIGHT = 7200.0

#: What every run of the tests leaves to apt in the guest: unpacking compilers and headers takes it many minutes.
LEFT_TO_APT = frozenset({"bpftool", "linux-image-cloud-amd64"})
PACKAGES = find_image("debian-13").packages["x86_64"]
TOOLCHAIN = tuple(name for name in (*PACKAGES.kernel, *PACKAGES.toolchain) if name not in LEFT_TO_APT)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(TOOLCHAIN, id="toolchain-in-it"),
        pytest.param((), id="bare", marks=pytest.mark.nightly),
    ],
)
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudRoot]:
    with cloud_root(tmp_path_factory.mktemp("root"), "x86_64", request.param) as root:
        yield root


@pytest.fixture
def mirror(root: CloudRoot, tmp_path: Path) -> Iterator[Mirror]:
    """Serves rubbish for the pinned image, and for the rolling one ours, which is cut off twice."""
    mirror = mirror_of(root.bios_image(tmp_path / "image.qcow2"), root.arch)
    pinned, rolling = cloud_paths(root.arch)
    mirror.files[str(pinned)] = b"not the image" * 1000
    mirror.cuts[str(rolling)] = [len(mirror.files[str(rolling)]) // 3] * 2
    with serving(mirror):
        yield mirror


@pytest.fixture
def cloud(mirror: Mirror) -> Iterator[Cli]:
    """Where no image is there yet: one that other tests have built would be taken."""
    with empty_home(("EBPF_DEV_IMAGE_MIRROR", mirror.url)) as cloud:
        yield cloud


def test_a_cloud_image_becomes_an_instance_though_up_is_killed(cloud: Cli, mirror: Mirror) -> None:
    first = cloud.start("up", "cloud")
    said = read_until(first, "Installing headers and toolchain", FIRST_UP)
    assert "is not the file it should be" in said
    ranges = [wanted for path, wanted in mirror.requests if path.endswith("-daily.qcow2")]
    assert len(ranges) == 3
    assert all(wanted and wanted.startswith("bytes=") for wanted in ranges[1:])
    time.sleep(10)  # somewhere in the middle of downloading or unpacking
    kill_group(first)
    assert any("golden-" in Path(f"/proc/{pid}/cmdline").read_text() for pid in machines_of(cloud.home))

    result = cloud("up", "cloud", "--cold", timeout=FIRST_UP)  # a template is made in other tests
    assert "Downloading" not in result.stderr
    release = cloud.guest("uname", "-r", instance="cloud").strip()
    assert cloud.guest("ls", f"/lib/modules/{release}/build/Makefile", instance="cloud")
    assert cloud.state("cloud")["kernel"] == release
    assert cloud.guest("cloud-init", "status", instance="cloud", check=False).strip() == "status: disabled"
    report = cloud.json("run", "hello", "-i", "cloud", "--for", "6", "--json", timeout=BOOT)
    assert report["ok"], report
    assert report["output"]["printk"]


@pytest.mark.nightly
def test_uefi_starts_what_no_bios_can(root: CloudRoot, cli: Cli, tmp_path: Path) -> None:
    paths = find_paths(cli.env)
    machine = Machine(
        name="uefi", directory=tmp_path / "uefi", sockets=paths.runtime, arch=root.arch, cpus=2, memory=1 << 30,
        disk_size=4 << 30, base_disk=root.uefi_image(tmp_path / "image.qcow2"), boot=FirmwareBoot(),
        seed=make_seed(tmp_path / "seed.iso", ensure_identity(paths)),
    )  # fmt: skip
    backend = QemuBackend(paths.host_facts)
    try:
        backend.create(machine)
        backend.start(machine, SilentReporter(), FIRST_UP)
        console = machine.console_log.read_text(errors="replace")
        assert "BdsDxe: starting" in console
        assert "efi: EFI v2" in console
    finally:
        backend.delete(machine)


@pytest.mark.nightly
@pytest.mark.parametrize("arch", ARCHES)
def test_an_image_for_uefi_becomes_an_instance(arch: str, tmp_path: Path) -> None:
    with programs_of(arch), cloud_root(tmp_path, arch) as root:
        mirror = mirror_of(root.uefi_image(tmp_path / "image.qcow2"), arch)
    name = f"uefi-{arch}"
    with serving(mirror), empty_home(("EBPF_DEV_IMAGE_MIRROR", mirror.url)) as uefi:
        uefi("up", name, "--arch", arch, timeout=NIGHT)
        check_guest(uefi, name, arch)


@pytest.mark.nightly
def test_an_arm64_image_of_packages_becomes_an_instance(cli: Cli) -> None:
    try:
        with programs_of("aarch64"):
            cli("up", "arm", "--arch", "aarch64", timeout=NIGHT)
        check_guest(cli, "arm", "aarch64")
    finally:
        cli("delete", "arm", timeout=BOOT, check=False)


def check_guest(cli: Cli, name: str, arch: str) -> None:
    """Three examples run in it, also after it was saved and went on, and its kernel is the one of its headers."""
    assert cli.guest("uname", "-m", instance=name).strip() == arch
    release = cli.guest("uname", "-r", instance=name).strip()
    assert cli.guest("ls", f"/lib/modules/{release}/build/Makefile", instance=name)
    boot_id = cli.guest("cat", "/proc/sys/kernel/random/boot_id", instance=name)
    check_example(cli, name, "hello")
    assert cli("down", name, timeout=BOOT).stdout.strip().endswith("its memory is saved.")
    cli("up", name, timeout=BOOT)
    assert cli.guest("cat", "/proc/sys/kernel/random/boot_id", instance=name) == boot_id
    for example in ("execsnoop", "xdp-counter"):
        check_example(cli, name, example)


def check_example(cli: Cli, name: str, title: str) -> None:
    example = load_examples()[title]
    report = cli.json(
        "run", title, "-i", name, "--for", f"{example.seconds * 2:g}", "--json", timeout=BOOT, check=False
    )
    assert report["ok"], report
    assert not find_missing(example, report), report
