"""Downloads are whole and right, or not there."""

from __future__ import annotations

import hashlib
import random
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch
from urllib.error import URLError

import pytest

from provisioner.core.errors import HostError
from provisioner.images.catalogue import RemoteFile
from provisioner.images.disk import check_space
from provisioner.images.download import Link, download, find_digest, parse_checksums
from tests.unit.http_server import Mirror, serving
from tests.unit.recorder import Recorder

DATA = random.Random(0).randbytes(1_500_000)
SHA512 = "sha512:" + hashlib.sha512(DATA).hexdigest()
SHA256 = "sha256:" + hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving(Mirror(files={"/d/a.qcow2": DATA})) as mirror:
        yield mirror


def remote(mirror: Mirror, digest: str | None = SHA512, **more: str) -> RemoteFile:
    return RemoteFile(f"{mirror.url}/d/a.qcow2", digest, **more)


@pytest.mark.parametrize("digest", [SHA512, SHA256])
def test_a_file_arrives_with_progress_in_bytes(mirror: Mirror, tmp_path: Path, digest: str) -> None:
    recorder = Recorder()
    assert download(remote(mirror, digest), tmp_path, recorder).read_bytes() == DATA
    assert recorder.last.amounts[-1] == (len(DATA), len(DATA), "bytes")


def test_a_cut_connection_is_resumed_where_it_broke(mirror: Mirror, tmp_path: Path) -> None:
    mirror.cuts["/d/a.qcow2"] = [400_000, 300_000]
    assert download(remote(mirror), tmp_path, Recorder()).read_bytes() == DATA
    assert [wanted for _, wanted in mirror.requests] == [None, "bytes=400000-", "bytes=700000-"]


def test_a_server_without_ranges_starts_over(mirror: Mirror, tmp_path: Path) -> None:
    mirror.ranges = False
    mirror.cuts["/d/a.qcow2"] = [400_000]
    assert download(remote(mirror), tmp_path, Recorder()).read_bytes() == DATA


def test_a_later_run_goes_on_from_what_an_earlier_one_left(mirror: Mirror, tmp_path: Path) -> None:
    mirror.cuts["/d/a.qcow2"] = [400_000, 0, 0, 0]
    with pytest.raises(HostError) as caught:
        download(remote(mirror), tmp_path, Recorder())
    assert caught.value.code == "download-cut"
    mirror.requests.clear()
    assert download(remote(mirror), tmp_path, Recorder()).read_bytes() == DATA
    assert mirror.requests == [("/d/a.qcow2", "bytes=400000-")]


def test_mirrors_with_validators_of_their_own_go_on_with_a_pinned_file(mirror: Mirror, tmp_path: Path) -> None:
    mirror.cuts["/d/a.qcow2"] = [400_000, 400_000]
    mirror.new_tags = True
    assert download(remote(mirror), tmp_path, Recorder()).read_bytes() == DATA
    assert [wanted for _, wanted in mirror.requests] == [None, "bytes=400000-", "bytes=800000-"]


def test_a_certificate_that_is_not_trusted_is_said_with_its_cure(tmp_path: Path) -> None:
    reason = ssl.SSLCertVerificationError(1, "certificate verify failed")
    reason.verify_message = "self-signed certificate"
    with pytest.raises(HostError) as caught, patch.object(Link, "_opener", side_effect=URLError(reason)):
        Link().open("https://images.invalid/a", {})
    assert caught.value.code == "tls-untrusted"
    assert "images.invalid is not trusted (self-signed certificate)" in caught.value.brief
    assert "ca:" in caught.value.hint


def test_a_file_replaced_meanwhile_is_not_glued_to_the_old_part(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["/d/a.qcow2"] = b"an older one" * 100_000
    mirror.cuts["/d/a.qcow2"] = [400_000, 0, 0, 0]
    with pytest.raises(HostError):
        download(remote(mirror), tmp_path, Recorder())
    mirror.files["/d/a.qcow2"] = DATA
    assert download(remote(mirror), tmp_path, Recorder()).read_bytes() == DATA


def test_a_part_that_is_whole_already_is_only_verified(mirror: Mirror, tmp_path: Path) -> None:
    download(remote(mirror), tmp_path, Recorder())
    mirror.requests.clear()
    assert download(remote(mirror), tmp_path, Recorder()).read_bytes() == DATA
    assert mirror.requests == [("/d/a.qcow2", f"bytes={len(DATA)}-")]


def test_a_wrong_digest_throws_the_file_away(mirror: Mirror, tmp_path: Path) -> None:
    wrong = "sha512:" + 128 * "0"
    with pytest.raises(HostError) as caught:
        download(remote(mirror, wrong), tmp_path, Recorder())
    assert caught.value.code == "digest-mismatch"
    assert SHA512.partition(":")[2] in caught.value.details
    assert not list(tmp_path.glob("*.part"))


def test_gone_and_unreachable_are_different_failures(mirror: Mirror, tmp_path: Path) -> None:
    gone = RemoteFile(f"{mirror.url}/d/b.qcow2", SHA512)
    with pytest.raises(HostError, match="no longer there") as caught:
        download(gone, tmp_path, Recorder())
    assert caught.value.code == "download-404"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(HostError) as caught:
        download(RemoteFile(f"http://127.0.0.1:{port}/a", SHA512), tmp_path, Recorder())
    assert caught.value.code == "network-unreachable"


def test_a_proxy_is_asked_instead_of_the_host(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["http://images.invalid/a.qcow2"] = DATA
    file = RemoteFile("http://images.invalid/a.qcow2", SHA512)
    assert download(file, tmp_path, Recorder(), Link(proxy=mirror.url)).read_bytes() == DATA


def test_a_rolling_file_is_held_against_the_checksums_beside_it(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["/d/SHA512SUMS"] = f"{SHA512.partition(':')[2]}  a.qcow2\n".encode()
    rolling = remote(mirror, None, checksums="SHA512SUMS")
    assert download(rolling, tmp_path, Recorder()).read_bytes() == DATA
    mirror.files["/d/SHA512SUMS"] = b""
    with pytest.raises(HostError) as caught:
        find_digest(rolling, Link())
    assert caught.value.code == "no-digest"


def test_every_usual_checksum_format() -> None:
    text = f"{64 * 'a'} *ubuntu.img\n{128 * 'b'}  debian.qcow2\nSHA256 (fedora.qcow2) = {64 * 'c'}\n# other\n"
    assert parse_checksums(text) == {
        "ubuntu.img": "sha256:" + 64 * "a",
        "debian.qcow2": "sha512:" + 128 * "b",
        "fedora.qcow2": "sha256:" + 64 * "c",
    }


def test_space_is_asked_for_before(tmp_path: Path) -> None:
    check_space(tmp_path, 1, "to test")
    with pytest.raises(HostError) as caught:
        check_space(tmp_path, 1 << 60, "to test")
    assert caught.value.code == "disk-full"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_disk_that_fills_up_in_the_middle(mirror: Mirror, tmp_path: Path) -> None:
    # The real thing: the part file's name leads to a device that is always full.
    download(remote(mirror), tmp_path, Recorder())
    part = next(tmp_path.glob("*.part"))
    for path in tmp_path.iterdir():
        path.unlink()
    part.symlink_to("/dev/full")
    with pytest.raises(HostError) as caught:
        download(remote(mirror), tmp_path, Recorder())
    assert caught.value.code == "disk-full"
