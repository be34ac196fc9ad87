"""apt's progress, the guest's network settings, and archives sent to it; all pure."""

import gzip
import hashlib
import io
import struct
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.errors import GuestError, UsageError
from provisioner.core.process import CommandResult
from provisioner.core.reporter import SilentReporter
from provisioner.guest import apt
from provisioner.guest.apt import AptProgress
from provisioner.guest.kernels import UNPACK_KERNEL
from provisioner.guest.network import NetworkSettings, apply_network, network_settings, proxy_for_guest
from provisioner.guest.recipe import Recipe, make_tar, runner_path
from tests.unit.authority import make_authority
from tests.unit.guests import HereGuest

# Lines as apt 3.0 writes them with APT::Status-Fd=1.
APT = """Reading package lists...
0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.
Need to get 160 MB of archives.
dlstatus:1:50.0:Retrieving file 1 of 2
pmstatus:dpkg-exec:0.0000:Running dpkg
Unpacking clang (1:19.0-63) ...
pmstatus:clang:20.0000:Unpacking clang (amd64)
Setting up clang (1:19.0-63) ...
Unpacking llvm (1:19.0-63) ...
Setting up llvm (1:19.0-63) ...
"""


class RecordingStep:
    def __init__(self) -> None:
        self.seen = list[tuple[float, float, str]]()
        self.details = list[str]()

    def progress(self, done: float, total: float, unit: str = "") -> None:
        self.seen.append((done, total, unit))

    def detail(self, text: str) -> None:
        self.details.append(text)


def test_apt_progress_in_bytes_then_packages() -> None:
    step = RecordingStep()
    progress = AptProgress(step)
    for line in APT.splitlines():
        progress.feed(line)
    assert step.seen == [
        (80e6, 160e6, "bytes"),
        (0.5, 2, "packages"), (1, 2, "packages"), (1.5, 2, "packages"), (2, 2, "packages"),
    ]  # fmt: skip
    assert step.details == ["Retrieving file 1 of 2", "Running dpkg", "Unpacking clang (amd64)"]


@pytest.mark.parametrize(
    ("proxy", "seen"),
    [
        ("http://localhost:3128", "http://10.0.2.2:3128"),
        ("http://me:pw@127.0.0.1:1", "http://me:pw@10.0.2.2:1"),
        ("localhost:8080", "http://10.0.2.2:8080"),
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("", ""),
    ],
)
def test_a_loopback_proxy_is_the_host(proxy: str, seen: str) -> None:
    assert proxy_for_guest(proxy) == seen


def settings(**changes: object) -> str:
    values = {"sources": "", "proxy": "", "ca_files": [Path("ca.pem")][:0], "env": {}, **changes}
    return network_settings(**values).digest  # type: ignore[arg-type]


def test_the_digest_tells_when_the_guest_must_be_told() -> None:
    assert settings() == settings()
    assert settings(proxy="http://a") != settings()
    assert settings(env={"https_proxy": "http://a"}) == settings(proxy="http://a")
    assert settings(sources="deb x y z") != settings()


def test_names_without_a_proxy_are_one_word_for_sshd() -> None:
    env = {"https_proxy": "http://a:1", "no_proxy": "localhost, 127.0.0.1 ,\t.corp.example"}
    found = network_settings(sources="", proxy="", ca_files=[], env=env)
    assert found.no_proxy == "localhost,127.0.0.1,.corp.example"


@pytest.mark.parametrize("proxy", ["http://a b", "http://a#b", 'http://a"', "http://a\nSetEnv x=y"])
def test_a_proxy_of_the_environment_that_is_no_address(proxy: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(env={"http_proxy": proxy})
    assert caught.value.code == "bad-proxy"
    assert "$http_proxy" in caught.value.brief


class ProxiedGuest:
    """Has the sshd environment of an earlier time."""

    def __init__(self) -> None:
        self.scripts: list[str] = []

    def run(self, argv: list[str], **options: object) -> CommandResult:
        self.scripts.append(argv[2])
        return CommandResult(tuple(argv), 0, "forgotten\n" if "echo forgotten" in argv[2] else "", "")


class TrustingGuest(HereGuest):
    """Has its files below a directory; ``told`` counts how often its certificates were changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.told = 0
        (root / "etc/ssl/certs").mkdir(parents=True)

    def run(self, argv: Sequence[str], **options: Any) -> CommandResult:
        self.told += argv[2] == apt.TRUST
        if "sources.list" in argv[2]:
            return CommandResult(tuple(argv), 0, "", "")
        return super().run([*argv[:3], *(self._below(word) for word in argv[3:])], **options)

    def put(self, source: Path | bytes, target: str, mode: int = 0o644) -> None:
        path = Path(self._below(target))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else source.read_bytes())

    def trusts(self, certificate: Path) -> set[str]:
        """In which of the two forms of the store openssl finds it."""
        store = f"{self.root}/etc/ssl/certs"
        forms = {"-CApath": store, "-CAfile": f"{store}/ca-certificates.crt"}
        argv = ["openssl", "verify", "-no-CAfile", "-no-CApath", "-no-CAstore"]
        return {
            form for form, where in forms.items()
            if subprocess.run([*argv, form, where, certificate], capture_output=True, check=False).returncode == 0
        }  # fmt: skip

    def _below(self, word: str) -> str:
        return f"{self.root}{word}" if word.startswith("/") else word


def test_certificates_are_trusted_once_and_beside_the_distributions_own(tmp_path: Path) -> None:
    guest = TrustingGuest(tmp_path)
    own, one, two = (make_authority(tmp_path / f"{name}.crt") for name in ("own", "one", "two"))
    store = tmp_path / "etc/ssl/certs"
    hash_of = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(own)]
    name = subprocess.run(hash_of, capture_output=True, text=True, check=True).stdout.strip()
    (store / "own.pem").symlink_to(own)
    (store / f"{name}.0").symlink_to("own.pem")
    for ca, told in (((), 0), ((one, two), 1), ((one, two), 0), ((two,), 1), ((), 1), ((), 0), ((one,), 1)):
        guest.told = 0
        apply_network(guest, NetworkSettings(ca=tuple(path.read_text().rstrip() for path in ca)), apt)
        assert guest.told == told, ca
        for path in (one, two):
            assert guest.trusts(path) == ({"-CApath", "-CAfile"} if path in ca else set()), (path, ca)
        assert "-CApath" in guest.trusts(own)
    (tmp_path / "var/lib/ebpf-dev/trusted").write_text("changing")  # as when it was cut off
    apply_network(guest, NetworkSettings(), apt)
    assert not guest.trusts(one)
    assert guest.trusts(own) == {"-CApath", "-CAfile"}


def test_sshd_forgets_a_proxy_that_is_no_more() -> None:
    guest = ProxiedGuest()
    apply_network(guest, NetworkSettings(), apt)  # type: ignore[arg-type]
    assert any("try-reload-or-restart" in script for script in guest.scripts)


def test_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("hello")
    for path in (tmp_path / "x.pem", tmp_path / "none.pem"):
        with pytest.raises(UsageError) as caught:
            settings(ca_files=[path])
        assert caught.value.code == "bad-ca"


def test_recipe_digest_ignores_the_order_of_extras() -> None:
    def digest(*extra: str) -> str:
        return Recipe(("k",), ("t",), extra).digest

    assert digest("a", "b") == digest("b", "a")
    assert len({digest(), digest("a"), Recipe(("k", "t"), ()).digest}) == 3


def test_a_libbpf_of_another_suite_is_part_of_a_golden_only_where_it_is_asked_for() -> None:
    plain = Recipe(("k",), ("t",), ("a",))
    assert replace(plain, libbpf="noble").digest != plain.digest
    # As before there was the choice, so that no golden had to be made anew.
    assert plain.digest == hashlib.sha256(b"2\nk\n\nt\n\na").hexdigest()[:16]


def test_a_changed_runner_has_another_name(tmp_path: Path) -> None:
    source = tmp_path / "main.c"
    source.write_text("1")
    first = runner_path({"main.c": source})
    source.write_text("2")
    assert runner_path({"main.c": source}) != first


def test_tar_holds_files_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"file")
    with tarfile.open(fileobj=io.BytesIO(make_tar({"d/a": b"bytes", "b": tmp_path / "f"}))) as archive:
        assert {item.name: archive.extractfile(item).read() for item in archive} == {  # type: ignore[union-attr]
            "d/a": b"bytes", "b": b"file",
        }  # fmt: skip


class FailingApt:
    """A guest whose apt-get says ``words`` and fails."""

    def __init__(self, words: str) -> None:
        self.words = words

    def run(self, argv: list[str], **options: object) -> None: ...

    def stream(self, argv: list[str], on_line: Callable[[str, str], None], **options: object) -> int:
        for line in self.words.splitlines():
            on_line("stdout", line)
        return 100


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("Reading package lists...\nE: Unable to locate package x", "E: Unable to locate package x"),
        ("cp: no space\nE: Sub-process /usr/bin/dpkg returned an error code (1)", "cp: no space\nE: Sub-process"),
    ],
)
def test_a_package_that_fails_to_install_is_shown_with_its_own_words(words: str, shown: str) -> None:
    with pytest.raises(GuestError) as caught:
        apt.install(FailingApt(words), ["x"], SilentReporter(), "Installing")  # type: ignore[arg-type]
    assert caught.value.details.startswith(shown)


def zboot(kernel: bytes, kind: str) -> bytes:
    """As Linux's zboot-header.S lays it out."""
    payload = subprocess.run([kind, "-c"], input=kernel, capture_output=True, check=True).stdout
    head = b"MZ\0\0zimg" + struct.pack("<II", 64, len(payload)) + bytes(8) + kind.encode().ljust(8, b"\0")
    return head.ljust(64, b"\0") + payload + b"what follows"


@pytest.mark.parametrize("kind", ["plain", "gzip", "zboot gzip", "zboot xz"])
def test_a_kernel_is_taken_out_unpacked(tmp_path: Path, kind: str) -> None:
    kernel = b"MZ and the rest of an Image" * 1000
    packed = {"plain": lambda: kernel, "gzip": lambda: gzip.compress(kernel)}.get(
        kind, lambda: zboot(kernel, kind.split()[-1])
    )()
    (tmp_path / "vmlinuz").write_bytes(packed)
    argv = ["sh", "-c", UNPACK_KERNEL, "unpack", str(tmp_path / "vmlinuz"), str(tmp_path / "raw")]
    found = Path(HereGuest().run(argv).stdout.strip())
    assert found.name == ("vmlinuz" if kind == "plain" else "raw")
    assert found.read_bytes() == kernel


def test_a_kernel_packed_in_a_way_that_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(b"MZ\0\0zimg" + bytes(16) + b"lzfse\0\0\0" + bytes(64))
    argv = ["sh", "-c", UNPACK_KERNEL, "unpack", str(tmp_path / "vmlinuz"), str(tmp_path / "raw")]
    with pytest.raises(GuestError) as caught:
        HereGuest().run(argv)
    assert "packed by lzfse" in caught.value.details
