"""Which kernels are whole pairs, which one a word means, and what each brings; from real package lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.core.errors import UsageError
from provisioner.guest.kernel_features import FEATURES, features_of
from provisioner.guest.kernel_pairs import (
    KernelPair,
    choose_pair,
    flavour,
    parse_configs,
    parse_index,
    parse_repoquery,
    release_key,
    with_installed,
)

# What `_READ_INDEX` of guest/apt.py printed in a Debian 13 guest, a few releases of the cloud flavour.
LIST = (Path(__file__).parent / "package_lists" / "debian-13.txt").read_text()
RUNNING = "6.12.117+deb13-cloud-amd64"


def pairs() -> dict[str, KernelPair]:
    return {pair.release.removesuffix("-cloud-amd64"): pair for pair in parse_index(LIST)}


def test_whole_pairs_are_told_from_what_is_left_of_others() -> None:
    found = pairs()
    whole = [version for version, pair in found.items() if pair.whole]
    assert whole[:2] == ["7.3.4+deb13", "7.2.12+deb13"]
    assert "6.12.117+deb13" in whole
    assert found["6.16.12+deb13"].missing == ("linux-headers-6.16.12+deb13-cloud-amd64",)
    assert "linux-modules-7.1.13+deb13-cloud-amd64" in found["7.1.13+deb13"].missing
    assert "linux-base-6.18.15+deb13-cloud-amd64" in found["6.18.15+deb13"].missing


def test_where_a_pair_comes_from() -> None:
    found = pairs()
    assert (found["7.3.4+deb13"].origin, found["7.3.4+deb13"].from_backports) == ("backports", True)
    assert found["6.12.117+deb13"].suites == ("trixie", "trixie-security")
    assert (found["6.12.117+deb13"].origin, found["6.12.117+deb13"].from_backports) == ("security", False)


def test_releases_are_sorted_by_age() -> None:
    releases = [
        "6.12.115+deb13.1-cloud-amd64",
        "6.12.115+deb13-cloud-amd64",
        "6.9.7-cloud-amd64",
        "6.9~rc3-cloud-amd64",
    ]
    assert sorted(releases, key=release_key, reverse=True) == releases
    assert release_key("6.1.0-56-cloud-amd64") > release_key("6.1.0-9-cloud-amd64")
    assert [flavour(name) for name in ("6.1.0-56-cloud-amd64", "6.8.0-60-generic", "7.0.1-300.fc44.x86_64")] == [
        "cloud-amd64", "generic", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "release"),
    [
        ("backports", "7.3.4+deb13-cloud-amd64"),
        ("latest", "7.3.4+deb13-cloud-amd64"),
        ("7.2", "7.2.12+deb13-cloud-amd64"),
        ("6.12.115", "6.12.115+deb13.1-cloud-amd64"),
        ("6.12.115+deb13-cloud-amd64", "6.12.115+deb13-cloud-amd64"),
        ("6", RUNNING),
    ],
)
def test_what_a_word_means(word: str, release: str) -> None:
    assert choose_pair(word, parse_index(LIST), RUNNING).release == release


@pytest.mark.parametrize(
    ("word", "code"), [("6.16", "kernel-incomplete"), ("5.10", "unknown-kernel"), ("6.1", "unknown-kernel")]
)
def test_a_kernel_that_cannot_be_had_is_answered_with_those_that_can(word: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_pair(word, parse_index(LIST), RUNNING)
    assert caught.value.code == code
    assert "on offer: 7.3.4+deb13-cloud-amd64" in caught.value.details
    assert "6.16" not in caught.value.details.replace("missing: linux-headers-6.16.12+deb13-cloud-amd64", "")


def test_no_backports_is_no_kernel_of_that_name() -> None:
    stable = [pair for pair in parse_index(LIST) if not pair.from_backports]
    with pytest.raises(UsageError) as caught:
        choose_pair("backports", stable, RUNNING)
    assert caught.value.code == "unknown-kernel"


def test_another_flavour_is_had_by_its_whole_name_only() -> None:
    other = KernelPair("9.9-rt-amd64", ("trixie",), ("linux-image-9.9-rt-amd64",))
    offers = [*parse_index(LIST), other]
    assert choose_pair("latest", offers, RUNNING).release == "7.3.4+deb13-cloud-amd64"
    assert choose_pair("9.9-rt-amd64", offers, RUNNING) is other


def test_what_is_installed_counts_though_the_archive_has_lost_it() -> None:
    configs = parse_configs("release 6.16.12+deb13-cloud-amd64\nCONFIG_FPROBE=y\nrelease 6.11.1-cloud-amd64\n")
    found = with_installed(parse_index(LIST), configs)
    assert choose_pair("6.16", found, RUNNING).config == {"CONFIG_FPROBE": "y"}
    gone = choose_pair("6.11", found, RUNNING)
    assert (gone.origin, gone.packages, gone.installed) == ("installed", (), True)


def features(release: str, arch: str = "x86_64", config: dict[str, str] | None = None) -> set[str]:
    return set(features_of(KernelPair(release, (), (), config=config), arch))


def test_features_by_version() -> None:
    everything = {feature.name for feature in FEATURES}
    assert features("7.3.4+deb13-cloud-amd64") == everything
    assert everything - features(RUNNING) == {"sched_ext"}
    assert everything - features("6.12.117+deb13-cloud-arm64", "aarch64") == {"sched_ext", "fprobe"}
    assert features("6.1.0-56-cloud-amd64") == {"BTF", "fentry", "LSM"}
    assert "fentry" not in features("6.1.0-56-cloud-arm64", "aarch64")
    assert "sched_ext" in features("6.12.0-55-generic")


def test_a_configuration_says_more_than_a_version() -> None:
    config = {"CONFIG_SCHED_CLASS_EXT": "y", "CONFIG_DEBUG_INFO_BTF": "y"}
    assert features(RUNNING, config=config) == {"BTF", "sched_ext", "uprobe_multi", "token", "arena"}


def test_ubuntu_pairs_come_with_their_bpftool() -> None:
    parts = ("image", "headers", "modules", "tools")
    needs = {"image": "Depends: kmod, linux-modules-6.8.0-60-generic"}
    text = "\n\n".join(
        f"Suite: noble-updates\nPackage: linux-{part}-6.8.0-60-generic\n{needs.get(part, '')}" for part in parts
    )
    (pair,) = parse_index(text)
    assert (pair.whole, pair.origin) == (True, "updates")
    assert pair.packages[-1] == "linux-tools-6.8.0-60-generic"
    (pair,) = parse_index(text.replace("Package: linux-modules", "Package: linux-other"))
    assert pair.missing == ("linux-modules-6.8.0-60-generic",)


def test_fedora_pairs() -> None:
    text = """\
kernel-core 7.0.1-300.fc44.x86_64 fedora
kernel-modules 7.0.1-300.fc44.x86_64 fedora
kernel-devel 7.0.1-300.fc44.x86_64 fedora
kernel-core 7.1.4-200.fc44.x86_64 updates
kernel-modules 7.1.4-200.fc44.x86_64 updates
"""
    newest, oldest = parse_repoquery(text)
    assert newest.missing == ("kernel-devel-7.1.4-200.fc44.x86_64",)
    assert choose_pair("latest", [newest, oldest], "7.0.1-300.fc44.x86_64") is oldest
    assert oldest.packages[0] == "kernel-core-7.0.1-300.fc44.x86_64"
