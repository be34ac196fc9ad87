"""A foreign cloud image over HTTP: bad files, cut connections, firmware, cloud-init, provisioning."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from provisioner.images.catalogue import find_image
from tests.unit.http_server import Mirror, serving
from tests.vm.cloud_image import build_cloud_image
from tests.vm.conftest import BOOT, FIRST_UP, Cli, kill_group, machines_of, read_until

#: The compilers, which are most of what provisioning unpacks: in the image that every run of the tests uses.
COMPILERS = ("clang", "llvm", "gcc", "libc6-dev", "make")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(COMPILERS, id="compilers-in-it"),
        pytest.param((), id="bare", marks=pytest.mark.nightly),
    ],
)
def mirror(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """Serves rubbish for the pinned image, and for the rolling one ours, which is cut off twice."""
    image = build_cloud_image(tmp_path_factory.mktemp("cloud") / "image.qcow2", request.param)
    data = image.read_bytes()
    image.unlink()
    pinned, rolling = (
        Path(urlsplit(row.disk.location).path) for row in find_image("debian-13").rows_for("x86_64")
    )
    sums = f"{hashlib.sha512(data).hexdigest()}  {rolling.name}\n".encode()
    files = {str(pinned): b"not the image" * 1000, str(rolling): data, str(rolling.parent / "SHA512SUMS"): sums}
    with serving(Mirror(files=files, cuts={str(rolling): [len(data) // 3, len(data) // 3]})) as mirror:
        yield mirror


@pytest.fixture
def cloud(cli: Cli, mirror: Mirror) -> Iterator[Cli]:
    cloud = Cli(cli.home, (("EBPF_DEV_IMAGE_MIRROR", mirror.url),))
    yield cloud
    cloud("delete", "cloud", timeout=BOOT, check=False)


def test_a_cloud_image_becomes_an_instance_though_up_is_killed(cloud: Cli, mirror: Mirror) -> None:
    first = cloud.start("up", "cloud")
    said = read_until(first, "Installing headers and toolchain", FIRST_UP)
    assert "is not the file it should be" in said
    ranges = [wanted for path, wanted in mirror.requests if path.endswith("-daily.qcow2")]
    assert len(ranges) == 3
    assert all(wanted and wanted.startswith("bytes=") for wanted in ranges[1:])
    time.sleep(20)  # somewhere in the middle of downloading or unpacking
    kill_group(first)
    assert any("golden-" in Path(f"/proc/{pid}/cmdline").read_text() for pid in machines_of(cloud.home))

    result = cloud("up", "cloud", timeout=FIRST_UP)
    assert "Downloading" not in result.stderr
    release = cloud.guest("uname", "-r", instance="cloud").strip()
    assert cloud.guest("ls", f"/lib/modules/{release}/build/Makefile", instance="cloud")
    assert cloud.state("cloud")["kernel"] == release
    assert cloud.guest("cloud-init", "status", instance="cloud", check=False).strip() == "status: disabled"
    report = cloud.json("run", "hello", "-i", "cloud", "--for", "6", "--json", timeout=BOOT)
    assert report["ok"], report
    assert report["output"]["printk"]
