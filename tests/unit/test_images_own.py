"""Images of the user's own: by path, by address and digest, by a catalogue file; and what is installed in them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.core.config import load_settings
from provisioner.core.errors import HostError, UsageError
from provisioner.core.paths import Paths, find_paths
from provisioner.core.settings import Settings
from provisioner.guest.identity import ensure_identity
from provisioner.images.base import BaseImage
from provisioner.images.catalogue import find_image
from provisioner.images.disk import backing_file
from provisioner.images.own import image_for, image_like
from provisioner.images.sources import ensure_base
from provisioner.workflows.listing import list_images
from provisioner.workflows.provision import recipe_for
from tests.unit.http_server import Mirror, serving
from tests.unit.recorder import Recorder

DATA = b"QFI\xfb\0\0\0\3" + bytes(100_000)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return find_paths({"EBPF_DEV_HOME": str(tmp_path / "home")})


def own(text: str, paths: Paths, cwd: Path) -> tuple[Settings, BaseImage]:
    settings = load_settings(paths, cwd, {}, {"image": text, "arch": "x86_64"})
    base = ensure_base(image_for(settings.image), settings, ensure_identity(paths), paths, Recorder())
    return settings, base


def test_a_file_is_copied_and_told_apart_by_its_content(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "My Disk.qcow2").write_bytes(DATA)
    settings, base = own("./My Disk.qcow2", paths, tmp_path)
    assert settings.image == str(tmp_path / "My Disk.qcow2")
    assert base.disk.read_bytes() == DATA
    assert base.needs_seed
    assert own("./My Disk.qcow2", paths, tmp_path)[1] == base
    (tmp_path / "My Disk.qcow2").write_bytes(DATA + b"more")
    assert own("./My Disk.qcow2", paths, tmp_path)[1].key != base.key
    (found,) = [image for image in list_images(paths) if image.name == settings.image]
    assert (found.state, found.default) == ("cached", False)
    assert recipe_for(image_for(settings.image), settings) is None


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")
def test_a_disk_that_is_no_qcow2_of_its_own_becomes_one(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "raw.img").write_bytes(b"boot" + bytes(1 << 20))
    below = own("./raw.img", paths, tmp_path)[1].disk
    assert below.read_bytes()[:4] == b"QFI\xfb"
    raw = (tmp_path / "raw.img").read_bytes()
    with serving(Mirror(files={"/raw.img": raw})) as mirror:
        fetched = own(f"{mirror.url}/raw.img#sha256:{hashlib.sha256(raw).hexdigest()}", paths, tmp_path)[1]
    assert sorted(path.name for path in fetched.disk.parent.iterdir() if "qcow2" in path.name) == [
        fetched.disk.name
    ]
    assert fetched.disk.read_bytes()[:4] == b"QFI\xfb"
    top = tmp_path / "top.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F", "qcow2", top], check=True)
    assert backing_file(top) == below
    assert backing_file(own("./top.qcow2", paths, tmp_path)[1].disk) is None


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")
def test_a_file_that_is_no_disk_at_all(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "x.qcow2").write_bytes(b"QFI\xfb" + b"\xff" * 200)
    with pytest.raises(HostError) as caught:
        own("./x.qcow2", paths, tmp_path)
    assert "cannot be read as a disk image" in caught.value.details


def test_an_address_needs_its_digest(paths: Paths, tmp_path: Path) -> None:
    digest = "sha256:" + hashlib.sha256(DATA).hexdigest()
    with serving(Mirror(files={"/a.qcow2": DATA})) as mirror:
        assert own(f"{mirror.url}/a.qcow2#{digest}", paths, tmp_path)[1].disk.read_bytes() == DATA
        with pytest.raises(HostError):
            own(f"{mirror.url}/a.qcow2#sha256:{64 * '0'}", paths, tmp_path)
        with pytest.raises(UsageError) as caught:
            own(f"{mirror.url}/a.qcow2", paths, tmp_path)
    assert "#sha256" in caught.value.hint


def test_a_catalogue_file_of_their_own(paths: Paths, tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "vm-images/fedora-44.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("name: fedora-44", "name: mine"))
    settings = load_settings(paths, tmp_path, {}, {"image": "./mine.yaml", "arch": "aarch64"})
    recipe = recipe_for(image_for(settings.image), settings)
    assert recipe is not None
    assert (recipe.manager, recipe.kernel[0]) == ("dnf", "kernel-core")
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    with pytest.raises(UsageError) as caught:
        image_for(settings.image)
    assert "mine.yaml: title: is missing" in caught.value.details


def test_what_is_no_image_at_all(paths: Paths, tmp_path: Path) -> None:
    for text in ("./none.qcow2", "a b", "./"):
        with pytest.raises(UsageError) as caught:
            load_settings(paths, tmp_path, {}, {"image": text})
        assert caught.value.code == "bad-config"
    with pytest.raises(UsageError):
        image_for(str(tmp_path / "gone.qcow2"))


def test_a_relative_path_starts_where_it_was_written(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "project" / "deep").mkdir(parents=True)
    (tmp_path / "project" / "d.qcow2").write_bytes(DATA)
    (tmp_path / "project" / "ebpf-dev.yaml").write_text("image: ./d.qcow2\n")
    settings = load_settings(paths, tmp_path / "project" / "deep", {}, {})
    assert settings.image == str(tmp_path / "project" / "d.qcow2")


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ({"ID": "debian", "VERSION_ID": "12"}, "debian-12"),
        ({"ID": "ubuntu", "VERSION_ID": "24.04"}, "ubuntu-24.04"),
        ({"ID": "debian", "VERSION_ID": "14"}, "debian-13"),
        ({"ID": "fedora", "VERSION_ID": "45"}, "fedora-44"),
    ],
)
def test_what_a_guest_gets_its_os_release_decides(release: dict[str, str], name: str) -> None:
    assert image_like(release) == find_image(name)


def test_a_distribution_that_nobody_knows() -> None:
    with pytest.raises(UsageError) as caught:
        image_like({"ID": "haiku", "PRETTY_NAME": "Haiku R1"})
    assert caught.value.code == "unknown-distribution"


def test_an_image_that_is_not_described_for_this_processor() -> None:
    image = find_image("debian-13")
    with pytest.raises(UsageError) as caught:
        recipe_for(replace(image, packages={"aarch64": image.packages["aarch64"]}), Settings(arch="x86_64"))
    assert caught.value.code == "unknown-arch"
