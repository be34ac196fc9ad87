"""What `doctor` says of a host: from recorded findings, and from the one that the tests run on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.backends.qemu.accelerator import Verdict
from provisioner.backends.qemu.tools import Version
from provisioner.core.errors import HostError
from provisioner.core.host import HostFacts, this_host
from provisioner.core.paths import Paths, find_paths
from provisioner.core.settings import Settings
from provisioner.core.sizes import GIB
from provisioner.workflows.checks import Check, all_well
from provisioner.workflows.doctor import examine, host_checks
from provisioner.workflows.host_checks import judge_host, subid_command
from provisioner.workflows.host_findings import Findings, look_at_host
from provisioner.workflows.host_fix import Action, plan_fix
from tests.unit import hosts
from tests.unit.findings import (
    DEBIAN,
    FEDORA,
    HVF,
    KVM,
    MAC,
    NO_KVM,
    ROOT,
    SETTINGS,
    TCG,
    UBUNTU,
    WELL,
    by_name,
    judged,
)


def test_a_good_host_is_well() -> None:
    checks = judge_host(WELL, SETTINGS)
    assert all(check.ok for check in checks)
    assert all_well(checks)
    assert plan_fix(checks, DEBIAN) == []


@pytest.mark.parametrize("facts", [DEBIAN, UBUNTU])
def test_an_empty_debian_gets_everything_in_one_go(facts: HostFacts) -> None:
    checks = judge_host(Findings(facts=facts, tools={}), SETTINGS)
    assert not all_well(checks)
    assert by_name(checks)["accelerator"].ok is None
    update, install, subids = plan_fix(checks, facts)
    assert update.argv[-1] == "update"
    assert not update.required
    at = install.argv.index("--no-install-recommends")
    assert install.argv[at + 1 :] == (
        "e2fsprogs", "mmdebstrap", "openssh-client", "qemu-system-x86", "qemu-utils", "uidmap",
    )  # fmt: skip
    assert subids.argv[0] == "usermod"
    assert all(action.root for action in (update, install, subids))


def test_root_needs_no_subordinate_ids() -> None:
    names = by_name(judge_host(replace(WELL, facts=ROOT, subids=("", "")), SETTINGS))
    assert not {"newuidmap", "subordinate ids", "user namespaces"} & names.keys()


def test_images_of_another_architecture_take_what_runs_its_programs() -> None:
    arm = replace(SETTINGS, arch="aarch64")
    assert "aarch64 programs" not in judged()
    assert judged(arm)["aarch64 programs"].ok
    check = judged(arm, foreign_fault="arch-test is not installed")["aarch64 programs"]
    assert (check.ok, check.needed) == (False, False)
    _, install = plan_fix([check], DEBIAN)
    assert install.argv[-3:] == ("arch-test", "binfmt-support", "qemu-user-static")


def test_a_mac_gets_qemu_from_homebrew_as_itself() -> None:
    settings = replace(SETTINGS, arch="aarch64")
    found = Findings(facts=MAC, tools={"brew": Path("/opt/homebrew/bin/brew"), "ssh": Path("/usr/bin/ssh")})
    checks = judge_host(found, settings)
    install = Action(("brew", "install", "lima", "qemu"), "Installing lima qemu", root=False)
    assert plan_fix(checks, MAC) == [install]
    assert "mmdebstrap" not in by_name(checks)


def test_a_mac_without_homebrew_is_told_so() -> None:
    check = by_name(judge_host(Findings(facts=MAC), replace(SETTINGS, arch="aarch64")))["Homebrew"]
    assert (check.ok, check.cure) == (False, "Install it first: https://brew.sh")


BREWED = ("qemu-system-aarch64", "qemu-img", "brew", "limactl", "ssh")
GOOD_MAC = replace(
    WELL, facts=MAC, verdicts=(HVF, TCG), tools={name: Path("/opt/homebrew/bin", name) for name in BREWED}
)


def judged_mac(facts: HostFacts, memory: int = 2 * GIB, qemu: Version = (10, 2, 2)) -> dict[str, Check]:
    settings = replace(SETTINGS, arch="aarch64", memory=memory)
    return by_name(judge_host(replace(GOOD_MAC, facts=facts, qemu=qemu), settings))


def test_a_good_mac_is_well() -> None:
    checks = judged_mac(MAC)
    assert [check.name for check in checks.values() if not check.ok] == ["resume"]
    assert checks["Homebrew"].summary == "installed in /opt/homebrew"


def test_the_qemu_that_keeps_a_mac_busy() -> None:
    busy = judged_mac(MAC, qemu=(11, 0, 0))["QEMU 11.0.0"]
    assert (busy.ok, busy.needed) == (False, False)
    assert "brew upgrade qemu" in busy.cure
    assert "QEMU 11.0.0" not in judged_mac(MAC, qemu=(11, 0, 1))
    assert "QEMU 11.0.0" not in judged_mac(hosts.INTEL_MACOS13, qemu=(11, 0, 0))


def test_a_qemu_too_old_for_apple_silicon_is_upgraded() -> None:
    old = judged_mac(MAC, qemu=(8, 2, 0))["qemu-system-aarch64"]
    assert "8.2.0 is too old; 8.2.1" in old.summary
    assert old.packages == ("qemu",)


def test_homebrew_for_intel_on_apple_silicon() -> None:
    checks = judged_mac(hosts.M1_ROSETTA)
    assert "/opt/homebrew" in checks["Homebrew"].cure
    assert "Rosetta" in checks
    assert all_well(checks.values())


def test_an_old_macos_and_much_memory() -> None:
    old = replace(MAC, mac=replace(hosts.mac_of(MAC), version=(12, 3)))
    assert judged_mac(old, memory=4 * GIB)["memory and macOS"].needed
    assert "memory and macOS" not in judged_mac(old, memory=3 * GIB)
    assert "memory and macOS" not in judged_mac(MAC, memory=4 * GIB)


def test_an_unknown_distribution_gets_words_instead_of_commands() -> None:
    checks = judge_host(Findings(facts=FEDORA), SETTINGS)
    assert plan_fix(checks, FEDORA) == []
    assert "package manager of your system" in by_name(checks)["qemu-system-x86_64"].cure
    assert "mmdebstrap" not in by_name(checks)


def test_qemu_too_old_or_broken() -> None:
    assert "5.2.0 is too old; 6.2.0" in judged(qemu=(5, 2, 0))["qemu-system-x86_64"].summary
    broken = judged(qemu=None, qemu_fault="qemu: cannot load library")["qemu-system-x86_64"]
    assert (broken.ok, broken.details) == (False, "qemu: cannot load library")


def test_emulation_is_worth_a_note_with_its_reason_and_cure() -> None:
    check = judged(verdicts=(NO_KVM, TCG))["accelerator"]
    assert (check.ok, check.needed) == (False, False)
    assert check.details == "kvm: /dev/kvm may not be opened"
    assert check.cure == "sudo usermod -aG kvm kim"
    assert all_well([check])


def test_an_accelerator_that_was_asked_for_must_work() -> None:
    wanted = replace(SETTINGS, accelerator="kvm")
    assert judged(wanted)["accelerator"].ok
    refused = judged(wanted, verdicts=(NO_KVM, TCG))["accelerator"]
    assert (refused.ok, refused.needed) == (False, True)
    assert judged(replace(SETTINGS, accelerator="tcg"), verdicts=(KVM, TCG))["accelerator"].ok
    assert not judged(replace(SETTINGS, accelerator="hvf"))["accelerator"].ok


def test_whether_machines_go_on_from_saved_memory() -> None:
    assert judged()["resume"].ok
    plain = judged(capabilities=frozenset())["resume"]
    assert (plain.ok, plain.needed) == (False, False)
    assert "x-ignore-shared" in plain.summary
    assert "hvf" in judged(verdicts=(Verdict("hvf", True, "it works"), TCG))["resume"].summary
    assert judged(verdicts=None)["resume"].ok is None


@pytest.mark.parametrize(
    ("total", "available", "ok", "needed"),
    [(16, 12, True, True), (16, 1, False, False), (2, 2, False, True), (0, 0, None, True)],
)
def test_memory(total: int, available: int, ok: bool | None, needed: bool) -> None:
    facts = replace(DEBIAN, memory=total * GIB, memory_available=available * GIB)
    check = judged(facts=facts)["memory"]
    assert (check.ok, check.needed) == (ok, needed)


def test_a_full_disk() -> None:
    check = judged(space={Path("/data"): 100 << 20})["disk space"]
    assert not check.ok
    assert check.summary == "100M free for /data; making an image takes 4G"


@pytest.mark.parametrize(
    ("subuid", "subgid", "words"),
    [
        ("kim:100000:65536", "kim:100000:65536", None),
        ("1000:100000:65536", "kim:100000:65536", None),
        ("kim:100000:1000", "kim:100000:65536", "--add-subuids 101000-166535"),
        ("lee:100000:65536\nbroken\n:x:\n", "", "--add-subuids 165536-231071 --add-subgids 100000-165535"),
        ("kim:100000:65536", "lee:524288:65536", "--add-subgids 589824-655359"),
    ],
)
def test_subordinate_ids_never_overlap_those_of_others(subuid: str, subgid: str, words: str | None) -> None:
    expected = ("usermod", *words.split(), "kim") if words else None
    assert subid_command(DEBIAN, subuid, subgid) == expected


def test_lima_is_judged_where_it_is_to_run_machines() -> None:
    assert "Lima" not in judged()
    checks = judged(driver="qemu")
    assert checks["Lima"].ok
    assert checks["qemu-system-x86_64"].ok
    assert not checks["resume"].ok
    assert not checks["resume"].needed
    fault = HostError("limactl is not installed", code="tool-missing", hint="Install it.")
    mac = judged(facts=MAC, driver="vz", lima_fault=fault)
    assert not mac["Lima"].ok
    assert mac["Lima"].packages == ("lima",)
    assert "accelerator" not in mac
    assert "qemu-img" not in mac


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return find_paths({"EBPF_DEV_HOME": str(tmp_path / "home")})


def test_looking_changes_nothing(paths: Paths, tmp_path: Path) -> None:
    checks = host_checks(paths, Settings(), this_host())
    assert {"qemu-img", "accelerator", "memory", "disk space", "directories"} <= by_name(checks).keys()
    assert list(tmp_path.iterdir()) == []


def test_directories_that_cannot_be_used_are_named(paths: Paths, tmp_path: Path) -> None:
    facts = this_host()
    paths.data.mkdir(parents=True, mode=0o755)
    paths.data.chmod(0o755)
    paths.cache.write_text("a file in the way")
    check = by_name(judge_host(look_at_host(paths, Settings(), facts), Settings()))["directories"]
    assert not check.ok
    assert f"{paths.data} is open to other users (mode 0755)" in check.details
    assert f"{paths.cache} is not a directory" in check.details


def test_the_guest_of_no_instance_is_not_checked(paths: Paths) -> None:
    last = examine("default", paths, Settings())[-1]
    assert (last.name, last.ok) == ("guest", None)
    assert "no instance 'default'" in last.summary
