"""What would be built, and what goes into it; nothing is built here."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.core.errors import HostError
from provisioner.guest.recipe import runner_path
from provisioner.guest.vmlinux import write_from_image
from provisioner.images.build import BuildPlan, mmdebstrap_argv, parse_dpkg_status, plan_build, plan_digest
from provisioner.images.catalogue import find_image
from provisioner.images.hostapt import HostApt, Source
from provisioner.images.overlay import make_overlay, masks
from provisioner.images.tree import build_failed, mmdebstrap_failed
from tests.unit.guests import HereGuest

APT = HostApt(
    (
        Source("http://127.0.0.1:3142/debian", ("bookworm", "bookworm-updates"), ("main",)),
        Source("http://security.invalid/s", ("bookworm-security",), ("main",)),
    ),
    (("Acquire::http::Proxy", "http://localhost:8080"),),
)


def plan(name: str = "debian-13", apt: HostApt = APT, **more: str) -> BuildPlan:
    image = find_image(name)
    assert image.build is not None
    keys = {"authorized_key": "ssh-ed25519 AAAA us", "host_private": "PRIVATE\n", "host_public": "PUBLIC"}
    return plan_build(image.build, image.packages["x86_64"], "x86_64", apt, **{**keys, **more})


def members(stage: str) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    made = plan()
    data = make_overlay(stage, made.overlay_values((*made.sources, *made.optional)))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            info.name.removeprefix("./"): (info, (archive.extractfile(info) or io.BytesIO()).read())
            for info in archive
            if not info.issym()
        } | {info.name.removeprefix("./"): (info, b"") for info in archive if info.issym()}


def test_mirrors_come_from_the_host() -> None:
    made = plan()
    assert made.sources == ("deb http://127.0.0.1:3142/debian trixie main",)
    assert made.optional == ("deb http://security.invalid/s trixie-security main",)


def test_a_mirror_of_the_users_own_serves_everything() -> None:
    made = plan(mirror="http://own.invalid/debian", proxy="http://proxy.invalid:3128")
    assert made.sources == ("deb http://own.invalid/debian trixie main",)
    assert made.optional == ("deb http://own.invalid/debian trixie-security main",)
    assert ("Acquire::https::Proxy", "http://proxy.invalid:3128") in made.options


def test_without_a_mirror_of_the_kind_there_is_no_plan() -> None:
    with pytest.raises(HostError) as caught:
        plan("ubuntu-24.04")
    assert caught.value.code == "no-mirror"


def test_command_line(tmp_path: Path) -> None:
    made = plan()
    argv = mmdebstrap_argv(made, "unshare", tmp_path / "tree", made.sources)
    assert argv[0] == "mmdebstrap"
    assert "--mode=unshare" in argv
    assert "--architectures=amd64" in argv
    assert '--aptopt=Acquire::http::Proxy "http://localhost:8080";' in argv
    assert argv[-3:] == ["trixie", str(tmp_path / "tree"), "deb http://127.0.0.1:3142/debian trixie main"]
    included = next(word for word in argv if word.startswith("--include=")).split("=")[1].split(",")
    assert {"linux-image-cloud-amd64", "linux-headers-cloud-amd64", "clang", "openssh-server"} <= set(included)
    # A shell reads the hooks, so no path may be in them.
    assert not any(str(tmp_path) in word for word in argv if "hook" in word)


def test_keys_are_planted_for_root_only() -> None:
    files = members("final")
    for name, content in (
        ("etc/ssh/ssh_host_ed25519_key", b"PRIVATE\n"),
        ("root/.ssh/authorized_keys", b"ssh-ed25519 AAAA us\n"),
    ):
        info, data = files[name]
        assert (info.mode, info.uid, info.gid, data) == (0o600, 0, 0, content)
    config = files["etc/ssh/sshd_config.d/10-ebpf-dev.conf"][1].decode()
    assert "PasswordAuthentication no" in config


def test_the_guest_sees_the_hosts_loopback_at_another_address() -> None:
    files = members("final")
    assert b"deb http://10.0.2.2:3142/debian trixie main" in files["etc/apt/sources.list"][1]
    assert b'Acquire::http::Proxy "http://10.0.2.2:8080";' in files["etc/apt/apt.conf.d/50ebpf-dev"][1]


def test_masks_and_links() -> None:
    files = members("final")
    assert len(masks()) > 40
    assert all(files[name][0].linkname == "/dev/null" for name in masks())
    assert files["etc/resolv.conf"][0].linkname == "/run/ebpf-dev/resolv.conf"
    # What a guest cannot do without must not be among them.
    assert not {"etc/systemd/system/ssh.service", "etc/systemd/system/systemd-logind.service"} & set(masks())


def test_hooks_can_be_executed() -> None:
    info, data = members("early")["etc/initramfs-tools/hooks/ebpf-dev"]
    assert info.mode == 0o755
    assert data.startswith(b"#!/bin/sh")


def test_the_key_changes_with_what_is_in_the_image_and_not_with_where_it_came_from() -> None:
    made = plan()
    assert plan_digest(made, b"") == plan_digest(replace(made, sources=("deb http://other.invalid x y",)), b"")
    assert plan_digest(made, b"") != plan_digest(made, b"other templates")
    assert plan_digest(made, b"") != plan_digest(replace(made, packages=("less",)), b"")
    assert plan_digest(made, b"") != plan_digest(replace(made, host_public="OTHER"), b"")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("E: You don't have enough free space\nmke2fs: No space left on device", "disk-full"),
        ("Err:1 http://m.invalid trixie InRelease\n  Could not resolve 'm.invalid'", "mirror-unreachable"),
        ("E: Unable to locate package nonesuch", "build-failed"),
    ],
)
def test_failures_are_told_apart_by_the_tools_words(words: str, code: str) -> None:
    assert build_failed("mmdebstrap", words).code == code


def test_progress_is_no_evidence() -> None:
    error = mmdebstrap_failed(25, ["I: downloading packages with apt...", "E: broken"])
    assert error.details == "E: broken"


def test_installed_packages_are_read_from_dpkgs_status() -> None:
    text = (
        "Package: clang\nStatus: install ok installed\nVersion: 1:19.0-63\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
    )
    assert parse_dpkg_status(text) == {"clang": "1:19.0-63"}


def test_the_runner_of_this_very_release_is_built_in_the_tree() -> None:
    hooks = [word for word in mmdebstrap_argv(plan(), "unshare", Path("tree"), ()) if "runner" in word]
    assert hooks[0] == "--customize-hook=tar-in runner.tar /"
    assert f"mv runner {runner_path()} " in hooks[1]


def bz_image(vmlinux: bytes, tool: str) -> bytes:
    """As the x86 boot protocol lays it out; behind a zstd frame the kernel's build writes its length."""
    packed = subprocess.run([tool, "-c"], input=vmlinux, capture_output=True, check=True).stdout
    packed += struct.pack("<I", len(vmlinux)) if tool == "zstd" else b""
    image = bytearray(2048) + packed + b"what follows"
    image[0x1F1] = 1
    struct.pack_into("<II", image, 0x248, 2048 - 2 * 512, len(packed))
    return bytes(image)


@pytest.mark.parametrize("tool", ["gzip", "xz", "zstd"])
def test_vmlinux_h_is_written_from_a_kernel_that_does_not_run(
    tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    for name, body in (("bpftool", 'cat "$4"'), ("clang", 'for last do :; done; echo "$*" >"$last"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "vmlinuz-6.1-amd64").write_bytes(bz_image(b"BTF" * 1000, tool))
    argv = write_from_image(str(tmp_path / "home"), str(tmp_path), str(tmp_path), "x86_64")
    HereGuest().run(argv)
    directory = tmp_path / "home/vmlinux/6.1-amd64"
    assert (directory / "vmlinux.h").read_bytes() == b"BTF" * 1000
    assert "-D__TARGET_ARCH_x86" in (directory / "vmlinux.h.pch").read_text()
    assert not (tmp_path / "vmlinux").exists()


def test_the_tree_gets_its_vmlinux_h_where_it_can_be_made() -> None:
    def hooks(made: BuildPlan) -> list[str]:
        return [word for word in mmdebstrap_argv(made, "root", Path("/t"), made.sources) if "vmlinux.h" in word]

    (hook,) = hooks(plan())
    assert hook.endswith("|| :")  # the guest does it otherwise
    assert subprocess.run(["sh", "-n", "-c", hook.partition("=")[2]], check=False).returncode == 0
    assert hooks(replace(plan(), arch="aarch64")) == []
