"""How long things take, as medians of several runs, with each ratio's two sides measured in turn.

    python tests/bench/bench.py [--runs 5]

Uses an instance of its own (`bench`) in the user's usual home; provisions first when nothing is there yet.
Stop other virtual machines before: everything here is bound by the processor when it is emulated.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from provisioner.backends.base import Endpoint, Machine
from provisioner.backends.qemu.banner import BannerWatch
from provisioner.backends.qemu.layout import QemuFiles
from provisioner.core.config import Settings, load_settings
from provisioner.core.paths import find_paths
from provisioner.core.reporter import SilentReporter
from provisioner.guest.connection import connect
from provisioner.guest.identity import Identity
from provisioner.workflows.instances import open_instance
from provisioner.workflows.lifecycle import bring_down, reset_instance
from provisioner.workflows.up import bring_up

NAME = "bench"
TOOL = [sys.executable, "-m", "provisioner"]
EXAMPLE = "hello"
PATHS = find_paths()


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def command(*argv: str) -> Callable[[], object]:
    return lambda: subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def up(*, cold: bool = False) -> None:
    bring_up(NAME, _settings(), PATHS, SilentReporter(), cold=cold)


def down(*, save: bool = False) -> None:
    bring_down(NAME, PATHS, SilentReporter(), save=save)


def _settings() -> Settings:
    return load_settings(PATHS, Path(tempfile.gettempdir()), os.environ, {})


def boot_by_hand() -> float:
    """Seconds from starting the very same QEMU command line to its SSH banner.

    Looked at every 50 ms, with the tool's own way of asking: a new connection for every look, dropped after
    half a second, keeps an emulated sshd so busy that its banner comes 45 s later.
    """
    from provisioner.backends.qemu.record import recorded_argv

    instance = open_instance(NAME, PATHS)
    argv = recorded_argv(instance.machine)
    port = int(next(word for word in argv if "hostfwd=" in word).rsplit("127.0.0.1:", 1)[1].split("-")[0])
    fifos = QemuFiles(instance.machine).fifos
    for fifo in fifos:
        os.mkfifo(fifo)
    start = time.perf_counter()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with BannerWatch(Endpoint("127.0.0.1", port)) as banner:
            while not banner.poll(0.05):
                pass
        return time.perf_counter() - start
    finally:
        _power_off(instance.machine, port)
        process.wait()
        for fifo in fifos:
            fifo.unlink()


def _power_off(machine: Machine, port: int) -> None:
    with connect(Endpoint("127.0.0.1", port), Identity(PATHS.identity)) as guest:
        guest.run(["systemctl", "poweroff"], check=False)


def handshake() -> None:
    instance = open_instance(NAME, PATHS)
    endpoint = instance.status().endpoint
    assert endpoint
    with connect(endpoint, Identity(PATHS.identity)):
        pass


def pair(title: str, one: Callable[[], float], other: Callable[[], float], runs: int, limit: float) -> None:
    """Print both medians and the median of the ratios taken pair by pair."""
    pairs = [(one(), other()) for _ in range(runs)]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(a / b for a, b in pairs)
    print(
        f"{title:52} {ours:8.3f} s {theirs:8.3f} s  {statistics.median(ratios):6.2f}x "
        f"({ratios[0]:.2f}-{ratios[-1]:.2f})  at most {limit}x"
    )


def figure(title: str, action: Callable[[], float], runs: int) -> None:
    """Print the median of what ``action`` returns, in seconds."""
    taken = sorted(action() for _ in range(runs))
    print(f"{title:52} {statistics.median(taken):8.3f} s            ({taken[0]:.3f}-{taken[-1]:.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    print(f"{platform.platform()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    print(f"{'what against what':52} {'ours':>10} {'other':>10}  ratio (min-max)")

    bare = command(sys.executable, "-c", "pass")
    pair("version / python -c pass", lambda: timed(command(*TOOL, "version")), lambda: timed(bare), 3 * runs, 8)
    pair("--help / python -c pass", lambda: timed(command(*TOOL, "--help")), lambda: timed(bare), 3 * runs, 14)

    up(cold=True)
    print(f"overlay after `up`: {_overlay_bytes() / 1e6:.0f} MB, at most 100 MB")
    down()

    def boot() -> float:
        seconds = timed(lambda: up(cold=True))
        down()
        return seconds

    pair("boot a stopped instance / its QEMU by hand", boot, boot_by_hand, max(2, runs // 2), 1.15)

    resumes(boot, runs)
    run = command(*TOOL, "run", EXAMPLE, "-i", NAME, "--for", "1", "--no-trigger")
    run()

    def floor() -> float:
        return 2 * timed(handshake) + 1.0 + runner_seconds()

    pair("run unchanged for 1 s / 2 handshakes + runner", lambda: timed(run), floor, runs, 1.5)
    pair(
        "up on a running instance / ssh guest true",
        lambda: timed(command(*TOOL, "up", NAME)),
        lambda: timed(
            command("ssh", "-F", str(open_instance(NAME, PATHS).ssh_config), f"ebpf-dev-{NAME}", "true")
        ),
        runs,
        1.0,
    )
    down()


def resumes(boot: Callable[[], float], runs: int) -> None:
    """What going on from saved memory takes; leaves the instance running."""
    up()

    def save() -> float:
        seconds = timed(lambda: down(save=True))
        up()
        return seconds

    def resume() -> float:
        down(save=True)
        return timed(up)

    def reset() -> float:
        return timed(lambda: reset_instance(NAME, _settings(), PATHS, SilentReporter(), os.environ))

    def cold_boot() -> float:
        down()
        seconds = boot()
        up()
        return seconds

    figure("down with the memory saved", save, runs)
    figure("up after it, clock and names set", resume, runs)
    figure("reset: what a new instance takes", reset, runs)
    few = max(2, runs // 2)
    pair("up after down to SSH answer / cold boot", lambda: resume() + timed(handshake), cold_boot, few, 0.1)
    pair("reset to SSH answer / cold boot", lambda: reset() + timed(handshake), cold_boot, few, 0.1)
    figure("exec true", lambda: timed(command(*TOOL, "exec", "-i", NAME, "--", "true")), runs)


def runner_seconds() -> float:
    """What the runner itself takes in the guest beside the one second it is told to watch."""
    import json

    done = subprocess.run(
        [*TOOL, "run", EXAMPLE, "-i", NAME, "--for", "1", "--no-trigger", "--json"],
        capture_output=True, check=True,
    )  # fmt: skip
    stages = {stage["name"]: stage["seconds"] for stage in json.loads(done.stdout)["stages"]}
    return float(stages["load"] + stages["attach"] + max(0.0, stages["run"] - 1.0))


def _overlay_bytes() -> int:
    return open_instance(NAME, PATHS).machine.overlay.stat().st_blocks * 512


if __name__ == "__main__":
    main()
