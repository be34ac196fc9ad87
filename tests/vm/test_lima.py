"""The same life on the real Lima, as an ordinary user, for it does not run as root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.vm.conftest import BOOT, FIRST_UP, Cli
from tests.vm.users import argv_as, env_of, make_checkout, ordinary_user, run_as

NAME = "on-lima"


@dataclass(frozen=True)
class UserCli(Cli):
    """The command line as ``user`` has it, on the goldens that root made; as ourselves when ``user`` is ""."""

    user: str = ""
    program: str = ""
    path: str = ""

    @property
    def env(self) -> dict[str, str]:
        if not self.user:
            return super().env
        ours = {"EBPF_DEV_HOME": str(self.home), "NO_COLOR": "1", **dict(self.settings)}
        return {**env_of(self.user), "PATH": f"{self.path}:/usr/local/bin:/usr/bin:/bin", **ours}

    def argv(self, *words: str) -> list[str]:
        if not self.user:
            return super().argv(*words)
        # From a directory that they can read.
        return argv_as(self.user, "sh", "-c", 'cd && exec "$0" "$@"', self.program, *words)

    @property
    def lima_home(self) -> Path:
        return self.home / "lima"

    def pids(self, name: str) -> list[int]:
        """The process in the file ``name`` of every instance of Lima in this home."""
        return [int(path.read_text()) for path in self.lima_home.glob(f"*/{name}.pid")]

    def wait_for(self, name: str) -> int:
        deadline = time.monotonic() + BOOT
        while not (found := self.pids(name)):
            assert time.monotonic() < deadline, f"no {name}.pid"
            time.sleep(0.05)
        return found[0]


def hand_over(home: Path, user: str) -> None:
    subprocess.run(["chown", "-R", f"{user}:", str(home)], check=True)


@pytest.fixture(scope="module")
def limactl() -> Path:
    found = shutil.which("limactl")
    if not found:
        pytest.skip("limactl is not installed: `go install github.com/lima-vm/lima/v2/cmd/limactl@v2.2.0`")
    return Path(found)


@pytest.fixture(scope="module")
def lima(instance: Cli, limactl: Path) -> Iterator[UserCli]:
    """The command line for a user who may run Lima, on the home and the goldens of the whole session."""
    with ExitStack() as stack:
        cli = UserCli(instance.home, (("EBPF_DEV_BACKEND", "lima"),))
        if os.geteuid() == 0:
            user = stack.enter_context(ordinary_user("ebpf-dev-lima"))
            checkout = make_checkout(user)
            for argv in (("python3", "-m", "venv", "venv"), ("venv/bin/pip", "install", "-q", str(checkout))):
                done = run_as(user, *argv, timeout=600)
                assert done.returncode == 0, done.stderr
            program = str(checkout.parent / "venv/bin/ebpf-dev")
            hand_over(instance.home, user)
            stack.callback(hand_over, instance.home, "root")
            cli = UserCli(instance.home, cli.settings, user, program, str(limactl.parent))
        yield cli


@pytest.fixture
def on_lima(lima: UserCli) -> Iterator[UserCli]:
    yield lima
    lima("delete", NAME, timeout=BOOT, check=False)


def test_up_run_down_up_delete(on_lima: UserCli) -> None:
    said = on_lima("up", NAME, timeout=FIRST_UP).stderr
    assert "Installing headers" not in said, "the golden should have been used"
    state = on_lima.state(NAME)
    assert (state["state"], state["backend"]) == ("running", "lima")
    on_lima.guest("sh", "-c", "echo kept >/root/kept", instance=NAME)
    assert on_lima.guest("hostname", instance=NAME).strip() == f"ebpf-dev-{NAME}"
    # Lima's own start ends well only when its user and the word of its boot scripts are there.
    log = on_lima.home / "data/instances" / NAME / "limactl.log"
    deadline = time.monotonic() + BOOT
    while "READY" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(1)
    report = on_lima.json("run", "hello", "-i", NAME, "--for", "6", "--json", timeout=BOOT)
    assert report["ok"], report
    assert report["backend"] == "lima"
    assert report["output"]["printk"]

    down = on_lima("down", NAME, timeout=BOOT)
    assert "cannot be saved" in down.stderr
    assert on_lima.state(NAME)["state"] == "stopped"
    assert not on_lima.pids("qemu")

    on_lima("up", NAME, timeout=BOOT)
    assert on_lima.guest("cat", "/root/kept", instance=NAME) == "kept\n"
    on_lima("delete", NAME, timeout=BOOT)
    assert on_lima.state(NAME)["state"] == "absent"
    assert [path.name for path in on_lima.lima_home.iterdir()] == ["_config"]


@pytest.mark.nightly
@pytest.mark.parametrize("moment", ["creating", "starting", "booting"])
def test_up_goes_on_after_a_kill_of_limactl_or_its_host_agent(on_lima: UserCli, moment: str) -> None:
    first = on_lima.start("up", NAME)
    if moment == "creating":
        wait_for_argv(on_lima, "create")
    else:
        on_lima.wait_for("ha")
    if moment == "booting":
        on_lima.wait_for("qemu")
        time.sleep(5)
        os.kill(on_lima.wait_for("ha"), signal.SIGKILL)
    os.killpg(first.pid, signal.SIGKILL)
    for pid in processes(on_lima, "limactl --tty=false"):
        os.kill(pid, signal.SIGKILL)
    first.wait(timeout=60)
    on_lima("up", NAME, timeout=BOOT)
    assert on_lima.guest("uname", "-s", instance=NAME) == "Linux\n"


@pytest.mark.nightly
@pytest.mark.parametrize("victim", ["ha", "qemu"])
def test_up_goes_on_after_a_kill_of_a_running_machine(on_lima: UserCli, victim: str) -> None:
    on_lima("up", NAME, timeout=BOOT)
    on_lima.guest("sh", "-c", "echo kept >/root/kept && sync", instance=NAME)
    os.kill(on_lima.wait_for(victim), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while on_lima.state(NAME)["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    on_lima("up", NAME, timeout=BOOT)
    assert on_lima.guest("cat", "/root/kept", instance=NAME) == "kept\n"


@pytest.mark.nightly
def test_the_backend_contract_holds_on_the_real_lima(lima: UserCli) -> None:
    if not lima.user:
        pytest.skip("run tests/vm/lima_contract.py itself")
    checkout = Path(lima.program).parents[2] / "ebpf-dev"
    python = str(Path(lima.program).with_name("python"))
    assert run_as(lima.user, python, "-m", "pip", "install", "-q", "pytest", timeout=600).returncode == 0
    words = ["env", *(f"{name}={value}" for name, value in lima.env.items())]
    contract = [python, "-m", "pytest", "-q", str(checkout / "tests/vm/lima_contract.py")]
    done = run_as(lima.user, *words, *contract, timeout=3000)
    assert done.returncode == 0, done.stdout


def processes(cli: UserCli, words: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            mine = f"LIMA_HOME={cli.lima_home}".encode() in (entry / "environ").read_bytes()
        except OSError:
            continue
        if entry.name.isdigit() and mine and words in line:
            found.append(int(entry.name))
    return found


def wait_for_argv(cli: UserCli, command: str) -> None:
    deadline = time.monotonic() + BOOT
    while not processes(cli, f"--log-format=json {command}"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
