"""The catalogue is right, and a wrong one is told in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provisioner.core.errors import InstanceError, UsageError
from provisioner.core.host import ARCHES
from provisioner.images.catalogue import default_image, find_image, is_digest, load_catalogue, parse_image
from provisioner.images.schema import Mistakes

GOOD: dict[str, Any] = {
    "name": "x",
    "title": "X",
    "default": True,
    "login": {"user": "root"},
    "packages": {"x86_64": {"kernel": ["linux-image"], "toolchain": ["clang"]}},
    "images": [{"arch": "x86_64", "location": "https://images.invalid/x.img", "checksums": "SHA256SUMS"}],
}


def mistakes_in(data: object) -> list[str]:
    mistakes = Mistakes()
    parse_image(data, "x.yaml", mistakes)
    return str(mistakes).splitlines()


def test_the_catalogue_that_travels_with_the_tool() -> None:
    catalogue = load_catalogue()
    ubuntus = ["ubuntu-22.04", "ubuntu-24.04", "ubuntu-26.04"]
    assert list(catalogue) == ["debian-13", "debian-12", "fedora-44", *ubuntus]
    assert default_image().name == "debian-13"
    for image in catalogue.values():
        assert image.arches == ARCHES
        assert (image.build is None) == (image.manager == "dnf")
        for arch in ARCHES:
            pinned, rolling = image.rows_for(arch)
            assert pinned.disk.digest is not None
            assert is_digest(pinned.disk.digest)
            assert rolling.disk.checksums is not None


def test_a_good_file_has_no_mistakes() -> None:
    assert mistakes_in(GOOD) == []


def test_an_unknown_image_is_answered_with_the_list_and_near_names() -> None:
    with pytest.raises(UsageError) as caught:
        find_image("debain-13")
    assert caught.value.code == "unknown-image"
    assert "ubuntu-24.04" in caught.value.details
    assert "debian-13" in caught.value.hint


def test_every_mistake_is_reported_at_once_by_field() -> None:
    bad = {
        **GOOD,
        "name": "y",
        "title": 3,
        "defalt": True,
        "login": {},
        "packages": {"x86_64": {"kernel": "linux-image", "toolchain": ["two words"]}},
        "images": [
            {"arch": "vax", "location": "ftp://x/y", "digest": "sha256:12"},
            {"arch": "x86_64", "location": "https://images.invalid/x.img"},
        ],
        "build": {"distribution": "slackware", "suite": "15", "components": ["main"], "keyring": "k"},
    }
    text = "\n".join(mistakes_in(bad))
    for expected in (
        "x.yaml: name:",
        "x.yaml: title:",
        "x.yaml: defalt: unknown key; did you mean default?",
        "x.yaml: login.user: is missing",
        "packages.x86_64.kernel: must be a list of words",
        "packages.x86_64.toolchain[0]: must be one word",
        "images[0].arch: 'vax' is none of",
        "images[0].location:",
        "images[0].digest: must be sha256:HEX",
        "images[1].digest: give either",
        "build.distribution: 'slackware'",
        "build.include: is missing",
    ):
        assert expected in text


@pytest.mark.parametrize("data", [None, [], "text", 7])
def test_a_file_that_is_no_mapping_is_one_mistake(data: object) -> None:
    assert len(mistakes_in(data)) == 1


def test_kernel_and_initrd_go_together() -> None:
    kernel = {"location": "https://images.invalid/k", "digest": "sha256:" + 64 * "0"}
    row = {**GOOD["images"][0], "kernel": kernel}
    assert "all three or none" in mistakes_in({**GOOD, "images": [row]})[0]
    whole = {**row, "initrd": kernel, "root": "LABEL=r"}
    assert mistakes_in({**GOOD, "images": [whole]}) == []


def test_a_broken_catalogue_names_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: [")
    (tmp_path / "b.yaml").write_text("name: b\n")
    with pytest.raises(InstanceError) as caught:
        load_catalogue(tmp_path)
    assert caught.value.code == "bad-catalogue"
    assert "a.yaml:" in caught.value.details
    assert "b.yaml: title: is missing" in caught.value.details
