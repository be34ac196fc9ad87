"""Mirrors and options come from the host's own apt, however it is written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.core.addresses import for_guest
from provisioner.core.errors import HostError
from provisioner.images.hostapt import (
    HostApt,
    Source,
    apt_option_words,
    parse_deb822,
    parse_one_line,
    parse_options,
    read_host_apt,
)

DEB822 = """\
Types: deb deb-src
# a comment between fields
URIs: http://mirror.invalid/debian/
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF

Enabled: no
Types: deb
URIs: http://off.invalid/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://security.invalid/debian-security
Suites: bookworm-security
Components: main
"""
ONE_LINE = """\
# deb http://commented.invalid/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://archive.invalid/ubuntu noble main universe # why
deb-src http://archive.invalid/ubuntu noble main
deb http://archive.invalid/ubuntu noble-security main
deb cdrom:[Debian]/ bookworm main
"""
# What `apt-config dump` prints, shortened.
DUMP = """\
APT "";
Acquire "";
Acquire::http "";
Acquire::http::Proxy "http://127.0.0.1:3142";
Acquire::http::Proxy::internal.invalid "DIRECT";
Acquire::Check-Valid-Until "false";
Acquire::Languages:: "none";
Acquire::Retries "";
DPkg::Post-Invoke:: "rm -f /x";
"""


def test_deb822() -> None:
    assert parse_deb822(DEB822) == [
        Source("http://mirror.invalid/debian", ("bookworm", "bookworm-updates"), ("main", "contrib")),
        Source("http://security.invalid/debian-security", ("bookworm-security",), ("main",)),
    ]


def test_one_line() -> None:
    assert parse_one_line(ONE_LINE)[:2] == [
        Source("http://archive.invalid/ubuntu", ("noble",), ("main", "universe")),
        Source("http://archive.invalid/ubuntu", ("noble-security",), ("main",)),
    ]


def test_both_styles_are_read_and_only_what_a_guest_could_reach(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d/old.list.save").write_text("deb http://save.invalid/debian sid main")
    apt = read_host_apt(tmp_path)
    assert [source.uri for source in apt.sources] == [
        "http://archive.invalid/ubuntu",
        "http://archive.invalid/ubuntu",
        "http://mirror.invalid/debian",
        "http://security.invalid/debian-security",
    ]
    assert apt.find_mirror("debian") == "http://mirror.invalid/debian"
    assert apt.find_security_mirror("debian") == "http://security.invalid/debian-security"
    assert apt.find_security_mirror("ubuntu") == "http://archive.invalid/ubuntu"


def test_a_host_without_apt_has_no_mirror(tmp_path: Path) -> None:
    assert read_host_apt(tmp_path / "none").find_mirror("debian") is None


def test_a_vendor_that_borrows_a_suite_name_is_not_taken_for_the_archive() -> None:
    vendor = Source("http://vendor.invalid/debian", ("bookworm",), ("main",))
    other = Source("http://docker.invalid/debian", ("bookworm",), ("stable",))
    archive = Source("http://mirror.invalid/debian", ("bookworm", "bookworm-updates"), ("main",))
    assert HostApt((vendor, other, archive), ()).find_mirror("debian") == archive.uri


def test_only_options_about_fetching_are_taken() -> None:
    assert parse_options(DUMP) == (
        ("Acquire::http::Proxy", "http://127.0.0.1:3142"),
        ("Acquire::http::Proxy::internal.invalid", "DIRECT"),
        ("Acquire::Check-Valid-Until", "false"),
    )


def test_options_become_lines_of_configuration() -> None:
    assert apt_option_words([("Acquire::Retries", "3")]) == ['Acquire::Retries "3";']
    with pytest.raises(HostError):
        apt_option_words([("Acquire::http::Proxy", 'a" ; APT::Update::Pre-Invoke "x')])


@pytest.mark.parametrize(
    ("uri", "seen"),
    [
        ("http://localhost:3142/debian", "http://10.0.2.2:3142/debian"),
        ("http://u:p@127.0.0.1/x", "http://u:p@10.0.2.2/x"),
        ("http://mirror.invalid/debian", "http://mirror.invalid/debian"),
        ("DIRECT", "DIRECT"),
    ],
)
def test_loopback_is_another_address_in_the_guest(uri: str, seen: str) -> None:
    assert for_guest(uri) == seen
