"""The parts of the Lima backend that need no process: the YAML, the choice of a driver, parsers, errors."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from provisioner.backends.base import FirmwareBoot, State
from provisioner.backends.lima.failures import explain_refusal, last_words
from provisioner.backends.lima.layout import SOCKET_PATH_MAX, LimaFiles, check_home
from provisioner.backends.lima.limactl import Row, parse_rows, parse_version
from provisioner.backends.lima.plan import choose_driver, render_config, render_emulator
from provisioner.backends.lima.status import judge
from provisioner.core.errors import HostError
from provisioner.core.host import HostFacts, MacFacts, choose_backend
from provisioner.core.paths import find_paths
from tests.unit.lima_lab import FakeKeys
from tests.unit.qemu_machines import make_machine

APPLE = HostFacts("macos", "aarch64", mac=MacFacts((14, 5)))
#: As Lima 2.2.0 wrote it, the long configuration left out.
RUNNING = {
    "name": "default-dbdb9421", "hostname": "lima-default-dbdb9421", "status": "Running",
    "dir": "/home/me/.local/share/ebpf-dev/lima/default-dbdb9421", "vmType": "qemu", "arch": "x86_64", "cpus": 2,
    "memory": 2147483648, "disk": 21474836480, "sshLocalPort": 44537, "hostAgentPID": 1207, "driverPID": 1219,
    "sshConfigFile": "/home/me/ssh.config", "config": {"vmType": "qemu"}, "sshAddress": "127.0.0.1",
    "protected": False, "limaVersion": "2.2.0", "HostOS": "linux", "HostArch": "x86_64",
}  # fmt: skip


@pytest.fixture
def keys(tmp_path: Path) -> FakeKeys:
    return FakeKeys(tmp_path / "key")


def test_a_golden_is_booted_directly_from_a_file_that_stands_alone(tmp_path: Path, keys: FakeKeys) -> None:
    machine = make_machine(tmp_path, tmp_path)
    config = yaml.safe_load(render_config(machine, "qemu", tmp_path / "a: b.qcow2", keys))
    (image,) = config["images"]
    assert image["location"] == str(tmp_path / "a: b.qcow2")
    assert image["kernel"]["location"] == str(tmp_path / "vmlinuz")
    assert image["initrd"]["location"] == str(tmp_path / "initrd")
    assert image["kernel"]["cmdline"].split()[-2:] == [
        "console=ttyS0",
        "ebpf_dev.ip=192.168.5.15::192.168.5.2:255.255.255.0::eth0:none:192.168.5.3",
    ]
    assert (config["vmType"], config["arch"], config["cpus"]) == ("qemu", "x86_64", 2)
    assert (config["memory"], config["disk"]) == ("2048MiB", "10737418240B")
    assert config["plain"] is True
    assert config["mounts"] == []
    assert not any(config["containerd"].values())
    assert config["ssh"] == {"localPort": 0, "loadDotSSHPubKeys": False, "forwardAgent": False}
    assert config["firmware"] == {"legacyBIOS": True}
    assert "provision" not in config
    assert "base" not in config


def test_a_foreign_image_is_told_to_let_us_in_and_to_show_our_host_key(tmp_path: Path, keys: FakeKeys) -> None:
    machine = make_machine(tmp_path, tmp_path, boot=FirmwareBoot(), seed=tmp_path / "seed.iso")
    config = yaml.safe_load(render_config(machine, "qemu", machine.base_disk, keys))
    assert "kernel" not in config["images"][0]
    (provision,) = config["provision"]
    assert provision["mode"] == "system"
    script = provision["script"]
    for text in (keys.client_public, keys.host_public, keys.host_private.strip(), "PermitRootLogin"):
        assert text in script
    subprocess.run(["sh", "-n", "-c", script], check=True)


def test_vz_has_its_own_console_and_no_bios(tmp_path: Path, keys: FakeKeys) -> None:
    machine = make_machine(tmp_path, tmp_path, arch="aarch64")
    config = yaml.safe_load(render_config(machine, "vz", machine.base_disk, keys))
    assert config["images"][0]["kernel"]["cmdline"].split()[-1] == "console=hvc0"
    assert config["dns"] == ["192.168.5.2"]
    assert "firmware" not in config


@pytest.mark.parametrize(
    ("host", "arch", "accelerator", "driver"),
    [
        (APPLE, "aarch64", "auto", "vz"),
        (APPLE, "aarch64", "hvf", "vz"),
        (APPLE, "aarch64", "tcg", "qemu"),
        (APPLE, "x86_64", "auto", "qemu"),
        (replace(APPLE, mac=MacFacts((13, 4))), "aarch64", "auto", "qemu"),
        (replace(APPLE, mac=MacFacts((13, 5))), "aarch64", "auto", "vz"),
        (replace(APPLE, mac=MacFacts((15, 0), hv_support=False)), "aarch64", "auto", "qemu"),
        (replace(APPLE, arch="x86_64"), "x86_64", "auto", "vz"),
        (HostFacts("linux", "x86_64"), "x86_64", "auto", "qemu"),
    ],
)
def test_the_driver(host: HostFacts, arch: str, accelerator: str, driver: str) -> None:
    assert choose_driver(host, arch, accelerator) == driver


@pytest.mark.parametrize(
    ("system", "has_lima", "backend"),
    [("macos", True, "lima"), ("macos", False, "qemu"), ("linux", True, "qemu"), ("linux", False, "qemu")],
)
def test_the_default_backend(system: str, has_lima: bool, backend: str) -> None:
    assert choose_backend(system, has_lima) == backend


def test_a_line_an_instance() -> None:
    assert parse_rows("") == []
    other = {"name": "other", "status": "Broken", "errors": [{}], "vmType": "vz"}
    first, second = parse_rows(f"{json.dumps(RUNNING)}\n{json.dumps(other)}\n")
    assert first == Row("default-dbdb9421", "Running", "qemu", 44537, 1207, 1219)
    assert second == Row("other", "Broken", "vz")
    assert parse_rows(json.dumps({**RUNNING, "errors": ["why"]}))[0].errors == ("why",)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("limactl version 2.2.0\n", (2, 2, 0)),
        ("limactl version v1.0.7-12-gabcdef\n", (1, 0, 7)),
        ("limactl version <unknown>\n", None),
    ],
)
def test_versions(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("row", "state", "words"),
    [
        (Row("x", "Stopped", ssh_port=1), State.STOPPED, ""),
        (Row("x", "Running", "qemu", 44537, 7, 8), State.RUNNING, ""),
        (Row("x", "Broken", "qemu", 0, 7, 0, ("the driver is not",)), State.BROKEN, "the driver is not"),
        (Row("x", "Broken", "qemu", 0, 0, 8), State.BROKEN, "host agent does not"),
        (Row("x", "Broken", "qemu", 0, 7, 0), State.BROKEN, "its machine does not"),
        (Row("x", "Installing"), State.BROKEN, "Installing"),
        (Row("x", ""), State.BROKEN, "unknown"),
    ],
)
def test_statuses(row: Row, state: State, words: str) -> None:
    status = judge(row, "kvm")
    assert status.state is state
    assert words in status.detail
    if state is State.RUNNING:
        assert status.endpoint and (status.endpoint.port, status.accelerator, status.pid) == (44537, "kvm", 8)
    if state is State.BROKEN:
        assert "`up`" in status.detail


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("must not run as the root user", "lima-root"),
        ("limactl is running under rosetta, please reinstall lima with native arch", "lima-rosetta"),
        ('instance name `x` too long: `/x` must be less than UNIX_PATH_MAX=104 characters, but is 130',
         "lima-home-too-long"),
        ('exec: "qemu-img": executable file not found in $PATH', "tool-missing"),
        ("could not find firmware for `aarch64`", "firmware-missing"),
        ("write /x/disk: no space left on device", "disk-full"),
        ("something nobody has seen", "lima-failed"),
    ],
)  # fmt: skip
def test_what_lima_refuses_is_explained(words: str, code: str) -> None:
    log = "\n".join(
        json.dumps({"level": level, "msg": text}) for level, text in [("info", "hm"), ("fatal", words)]
    )
    error = explain_refusal("create", log)
    assert error.code == code
    assert error.details == words
    assert error.hint


def test_what_qemu_complains_about_is_found_among_what_lima_tells() -> None:
    lines = [
        ("info", "Starting QEMU (hint: to watch the boot progress, see `serial*.log`)"),
        ("debug", "qemu[stderr]: Could not access KVM kernel module: Permission denied"),
        ("warning", "[hostagent] failed to open the QMP socket"),
        ("warning", "failed to open the QMP socket"),
        ("fatal", "exiting, status={Running:false Degraded:false Exiting:true} (hint: see `ha.stderr.log`)"),
    ]
    log = "\n".join(json.dumps({"level": level, "msg": text}) for level, text in lines)
    assert last_words(log, "") == (
        "Could not access KVM kernel module: Permission denied\nfailed to open the QMP socket"
    )


def test_words_that_are_no_json_are_kept() -> None:
    assert last_words("panic: runtime error\n") == "panic: runtime error"


def test_names_are_short_and_nobody_elses(tmp_path: Path) -> None:
    machine = make_machine(tmp_path, tmp_path, name="a" * 40)
    files = LimaFiles(machine, tmp_path)
    assert files.name.startswith("a" * 12 + "-")
    assert len(files.name) == 21
    assert LimaFiles(replace(machine, directory=tmp_path / "elsewhere"), tmp_path).name != files.name
    # What Lima takes for a name.
    assert LimaFiles(replace(machine, name="a--b_.c"), tmp_path).name.startswith("a-b-c-")


def test_a_home_whose_sockets_would_not_fit_is_refused() -> None:
    longest = len("/nnnnnnnnnnnn-dddddddd/ssh.sock.1234567890123456")
    fits = Path("/" + "h" * (SOCKET_PATH_MAX - longest - 1))
    check_home(fits)
    with pytest.raises(HostError) as caught:
        check_home(fits.with_name(fits.name + "h"))
    assert caught.value.code == "lima-home-too-long"
    assert "EBPF_DEV_HOME" in caught.value.hint


def test_limas_home_is_ours_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_paths({"EBPF_DEV_HOME": "/srv/x"}).lima == Path("/srv/x/lima")
    monkeypatch.setattr(Path, "home", lambda: Path("/Users/a.rather.long.name"))
    mac = "/Users/a.rather.long.name/Library/Application Support/ebpf-dev"
    monkeypatch.setattr("platformdirs.user_data_dir", lambda app: mac)
    check_home(find_paths({}).lima)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (["-m", "1", "-cpu", "host", "-machine", "q35,accel=kvm", "-append", "a b"],
         ["-m", "1", "-cpu", "Nehalem,-cx16", "-machine", "q35", "-append", "a b", "-accel", "tcg,thread=single"]),
        (["-cpu", "max", "-machine", "q35,vmport=off", "-accel", "tcg,thread=multi,tb-size=512"],
         ["-cpu", "Nehalem,-cx16", "-machine", "q35,vmport=off", "-accel", "tcg,thread=single"]),
        (["-M", "none", "-accel", "help"], ["-M", "none", "-accel", "help"]),
        (["-cpu", "help", "-machine", "q35"], ["-cpu", "help", "-machine", "q35"]),
        (["--version"], ["--version"]),
    ],
)  # fmt: skip
def test_what_stands_in_for_qemu_emulates(given: list[str], made: list[str], tmp_path: Path) -> None:
    emulator = tmp_path / "the emulator"
    emulator.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    emulator.chmod(0o755)
    script = render_emulator("x86_64", emulator)
    done = subprocess.run(["sh", "-c", script, "qemu", *given], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == made
