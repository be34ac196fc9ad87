"""Other ways to a Linux virtual machine, where they are installed, side by side with ours."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioner.backends.base import DirectBoot
from tests.bench.lab import NAME, TOOL, Lab, run
from tests.bench.measure import Line, NotTakenError, in_turn, timed

#: Seconds for a machine of somebody else's to answer.
PATIENCE = 600
#: As in ``backends/qemu/arch.py``: what QEMU emulates with several threads without crashing kernels 6.x.
EMULATED = "-cpu Nehalem,-cx16"


def virtme(lab: Lab) -> Iterator[Line]:
    """`up` after `down` and `exec true`, against virtme-ng booting the same kernel to the same command."""
    vng = _find("vng", "pip install virtme-ng")
    lab.running()
    kernel = _kernel(lab)
    accelerator = lab.instance().status().accelerator
    plain = ("--disable-kvm", f"--qemu-opts={EMULATED}") if accelerator == "tcg" else ()
    argv = (vng, "--run", str(kernel), *_size(lab), *plain, "--", "true")

    def other() -> float:
        lab.stopped(saved=True)  # or it would take its share of the processor
        return timed(lambda: run(argv, timeout=PATIENCE))

    yield Line("up, exec true / vng -- true", *in_turn(lab.runs, lambda: _to_a_command(lab), other), limit=0.3)


def debvm(lab: Lab) -> Iterator[Line]:
    """The same against debvm, whose disk is made beforehand, to its first answer over SSH."""
    _find("debvm-run", "apt-get install debvm")
    key, image = lab.scratch / "key", lab.scratch / "debvm.ext4"
    run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)))
    run(("debvm-create", "-o", str(image), "-k", f"{key}.pub", "-r", "trixie"), timeout=PATIENCE)
    where = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i", str(key))
    words = ("-cpu", *EMULATED.split()[1:]) if _emulated(lab) else ()

    def other() -> float:
        lab.stopped(saved=True)
        port = _free_port()
        with _running("debvm-run", "-i", str(image), "-s", port, "--", *words):
            return timed(lambda: _wait_ssh(port)) + timed(
                lambda: run(("ssh", *where, "-p", port, "root@127.0.0.1", "true"))
            )

    yield Line("up, exec true / debvm-run, ssh true", *in_turn(lab.runs, lambda: _to_a_command(lab), other))


def lima(lab: Lab) -> Iterator[Line]:
    """The same against `limactl start` and `limactl shell` of a stopped machine that Lima has already."""
    limactl = _find("limactl", "see Lima's own pages")
    names = run((limactl, "list", "--quiet")).split()
    if not names:
        raise NotTakenError("limactl has no machine; `limactl create` makes one")

    def shell() -> float:
        return timed(lambda: run((limactl, "shell", "--workdir", "/", names[0], "true")))

    def other() -> float:
        lab.stopped(saved=True)
        with contextlib.suppress(NotTakenError):
            run((limactl, "stop", names[0]))
        return timed(lambda: run((limactl, "start", "--tty=false", names[0]))) + shell()

    yield Line("up, exec true / limactl start, shell", *in_turn(lab.runs, lambda: _to_a_command(lab), other))
    lab.running()
    pair = in_turn(lab.runs, lambda: timed(lambda: lab.cli("exec", "-i", NAME, "--", "true")), shell)
    yield Line("exec true / limactl shell true", *pair)
    run((limactl, "stop", names[0]))


def _to_a_command(lab: Lab) -> float:
    lab.stopped(saved=True)
    return timed(lambda: run((*TOOL, "up", NAME))) + timed(lambda: run((*TOOL, "exec", "-i", NAME, "--", "true")))


def _kernel(lab: Lab) -> Path:
    """The instance's kernel on the host, its modules below the same directory as in a distribution."""
    release, boot = lab.instance().record.release, lab.instance().machine.boot
    assert isinstance(boot, DirectBoot)
    kernel, modules = (lab.scratch / "kernel" / place for place in (f"boot/vmlinuz-{release}", "usr/lib/modules"))
    for directory in (kernel.parent, modules):
        directory.mkdir(parents=True)
    shutil.copy(boot.kernel, kernel)
    lab.cli("cp", "-i", NAME, f":/usr/lib/modules/{release}", str(modules))
    return kernel


def _size(lab: Lab) -> tuple[str, ...]:
    record = lab.instance().record
    return ("--cpus", str(record.cpus), "--memory", f"{record.memory // 2**20}M")


def _emulated(lab: Lab) -> bool:
    lab.running()
    return lab.instance().status().accelerator == "tcg"


def _find(program: str, cure: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise NotTakenError(f"{program} is not installed ({cure})")
    return found


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@contextmanager
def _running(*argv: str) -> Iterator[None]:
    """A program in the background, ended with everything that it started."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait_ssh(port: str) -> None:
    run(("debvm-waitssh", "-t", str(PATIENCE), port), timeout=PATIENCE + 10)


ROWS = {"virtme-ng": virtme, "debvm": debvm, "lima": lima}
