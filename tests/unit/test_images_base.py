"""Base disks: whole or not there; every source asked in turn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.backends.base import DirectBoot, FirmwareBoot
from provisioner.core.errors import HostError
from provisioner.core.paths import Paths, find_paths
from provisioner.core.settings import Settings
from provisioner.guest.identity import Identity, ensure_identity
from provisioner.images.base import complete, drafted, find_base
from provisioner.images.catalogue import CloudRow, Image, RemoteFile, find_image
from provisioner.images.golden import foreign_cmdline
from provisioner.images.seed import seed_files
from provisioner.images.sources import ensure_base
from tests.unit.http_server import Mirror, serving
from tests.unit.recorder import Recorder

DATA = b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(100_000)
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()
PINNED, ROLLING = "/pinned/a.qcow2", "/latest/a.qcow2"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return find_paths({"EBPF_DEV_HOME": str(tmp_path / "home")})


@pytest.fixture
def identity(paths: Paths) -> Identity:
    return ensure_identity(paths)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    sums = f"{DIGEST.partition(':')[2]}  a.qcow2\n".encode()
    with serving(Mirror(files={PINNED: DATA, ROLLING: DATA, "/latest/SHA256SUMS": sums})) as mirror:
        yield mirror


def image(digest: str = DIGEST) -> Image:
    """An image that can be had from the mirror only; its locations are moved there by ``image_mirror``."""
    rows = (
        CloudRow("x86_64", RemoteFile(f"https://images.invalid{PINNED}", digest)),
        CloudRow("x86_64", RemoteFile(f"https://images.invalid{ROLLING}", checksums="SHA256SUMS")),
    )
    return replace(find_image("debian-13"), rows=rows, build=None)


def settings(mirror: Mirror) -> Settings:
    return Settings(arch="x86_64", image_mirror=mirror.url)


def test_a_cloud_image_arrives_once(mirror: Mirror, paths: Paths, identity: Identity) -> None:
    base = ensure_base(image(), settings(mirror), identity, paths, Recorder())
    assert base.disk.read_bytes() == DATA
    assert isinstance(base.boot, FirmwareBoot)
    assert base.needs_seed
    assert base.seed is not None and base.seed.exists()
    mirror.requests.clear()
    assert ensure_base(image(), settings(mirror), identity, paths, Recorder()) == base
    assert mirror.requests == []
    assert not list(paths.downloads.glob("*.part"))


def test_a_404_falls_to_the_next_source_with_one_line(mirror: Mirror, paths: Paths, identity: Identity) -> None:
    del mirror.files[PINNED]
    recorder = Recorder()
    base = ensure_base(image(), settings(mirror), identity, paths, recorder)
    assert base.source.endswith(ROLLING)
    assert len(recorder.notes) == 1
    assert "no longer there" in recorder.notes[0]


def test_a_wrong_digest_is_a_warning(mirror: Mirror, paths: Paths, identity: Identity) -> None:
    recorder = Recorder()
    ensure_base(image("sha256:" + 64 * "0"), settings(mirror), identity, paths, recorder)
    assert len(recorder.warnings) == 1


def test_when_nothing_works_every_reason_is_told(mirror: Mirror, paths: Paths, identity: Identity) -> None:
    mirror.files.clear()
    with pytest.raises(HostError) as caught:
        ensure_base(image(), settings(mirror), identity, paths, Recorder())
    assert caught.value.code == "no-image"
    assert len(caught.value.details.splitlines()) == 2
    assert not list(paths.images.glob("*"))


@pytest.mark.parametrize("damage", ["disk", "meta", "nothing of it left"])
def test_a_damaged_base_is_made_anew(mirror: Mirror, paths: Paths, identity: Identity, damage: str) -> None:
    base = ensure_base(image(), settings(mirror), identity, paths, Recorder())
    if damage == "disk":
        base.disk.chmod(0o600)
        base.disk.write_bytes(b"short")
    elif damage == "meta":
        (base.disk.parent / "meta.json").write_text("{")
    else:
        for path in base.disk.parent.iterdir():
            path.unlink()
    assert ensure_base(image(), settings(mirror), identity, paths, Recorder()).disk.read_bytes() == DATA


def test_what_a_killed_process_left_is_swept(mirror: Mirror, paths: Paths, identity: Identity) -> None:
    base = ensure_base(image(), settings(mirror), identity, paths, Recorder())
    partial = base.disk.parent.with_name(base.key + ".partial")
    base.disk.parent.rename(partial)
    (partial / "meta.json").unlink()
    ensure_base(image(), settings(mirror), identity, paths, Recorder())
    assert not partial.exists()


def test_a_draft_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), drafted(tmp_path / "key") as draft:
        draft.disk.write_bytes(DATA)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_completed_draft_knows_how_to_boot(tmp_path: Path) -> None:
    with drafted(tmp_path / "key") as draft:
        for path in (draft.disk, draft.kernel, draft.initrd):
            path.write_bytes(DATA)
        draft.source, draft.release, draft.cmdline = "packages", "6.12", "root=/dev/vda"
        complete(draft, tmp_path / "key")
    base = find_base(tmp_path / "key")
    assert base is not None
    assert base.boot == DirectBoot(tmp_path / "key/vmlinuz", tmp_path / "key/initrd", "root=/dev/vda")
    assert (base.release, base.needs_seed, base.key) == ("6.12", False, "key")
    assert base.disk.stat().st_mode & 0o222 == 0


def test_the_seed_pins_our_keys_and_asks_for_nothing_else(identity: Identity) -> None:
    import yaml

    files = seed_files(identity)
    data = yaml.safe_load(files["user-data"])
    assert files["user-data"].startswith(b"#cloud-config\n")
    assert data["ssh_keys"]["ed25519_private"] == identity.host_private
    assert data["ssh_keys"]["ed25519_public"] == identity.host_public
    assert data["users"] == []
    assert data["ssh_authorized_keys"] == [identity.client_public]
    assert (data["disable_root"], data["ssh_pwauth"], data["package_update"]) == (False, False, False)
    assert yaml.safe_load(files["meta-data"])["instance-id"].startswith("ebpf-dev-")
    network = yaml.safe_load(files["network-config"])
    assert network["ethernets"]["primary"]["match"] == {"driver": "virtio_net"}


def test_the_seed_is_a_volume_that_cloud_init_finds(paths: Paths, identity: Identity, tmp_path: Path) -> None:
    import pycdlib

    from provisioner.images.seed import make_seed

    iso = pycdlib.PyCdlib()
    iso.open(str(make_seed(tmp_path / "seed.iso", identity)))
    assert iso.pvd.volume_identifier.strip() == b"cidata"
    names = [child.file_identifier().decode("utf-16-be") for child in iso.list_children(joliet_path="/")]
    iso.close()
    assert {"user-data", "meta-data", "network-config"} <= set(names)
    assert (tmp_path / "seed.iso").stat().st_mode & 0o077 == 0


def test_a_foreign_kernel_is_told_to_call_lsm_programs() -> None:
    words = dict(word.partition("=")[::2] for word in foreign_cmdline("/dev/vda1").split())
    assert words["root"] == "/dev/vda1"
    assert "bpf" in words["lsm"].split(",")
