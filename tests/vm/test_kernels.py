"""Other kernels than the image's own: listed, installed by the guest's apt, booted, and programs run on them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.conftest import BOOT, FIRST_UP, Cli, kill_group, read_until

SCHEDULER = Path(__file__).parent / "programs" / "ops_scheduler.bpf.c"


def test_kernels_are_listed_and_the_guest_is_left_as_it_was(instance: Cli) -> None:
    found = instance.json("kernels", "--json", timeout=BOOT)
    running = instance.guest("uname", "-r").strip()
    kernels = {kernel["release"]: kernel for kernel in found["kernels"]}
    assert found["running"] == running
    assert (kernels[running]["state"], kernels[running]["certain"]) == ("running", True)
    assert {"BTF", "fentry", "LSM", "tcx"} <= set(kernels[running]["features"])
    backports = [kernel for kernel in found["kernels"] if kernel["origin"] == "backports"]
    whole = [kernel for kernel in backports if kernel["state"] == "offered"]
    assert whole
    assert all("sched_ext" in kernel["features"] and not kernel["missing"] for kernel in whole)
    assert all(kernel["missing"] for kernel in backports if kernel["state"] == "incomplete")
    assert "ebpf-dev-backports" not in instance.guest("ls", "/etc/apt/sources.list.d")


def test_a_scheduler_is_answered_with_the_kernel_that_it_needs(instance: Cli) -> None:
    report = instance.json("run", str(SCHEDULER), "--for", "5", "--json", timeout=BOOT, check=False)
    assert not report["ok"]
    assert "--kernel backports" in report["error"]["hint"]


def test_a_running_instance_keeps_its_kernel(instance: Cli) -> None:
    result = instance("up", "--kernel", "backports", check=False)
    assert result.status == 2
    assert "ebpf-dev down" in result.stderr
    assert not instance("up", "--kernel", "default", check=False).status


@pytest.fixture
def backports(instance: Cli) -> Iterator[Cli]:
    yield instance
    for name in ("newer", "other"):
        instance("delete", name, timeout=BOOT, check=False)


@pytest.mark.nightly
def test_a_new_instance_with_the_backports_kernel_though_up_is_killed(backports: Cli) -> None:
    cli = backports
    first = cli.start("up", "newer", "--kernel", "backports")
    read_until(first, "Installing Linux", FIRST_UP)
    time.sleep(15)  # somewhere in the middle of fetching or unpacking
    kill_group(first)
    cli("up", "newer", "--kernel", "backports", timeout=FIRST_UP)
    release = cli.guest("uname", "-r", instance="newer").strip()
    assert cli.guest("ls", f"/lib/modules/{release}/build/Makefile", instance="newer")
    assert cli.state("newer")["kernel"] == release
    assert "Installing" not in cli("up", "other", "--kernel", "backports", timeout=BOOT).stderr
    report = cli.json("run", "hello", "-i", "other", "--for", "6", "--json", timeout=BOOT)
    assert report["ok"], report
    assert report["kernel"] == release
    report = cli.json("run", str(SCHEDULER), "-i", "newer", "--for", "5", "--json", timeout=BOOT)
    assert report["ok"], report
    (program,) = report["programs"]
    assert (program["state"], program["run_count"] > 0) == ("attached", True)


@pytest.mark.nightly
def test_an_instance_that_exists_gets_it_and_goes_back(backports: Cli) -> None:
    cli = backports
    cli("up", "other", timeout=BOOT)
    before = cli.guest("uname", "-r", instance="other").strip()
    cli.guest("touch", "/root/mine", instance="other")
    cli("down", "other", timeout=BOOT)
    cli("up", "other", "--kernel", "backports", timeout=FIRST_UP)
    release = cli.guest("uname", "-r", instance="other").strip()
    assert release != before
    assert cli.guest("ls", "/root/mine", f"/lib/modules/{release}/build/Makefile", instance="other")
    cli("down", "other", timeout=BOOT)
    cli("up", "other", timeout=BOOT)
    assert cli.guest("uname", "-r", instance="other").strip() == release
    cli("down", "other", timeout=BOOT)
    cli("up", "other", "--kernel", "default", timeout=BOOT)
    assert cli.guest("uname", "-r", instance="other").strip() == before
