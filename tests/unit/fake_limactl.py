"""A program that looks like ``limactl`` from outside, with its instances in files below LIMA_HOME.

``start`` leaves a process behind that stands for host agent and machine both: it writes what they write, answers
on the SSH port, and ends on SIGINT. What it does is told in the environment variable ``FAKE_LIMA``:

boot       the banner comes
mute       neither console nor banner
panic      the kernel panics on the console
fail       the host agent complains about firmware and ends, and so does ``start``
broken     the machine's half is missing from the start
deaf       boots, and does not end on SIGINT
full       ``create`` finds no space left
halfway    ``create`` is killed in the middle

``FAKE_LIMA_VERSION`` replaces the version it claims to be; ``FAKE_LIMA_OLD`` makes it write errors as Lima 1.x
does and call the disk ``diffdisk``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BEHAVIOUR = os.environ.get("FAKE_LIMA", "boot")
OLD = "FAKE_LIMA_OLD" in os.environ


@contextmanager
def installed(monkeypatch: Any) -> Iterator[Any]:
    """It and a fake QEMU, first on PATH; yields a laboratory with backends and a short home."""
    from tests.unit import fake_qemu
    from tests.unit.lima_lab import LimaLab

    with tempfile.TemporaryDirectory(prefix="l", dir="/tmp") as directory:
        root = Path(directory)
        fake_qemu.install(root / "bin")
        program = root / "bin" / "limactl"
        program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -I -S '{__file__}' \"$@\"\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(root / "bin"), prepend=os.pathsep)
        yield LimaLab(root)


class Instance:
    def __init__(self, name: str) -> None:
        self.name = name
        self.directory = Path(os.environ["LIMA_HOME"]).resolve() / name

    def pid(self, name: str) -> int:
        """As of Lima's store: 0 for a process that does not exist, whose file is then removed."""
        path = self.directory / f"{name}.pid"
        try:
            number = int(path.read_text())
            os.kill(number, 0)
        except FileNotFoundError:
            return 0
        except ProcessLookupError:
            path.unlink()
            return 0
        return number

    def row(self) -> dict[str, Any]:
        agent, driver = self.pid("ha"), self.pid("qemu")
        errors = list[object]()
        if bool(agent) != bool(driver):
            errors.append("host agent is running but driver is not" if agent else "driver runs, host agent not")
        status = "Broken" if errors else "Running" if agent else "Stopped"
        ssh = self.directory / "ssh.config"
        port = int(ssh.read_text().split("Port ")[1]) if ssh.exists() else 0
        row = {
            "name": self.name, "hostname": f"lima-{self.name}", "status": status, "dir": str(self.directory),
            "vmType": "qemu", "sshLocalPort": port, "hostAgentPID": agent, "driverPID": driver,
            "errors": [{}] * len(errors) if OLD else errors, "protected": False, "limaVersion": "2.2.0",
        }  # fmt: skip
        return {key: value for key, value in row.items() if value not in (0, [])}

    def kill(self) -> None:
        for name in ("ha", "qemu"):
            if pid := self.pid(name):
                os.kill(pid, signal.SIGKILL)
            (self.directory / f"{name}.pid").unlink(missing_ok=True)


def fatal(message: str) -> int:
    for level, text in (("info", "Terminal is not available"), ("fatal", message)):
        print(json.dumps({"level": level, "msg": text, "time": "2026-11-23T12:00:00Z"}), file=sys.stderr)
    return 1


def create(name: str, config: Path) -> int:
    instance = Instance(name)
    if instance.directory.exists():
        return fatal(f"instance `{name}` already exists")
    instance.directory.mkdir(parents=True)
    shutil.copy(config, instance.directory / "lima.yaml")
    if BEHAVIOUR == "full":
        return fatal("failed to copy: write /x: no space left on device")
    (instance.directory / "cidata.iso").write_bytes(b"\0\0instance-id: iid-1700000000\nlocal-hostname: x\n")
    if BEHAVIOUR == "halfway":
        os.kill(os.getpid(), signal.SIGKILL)
    (instance.directory / ("diffdisk" if OLD else "disk")).write_bytes(b"a disk\n" * 100)
    return 0


def start(name: str) -> int:
    instance = Instance(name)
    if (instance.directory / "ha.pid").exists():
        return fatal(f"instance `{name}` seems running")
    (instance.directory / "serial.log").unlink(missing_ok=True)
    if BEHAVIOUR == "fail":
        words = {"level": "fatal", "msg": "could not find firmware for `qemu-system-x86_64`"}
        (instance.directory / "ha.stderr.log").write_text(json.dumps(words) + "\n")
        return fatal("host agent process has exited: exit status 1")
    argv = [sys.executable, "-I", "-S", __file__, "hostagent", "--pidfile", f"{instance.directory}/ha.pid", name]
    subprocess.Popen(argv, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (instance.directory / "ha.pid").exists():
        time.sleep(0.01)
    time.sleep(0.5)
    return 0


def host_agent(name: str) -> int:
    directory = Instance(name).directory
    listener = socket.create_server(("127.0.0.1", 0))
    (directory / "ssh.config").write_text(f"Host lima-{name}\n  Port {listener.getsockname()[1]}\n")
    if BEHAVIOUR != "mute":
        last = "Kernel panic - not syncing: VFS" if BEHAVIOUR == "panic" else "Welcome"
        (directory / "serial.log").write_text(f"Booting\r\n{last}\r\n")
    names = ("ha",) if BEHAVIOUR == "broken" else ("qemu", "ha")
    for file in names:
        (directory / f"{file}.pid").write_text(f"{os.getpid()}\n")
    ending = signal.SIG_IGN if BEHAVIOUR == "deaf" else lambda *_: sys.exit(0)
    signal.signal(signal.SIGINT, ending)
    try:
        while True:
            connection, _ = listener.accept()
            if BEHAVIOUR in ("boot", "deaf"):
                connection.sendall(b"SSH-2.0-Fake\r\n")
            connection.close()
    finally:
        for file in names:
            (directory / f"{file}.pid").unlink(missing_ok=True)


def stop(name: str, force: bool) -> int:
    instance = Instance(name)
    if force:
        instance.kill()
        return 0
    if instance.row()["status"] != "Running":
        return fatal("expected status `Running`, got something else (maybe use `limactl stop -f`?)")
    os.kill(instance.pid("ha"), signal.SIGINT)
    while instance.pid("ha"):
        time.sleep(0.01)
    return 0


def main(words: list[str]) -> int:
    if "--version" in words:
        print(f"limactl version {os.environ.get('FAKE_LIMA_VERSION', '2.2.0')}")
        return 0
    command, *options = [word for word in words if word not in ("--tty=false", "--log-format=json")]
    name = options[-1] if options else ""
    if command == "info":
        print(json.dumps({"version": "2.2.0", "vmTypes": ["qemu"], "templates": []}))
        return 0
    if options == ["--list-drivers"]:
        if OLD:
            return fatal("unknown flag: --list-drivers")
        print("qemu")
        return 0
    if command == "create":
        return create(options[0].removeprefix("--name="), Path(name))
    if command == "delete":
        Instance(name).kill()
        shutil.rmtree(Instance(name).directory, ignore_errors=True)
        return 0
    if not Instance(name).directory.exists():
        return fatal(f"instance `{name}` not found")
    if command == "list":
        print(json.dumps(Instance(name).row()))
        return 0
    if command == "edit":
        with (Instance(name).directory / "lima.yaml").open("a") as config:
            config.write(f"# {options[0]}\n")
        return 0
    if command == "hostagent":
        return host_agent(name)
    return start(name) if command == "start" else stop(name, "--force" in options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
