"""Provisioning a Fedora guest, step by step as its package manager would be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from provisioner.core.errors import GuestError, UsageError
from provisioner.core.process import CommandResult
from provisioner.core.settings import Settings
from provisioner.guest import dnf
from provisioner.guest.kernels import install_pair
from provisioner.guest.network import NetworkSettings, apply_network
from provisioner.guest.packages import expand
from provisioner.guest.recipe import Recipe, provision
from provisioner.images.catalogue import find_image
from provisioner.images.golden import foreign_cmdline
from provisioner.workflows.add import add_packages
from provisioner.workflows.provision import recipe_for
from tests.unit.recorder import Recorder

OFFER = """\
kernel-core 7.0.4-200.fc44.x86_64 updates
kernel-modules 7.0.4-200.fc44.x86_64 updates
kernel-devel 7.0.4-200.fc44.x86_64 updates
"""
RELEASE = "7.0.4-200.fc44.x86_64"
# In the form of dnf5, not a recording.
INSTALLING = (
    "[1/3] Verify package files          100% |  80.0   B/s |   2.0   B |  00m00s\n[2/3] Installing clang\n"
)


class FedoraGuest:
    """Has what ``there`` names; every dnf command ends with ``status`` and says ``words``."""

    def __init__(self, *there: str, status: int = 0, words: str = INSTALLING) -> None:
        self.there, self.status, self.words = there, status, words
        self.commands: list[list[str]] = []
        self.files: dict[str, str] = {}

    def run(self, argv: Sequence[str], **options: Any) -> CommandResult:
        self.commands.append(list(argv))
        return CommandResult(tuple(argv), 0, self._say(argv), "")

    def stream(self, argv: Sequence[str], on_line: Any, **options: Any) -> int:
        self.commands.append(list(argv))
        if "install" in argv and self.status == 0:
            self.there += tuple(argv[argv.index("install") + 1 :])
        for line in self.words.splitlines():
            on_line("stdout", line)
        return self.status

    def put(self, source: bytes, target: str, mode: int = 0o644) -> None:
        self.files[target] = source.decode()

    def asked(self, word: str) -> list[list[str]]:
        return [command[command.index(word) + 1 :] for command in self.commands if word in command]

    def _say(self, argv: Sequence[str]) -> str:
        if argv[0] == "sh" and "--qf" in argv[2]:
            return "".join(f"{name} 1.2-3.fc44\n" for name in argv[4:] if name in self.there)
        if argv[0] == "sh" and argv[3:4] == ["rpm"]:
            return "\n".join(name for name in argv[4:] if name not in self.there)
        if "repoquery" in argv:
            return OFFER
        return RELEASE if argv[0] == "sh" or argv == ["uname", "-r"] else ""


def recipe() -> Recipe:
    found = recipe_for(find_image("fedora-44"), Settings(arch="x86_64", packages=("bcc",)))
    assert found is not None
    return found


def test_a_kernel_without_its_headers_is_installed_anew_with_them() -> None:
    guest, reporter = FedoraGuest("kernel-core", "kernel-modules", "make", "gcc"), Recorder()
    assert provision(guest, recipe(), reporter) == RELEASE  # type: ignore[arg-type]
    (packages,) = guest.asked("install")
    assert packages[:3] == ["kernel-core", "kernel-modules", "kernel-devel"]
    assert {"clang", "libbpf-devel", "python3-bcc", "bcc-tools"} <= set(packages)
    assert not {"make", "gcc"} & set(packages)
    assert reporter.titles[:2] == ["Fetching package lists", "Installing headers and toolchain"]


def test_nothing_is_fetched_when_all_is_there() -> None:
    wanted = recipe()
    guest = FedoraGuest(*wanted.kernel, *wanted.toolchain, *wanted.extra)
    provision(guest, wanted, Recorder())  # type: ignore[arg-type]
    assert not guest.asked("install") + guest.asked("makecache")


def test_a_pair_is_installed_by_its_release() -> None:
    guest = FedoraGuest()
    assert install_pair(guest, dnf, "latest", "", Recorder()) == RELEASE  # type: ignore[arg-type]
    assert guest.asked("install") == [[f"kernel-{part}-{RELEASE}" for part in ("core", "modules", "devel")]]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (">>> Curl error (6): Could not resolve hostname for https://x", "mirror-unreachable"),
        ("installing package clang needs at least 300MB more space on the / filesystem", "guest-disk-full"),
        ("No match for argument: clangg", "unknown-package"),
        ("Error: anything else", "packages-failed"),
    ],
)
def test_what_dnf_says_is_understood(words: str, code: str) -> None:
    guest = FedoraGuest(status=1, words=words)
    with pytest.raises(GuestError) as caught:
        dnf.install(guest, ["clang"], Recorder(), "Installing")  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.details) == (code, words)


def test_tools_have_fedoras_names() -> None:
    guest, reporter = FedoraGuest("bcc-tools"), Recorder()
    added = add_packages(guest, ["bcc", "go"], "dnf", reporter)  # type: ignore[arg-type]
    assert guest.asked("install") == [["python3-bcc", "golang"]]
    assert added.installed == {"python3-bcc": "1.2-3.fc44", "golang": "1.2-3.fc44"}
    assert added.already == {"bcc-tools": "1.2-3.fc44"}


def test_proxy_and_certificates_go_where_fedora_looks() -> None:
    guest = FedoraGuest()
    settings = NetworkSettings(proxy="http://10.0.2.2:3128", ca=("-----BEGIN CERTIFICATE-----",))
    apply_network(guest, settings, dnf)  # type: ignore[arg-type]
    assert guest.files["/etc/dnf/libdnf5.conf.d/90-ebpf-dev-proxy.conf"] == "[main]\nproxy=http://10.0.2.2:3128\n"
    assert "/etc/pki/ca-trust/source/anchors/ebpf-dev-0.crt" in guest.files


def test_a_root_in_a_subvolume() -> None:
    assert "root=UUID=1 rootflags=subvol=root ro" in foreign_cmdline("UUID=1", "root")
    assert "rootflags" not in foreign_cmdline("/dev/vda1")


@pytest.mark.parametrize("name", ["NetworkManager", "python3_x", "clang-19.1.7", "gtk3"])
def test_fedoras_names_may_have_capitals(name: str) -> None:
    assert expand([name], "dnf") == [name]


@pytest.mark.parametrize("name", ["-y", "clang-", "a b", ""])
def test_what_can_be_no_package_of_fedora_s(name: str) -> None:
    with pytest.raises(UsageError):
        expand([name], "dnf")
