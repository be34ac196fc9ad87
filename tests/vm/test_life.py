"""An instance's life from the command line, in a real virtual machine."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.vm.conftest import BOOT, Cli, kill_group, machines_of, read_until


def test_headers_match_the_running_kernel(instance: Cli) -> None:
    release = instance.guest("uname", "-r").strip()
    assert instance.state("default")["kernel"] == release
    assert f"/lib/modules/{release}/build/Makefile" in instance.guest(
        "sh", "-c", "ls /lib/modules/*/build/Makefile"
    )
    for tool in ("clang", "bpftool", "llvm-strip", "make", "gcc", "ip"):
        instance.guest("sh", "-c", f"command -v {tool}")


def test_up_on_a_running_instance_says_so(instance: Cli) -> None:
    result = instance("up")
    assert "already running" in result.stdout
    assert result.stderr == ""


def test_status_tells_what_is_true(instance: Cli) -> None:
    state = instance.state("default")
    assert state["state"] == "running"
    assert state["accelerator"] in {"tcg", "kvm", "hvf"}
    assert state["ssh"].startswith("127.0.0.1:")


def test_ssh_listens_on_loopback_only(instance: Cli) -> None:
    port = instance.state("default")["ssh"].split(":")[1]
    listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    addresses = {line.split()[3] for line in listening.splitlines() if line.split()[3].endswith(f":{port}")}
    assert addresses == {f"127.0.0.1:{port}"}


def test_passwords_are_refused(instance: Cli) -> None:
    config = instance.guest("sshd", "-T").lower().splitlines()
    assert "passwordauthentication no" in config
    assert "permitrootlogin without-password" in config or "permitrootlogin prohibit-password" in config


def test_state_directories_are_private(instance: Cli) -> None:
    data = instance.home / "data"
    for directory in (data, data / "identity", data / "instances", data / "instances" / "default"):
        assert directory.stat().st_mode & 0o077 == 0
    assert (data / "identity" / "id_ed25519").stat().st_mode & 0o777 == 0o600


def test_exec_passes_status_words_and_stdin(instance: Cli) -> None:
    assert instance("exec", "--", "sh", "-c", "exit 42", check=False).status == 42
    assert instance.guest("printf", "%s|", "a b", "$HOME", "'", "é") == "a b|$HOME|'|é|"
    done = subprocess.run(
        instance.argv("exec", "--", "wc", "-c"), env=instance.env, input=b"x" * 100_000, capture_output=True,
        check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == b"100000"


def test_exec_without_a_guest_is_125(instance: Cli) -> None:
    result = instance("exec", "-i", "nobody", "--", "true", check=False)
    assert result.status == 125
    assert "no instance named 'nobody'" in result.stderr


def test_copy_there_and_back(instance: Cli, tmp_path: Path) -> None:
    tree = tmp_path / "a tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file with spaces").write_text("content\n")
    instance("cp", str(tree), ":/root/")
    assert instance.guest("cat", "/root/a tree/sub/file with spaces") == "content\n"
    instance("cp", ":/root/a tree/sub/file with spaces", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "content\n"
    instance.guest("rm", "-r", "/root/a tree")


def test_ssh_config_serves_openssh(instance: Cli, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(instance("ssh-config").stdout)
    argv = ["ssh", "-F", str(config), "ebpf-dev-default", "cat", "/etc/hostname"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "ebpf-dev"


def test_shell_is_interactive(instance: Cli) -> None:
    """A pseudo-terminal on our side must be one on the guest's."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(instance.argv()[0], instance.argv("shell"), instance.env)
    os.write(terminal, b"tty && echo $((6*7)) && exit 5\n")
    seen = b""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and select.select([terminal], [], [], 60)[0]:
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            break
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    assert b"/dev/pts/" in seen
    assert b"42" in seen


def test_logs_show_the_console(instance: Cli) -> None:
    text = instance("logs").stdout
    assert "Debian" in text or "login" in text or "systemd" in text
    assert "\x1b" not in text


def test_doctor_finds_host_and_guest_well(instance: Cli) -> None:
    report = instance.json("doctor", "--json")
    assert report["ok"]
    names = " ".join(check["name"] for check in report["checks"]).lower()
    for word in ("qemu", "memory", "btf", "headers", "lsm"):
        assert word in names


def test_a_second_instance_stands_on_the_same_golden(instance: Cli, second: Callable[[str], Cli]) -> None:
    second("other")
    assert instance.guest("hostname", instance="other").strip() == "ebpf-dev-other"
    instance.guest("touch", "/root/only-here", instance="other")
    assert "only-here" not in instance.guest("ls", "/root")
    records = [instance.home / "data" / "instances" / name / "record.json" for name in ("default", "other")]
    assert len({json.loads(record.read_bytes())["golden"] for record in records}) == 1
    overlay = instance.home / "data" / "instances" / "other" / "overlay.qcow2"
    assert overlay.stat().st_blocks * 512 < 100_000_000


def test_up_killed_while_booting_and_two_ups_at_once(instance: Cli) -> None:
    try:
        first = instance.start("up", "twice", "--cold")
        read_until(first, "Booting", BOOT)
        time.sleep(3)
        kill_group(first)
        two = [instance.start("up", "twice") for _ in range(2)]
        said = [process.communicate(timeout=2 * BOOT)[0] for process in two]
        assert [process.returncode for process in two] == [0, 0], said
        assert sum("already running" in text for text in said) <= 1
        assert instance.guest("true", instance="twice") == ""
        assert len([pid for pid in machines_of(instance.home)]) == 2
    finally:
        instance("delete", "twice", timeout=BOOT, check=False)
    assert len(machines_of(instance.home)) == 1


def test_interrupt_ends_with_130_and_up_goes_on(instance: Cli) -> None:
    try:
        first = instance.start("up", "stopped", "--cold")
        read_until(first, "Booting", BOOT)
        os.killpg(first.pid, signal.SIGINT)
        assert first.wait(timeout=60) == 130
        instance("up", "stopped", timeout=BOOT)
    finally:
        instance("delete", "stopped", timeout=BOOT, check=False)


def test_a_machine_killed_from_outside_is_noticed(instance: Cli, second: Callable[[str], Cli]) -> None:
    """QEMU dies while `run` is streaming: an explanation, not a hang."""
    second("victim")
    run = instance.start("run", "hello", "-i", "victim", "--for", "300")
    read_until(run, "attached", BOOT)
    os.kill(instance.state("victim")["pid"], signal.SIGKILL)
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 4, said
    assert "stopped running" in said
    assert instance.state("victim")["state"] == "stopped"


def test_a_corrupt_record_is_said_and_deleted(instance: Cli, second: Callable[[str], Cli]) -> None:
    second("broken")
    record = instance.home / "data" / "instances" / "broken" / "record.json"
    record.write_text("{")
    result = instance("up", "broken", check=False)
    assert result.status == 4
    assert "delete broken" in result.stderr
    assert instance.state("broken")["state"] == "broken"
    instance("delete", "broken", timeout=BOOT)
    assert instance.state("broken")["state"] == "absent"
    assert len(machines_of(instance.home)) == 1


def test_memory_given_on_the_command_line_is_taken_up_at_the_next_start(
    instance: Cli, second: Callable[[str], Cli]
) -> None:
    instance("up", "small", "--disk", "30G", "--cold", timeout=BOOT)
    assert "30G" in instance.guest("df", "-h", "/", instance="small")
    second("small")
    instance("down", "small", timeout=BOOT)
    result = instance("up", "small", "--memory", "1G", "--cpus", "1", timeout=BOOT)
    assert "saved memory" in result.stderr
    meminfo = instance.guest("cat", "/proc/meminfo", instance="small")
    total = int(re.search(r"MemTotal: +(\d+)", meminfo)[1])  # type: ignore[index]
    assert 800_000 < total < 1_050_000
    assert instance.guest("nproc", instance="small").strip() == "1"
    report = instance.json("run", "hello", "-i", "small", "--for", "5", "--json", timeout=BOOT)
    assert report["ok"], json.dumps(report)


def test_a_clock_that_stood_still_is_set_before_anything_is_done(instance: Cli) -> None:
    """A day and more, then an hour, as while the host slept; a slow guest may be off by seconds."""

    def is_right() -> bool:
        return abs(float(instance.guest("date", "+%s")) - time.time()) < 60

    instance.guest("date", "-s", "-25 hours")
    said = instance("run", "hello", "--for", "1", timeout=BOOT).stderr
    assert "The guest's clock was 1 d behind" in said
    assert is_right()
    instance.guest("date", "-s", "-1 hour")
    assert is_right()
