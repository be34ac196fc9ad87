"""The Lima backend: machines as instances of Lima, with Apple's virtualisation or QEMU below."""

from __future__ import annotations

import contextlib
import filecmp
import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provisioner.backends.base import DirectBoot, Endpoint, FirmwareBoot, Machine, State, Status
from provisioner.backends.lima.boot import Start, is_ours, running_pids, wait_for_banner
from provisioner.backends.lima.failures import (
    as_root,
    no_disk,
    no_driver,
    no_image,
    no_limactl,
    unsaveable,
    will_not_end,
)
from provisioner.backends.lima.layout import LimaFiles, check_home, whole_disk
from provisioner.backends.lima.limactl import TOOL, Limactl, Row, check_version
from provisioner.backends.lima.plan import (
    HOST,
    USER,
    Keys,
    choose_driver,
    kernel_cmdline,
    render_config,
    render_emulator,
)
from provisioner.backends.lima.status import BROKEN, RUNNING, STOPPED, judge
from provisioner.backends.qemu import tools
from provisioner.backends.qemu.accelerator import gather_facts
from provisioner.backends.qemu.boot import SILENCE
from provisioner.backends.qemu.failures import AcceleratorFailure
from provisioner.backends.qemu.firmware import has_boot_code
from provisioner.backends.qemu.selection import GatherFacts, Selection
from provisioner.core.errors import HostError, InstanceError
from provisioner.core.files import copy_sparse, locked, write_atomic, write_json
from provisioner.core.host import HostFacts, find_tool, this_host
from provisioner.core.paths import ensure_dir
from provisioner.core.process import require_tool
from provisioner.core.reporter import Reporter

SCHEMA = 1

#: Seconds for processes that were killed to be gone, and for a start that others began to get on its feet.
_KILL_TIMEOUT, _SETTLE = 15.0, 5.0
_TICK = 0.1

# Lima waits for its own user and for a word from its boot scripts, which run from a cloud-init that our machines
# do without. Until both are there it logs in every three seconds.
_GREETING = r"""
id "$1" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh --password '*' "$1"
home=$(getent passwd "$1" | cut -d: -f6)
install -d -m 700 -o "$1" "$home/.ssh"
echo "$2" >"$home/.ssh/authorized_keys"
chown "$1" "$home/.ssh/authorized_keys"
echo "$3" >/run/lima-boot-done
"""


class LimaBackend:
    """Implements ``Backend``; it cannot save memory.

    ``home`` is LIMA_HOME, ``host_facts`` where failures of accelerators are remembered, ``keys`` let us into
    guests. The rest looks at the host: ``gather`` for the choice of an accelerator.
    """

    name = "lima"
    host_address = HOST

    def __init__(
        self,
        home: Path,
        host_facts: Path,
        keys: Keys,
        *,
        gather: GatherFacts = gather_facts,
        host: Callable[[], HostFacts] = this_host,
        silence: float = SILENCE,
    ) -> None:
        self._home = home
        self._limactl = Limactl(home)
        self._selection = Selection(host_facts, gather)
        self._keys = keys
        self._host = host
        self._silence = silence
        self._children: list[subprocess.Popen[bytes]] = []

    def check_host(self, arch: str) -> None:
        """Raise HostError("tool-missing", "lima-root", "lima-too-old", "lima-home-too-long", "lima-driver")."""
        host = self._host()
        if find_tool(TOOL) is None:
            raise no_limactl(host.system)
        if host.is_root:
            raise as_root()
        check_version(self._limactl)
        check_home(self._home)
        driver = choose_driver(host, arch, "auto")
        if driver not in (known := self._limactl.drivers()):
            raise no_driver(driver, known)
        if driver == "qemu":
            tools.check_version(arch)
            require_tool("qemu-img", "to make the machine's disk")

    def disk_form(self, arch: str) -> str:
        return "raw" if choose_driver(self._host(), arch, "auto") == "vz" else "qcow2"

    def describe(self, machine: Machine) -> list[str]:
        driver = choose_driver(self._host(), machine.arch, machine.accelerator)
        config = render_config(machine, driver, machine.base_disk, self._keys)
        return [
            f"by Lima as {self._files(machine).name} with its driver {driver}:",
            *(f"  {line}" for line in config.splitlines()),
        ]

    def create(self, machine: Machine) -> None:
        """Make Lima's instance unless it is whole.

        Raises InstanceError("image-missing", "lima-failed"), HostError("disk-full", "tool-missing", ...).
        """
        files = self._files(machine)
        if self._is_whole(files):
            return
        if not machine.base_disk.is_file():
            raise no_image(machine.name, machine.base_disk)
        ensure_dir(machine.directory)
        self._plant_key()
        self._remove(files)  # what is left of a creation that was interrupted
        driver = choose_driver(self._host(), machine.arch, machine.accelerator)
        image = _standalone(machine.base_disk) if driver == "qemu" else machine.base_disk
        uefi = driver == "qemu" and isinstance(machine.boot, FirmwareBoot) and not has_boot_code(image)
        config = render_config(machine, driver, image, self._keys, uefi=uefi)
        write_atomic(files.config, config.encode())
        self._limactl.create(files.name, files.config)
        files.disk.chmod(0o600)
        _link(machine.overlay, files.disk)
        _link(machine.console_log, files.consoles[driver == "vz"])
        write_json(files.record, {"schema": SCHEMA, "driver": driver, **_changeable(machine)})

    def start(self, machine: Machine, reporter: Reporter, timeout: float = 300.0) -> Endpoint:
        """Start the machine unless it runs, and wait for its sshd's banner; see ``Backend.start``.

        An accelerator that turns out not to boot Linux is replaced and remembered as with QEMU.
        """
        try:
            endpoint = self._boot(machine, None, reporter, timeout)
        except AcceleratorFailure as failure:
            self._end(self._files(machine))
            if machine.accelerator != "auto":
                raise InstanceError(
                    f"{failure.accelerator.upper()} could not boot {machine.name!r}: {failure.reason}",
                    code="accelerator-failed",
                    details=failure.details,
                    hint="Set the accelerator to 'auto' to fall back to emulation.",
                ) from failure
            self._selection.announce(failure, reporter)
            endpoint = self._boot(machine, "tcg", reporter, timeout)
            self._selection.remember(machine.arch, failure)
        else:
            self._selection.forget(machine)
        return endpoint

    def status(self, machine: Machine) -> Status:
        """What is true now; takes as long as ``limactl list`` does."""
        files = self._files(machine)
        if not self._is_whole(files):
            return Status(State.ABSENT)
        try:
            row = self._row(files)
        except (HostError, InstanceError) as exc:
            return Status(State.BROKEN, detail=exc.brief)
        return judge(row, str(_read(files).get("accelerator", "tcg"))) if row else Status(State.ABSENT)

    def stop(self, machine: Machine, *, force: bool = False, timeout: float = 60.0) -> None:
        """Shut the machine down, then end what is left of it; see ``Backend.stop``."""
        files = self._files(machine)
        row = self._row(files)
        if row is None or row.status == STOPPED:
            return
        if row.status == RUNNING and not force:
            # Failing is not having done it in time, or having lost sight of its processes.
            with contextlib.suppress(HostError, InstanceError):
                self._limactl.stop(files.name, timeout=timeout)
            row = self._row(files)
        if row is not None and row.status != STOPPED:
            self._end(files)
        self._reap()

    def delete(self, machine: Machine) -> None:
        """End the machine and remove its files; its directory stays, for it may hold others' files."""
        files = self._files(machine)
        self._remove(files)
        for path in files.own():
            path.unlink(missing_ok=True)

    def greeting(self, machine: Machine) -> tuple[str, ...]:
        """Let Lima's host agent in, and tell it that the boot is done."""
        boot = re.search(rb"instance-id: (iid-\d+)", self._files(machine).seed.read_bytes())
        identity = boot[1].decode() if boot else ""
        return ("sh", "-ec", _GREETING, "greet", USER, self._keys.client_public, identity)

    def freeze(self, machine: Machine, disk: Path) -> None:
        """Lima's disk becomes the base disk."""
        files = self._files(machine)
        self.stop(machine, timeout=180)
        part = disk.with_suffix(".part")
        if _read(files).get("driver") == "qemu" and tools.find_backing(files.disk):
            tools.flatten(files.disk, part)  # Lima before 2.1 keeps an image below it
        else:
            shutil.move(files.disk, part)
        part.chmod(0o400)
        part.replace(disk)
        self.delete(machine)

    def shape(self, machine: Machine) -> str | None:
        return None

    def save(self, machine: Machine) -> None:
        raise unsaveable(machine.name)

    def resume(self, machine: Machine, reporter: Reporter) -> Endpoint | None:
        return None

    def channel(self, machine: Machine) -> Path | None:
        return None

    def capture(self, machine: Machine, directory: Path) -> None:
        """Copy the disk of a machine that does not run; raises InstanceError("save-unsupported") for others."""
        if self.status(machine).state is not State.STOPPED:
            raise unsaveable(machine.name)
        copy_sparse(self._files(machine).disk, directory / machine.overlay.name)

    def place(self, machine: Machine, source: Path) -> None:
        """Take the disk from ``source``; see ``Backend.place``."""
        self.create(machine)
        disk = self._files(machine).disk
        part = disk.with_suffix(".part")
        copy_sparse(source / machine.overlay.name, part)
        part.replace(disk)

    def _files(self, machine: Machine) -> LimaFiles:
        return LimaFiles(machine, self._home)

    def _is_whole(self, files: LimaFiles) -> bool:
        return files.record.exists() and files.disk.exists()

    def _row(self, files: LimaFiles) -> Row | None:
        """What Lima says, without process numbers that have come to belong to strangers, whom it would kill."""
        if not files.directory.is_dir():
            return None
        for path in files.pid_files:
            try:
                stale = not is_ours(files, int(path.read_text()))
            except FileNotFoundError:
                continue
            except ValueError:
                stale = True
            if stale:
                path.unlink(missing_ok=True)
        return self._limactl.find(files.name)

    def _boot(self, machine: Machine, accelerator: str | None, reporter: Reporter, timeout: float) -> Endpoint:
        files = self._files(machine)
        with reporter.step(f"Booting {machine.name}") as step:
            row = self._settled_row(files)
            if row is None or not self._is_whole(files):
                raise no_disk(machine.name, files.disk)
            if row.status == RUNNING:
                start = Start(machine, files, str(_read(files).get("accelerator", "tcg")))
            else:
                if row.status != STOPPED:
                    self._end(files)
                start = self._launch(files, accelerator or self._choose(machine, reporter), timeout)
            return wait_for_banner(start, step, timeout, self._silence)

    def _settled_row(self, files: LimaFiles) -> Row | None:
        """Lima's row; one that somebody has just begun to start looks broken until its machine runs."""
        deadline = time.monotonic() + _SETTLE
        while (row := self._row(files)) and row.status == BROKEN and row.host_agent:
            if time.monotonic() > deadline:
                break
            time.sleep(_TICK)
        return row

    def _launch(self, files: LimaFiles, accelerator: str, timeout: float) -> Start:
        machine, record = files.machine, _read(files)
        wanted = _changeable(machine)
        if any(record.get(name) != value for name, value in wanted.items()):
            self._limactl.edit(files.name, f'.cpus = {machine.cpus} | .memory = "{machine.memory >> 20}MiB"')
        _renew_kernel(files, str(record.get("driver", "qemu")))
        write_json(files.record, {**record, **wanted, "accelerator": accelerator})
        files.ssh_config.unlink(missing_ok=True)  # it says the port of the time before
        env = {}
        if accelerator == "tcg":
            emulator = tools.require_emulator(machine.arch)
            write_atomic(files.emulator, render_emulator(machine.arch, emulator).encode(), 0o700)
            env[f"QEMU_SYSTEM_{machine.arch.upper()}"] = shlex.quote(str(files.emulator.absolute()))
        child = self._limactl.start(files.name, files.log, timeout, env)
        self._children.append(child)
        return Start(machine, files, accelerator, child)

    def _choose(self, machine: Machine, reporter: Reporter) -> str:
        if _read(self._files(machine)).get("driver") == "vz":
            return "vz"
        return self._selection.choose(machine, reporter)

    def _end(self, files: LimaFiles) -> None:
        """Kill what there is of an instance; raises InstanceError("stop-failed")."""
        left = running_pids(files)
        self._limactl.stop(files.name, force=True)
        deadline = time.monotonic() + _KILL_TIMEOUT
        while left := [pid for pid in left if is_ours(files, pid)]:
            if time.monotonic() > deadline:
                raise will_not_end(files.machine.name, left)
            time.sleep(_TICK)
        self._reap()

    def _remove(self, files: LimaFiles) -> None:
        if self._row(files) is not None or files.directory.exists():
            self._end(files)
            self._limactl.delete(files.name)

    def _plant_key(self) -> None:
        """Our own key is the one that Lima's host agent uses; it would make one otherwise."""
        key = self._home / "_config" / "user"
        if not key.exists():
            write_atomic(key.with_suffix(".pub"), f"{self._keys.client_public}\n".encode(), 0o644)
            write_atomic(key, self._keys.client_key.read_bytes())

    def _reap(self) -> None:
        """Take the exit statuses of ended children, which otherwise stay as zombies while we live."""
        self._children = [child for child in self._children if child.poll() is None]


def _standalone(base_disk: Path) -> Path:
    """The base disk itself when it stands on no other, else a copy for which that is true: Lima takes no other."""
    if tools.find_backing(base_disk) is None:
        return base_disk
    whole = whole_disk(base_disk)
    with locked(whole.with_suffix(".lock")):
        if not whole.exists():
            part = whole.with_suffix(".part")
            tools.flatten(base_disk, part)
            part.chmod(0o400)
            part.replace(whole)
    return whole


def _renew_kernel(files: LimaFiles, driver: str) -> None:
    """Give Lima the kernel of today, for it boots the copy that it took when the instance was made."""
    machine = files.machine
    if not isinstance(machine.boot, DirectBoot):
        return
    kernel, initrd, cmdline = files.boot
    for ours, copy in ((machine.boot.kernel, kernel), (machine.boot.initrd, initrd)):
        if not copy.exists() or not filecmp.cmp(ours, copy, shallow=False):
            write_atomic(copy, ours.read_bytes())
    write_atomic(cmdline, kernel_cmdline(machine.boot, machine.arch, driver).encode())


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _changeable(machine: Machine) -> dict[str, int]:
    return {"cpus": machine.cpus, "memory": machine.memory}


def _read(files: LimaFiles) -> dict[str, Any]:
    """The record, empty when it cannot be read."""
    try:
        value = json.loads(files.record.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
