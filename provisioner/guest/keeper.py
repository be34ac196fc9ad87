"""The keeper (``provisioner/keeper``): a process in the guest that the host reaches without the network.

A machine that was resumed believes that no time has passed and that it is the one that was saved. Before
anybody is let in the keeper sets it right: clock, random numbers, names. SSH could do that too, but a first
handshake takes a second under emulation.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.errors import GuestError
from provisioner.core.resources import keeper_source
from provisioner.guest.base import Guest
from provisioner.guest.recipe import HOME

UNIT = "ebpf-dev-keeper"

_BUILD = r"""
set -e
if [ ! -x "$1" ]; then
    mkdir -p "${1%/*}"
    cc -O1 -D_GNU_SOURCE -x c - -o "$1.new"
    mv "$1.new" "$1"
fi
"""
# Not ordered after anything: it starts while the rest of the boot goes on.
_START = r"""
systemctl is-active --quiet "$2" || systemd-run --quiet --collect --no-block --unit "$2" \
    -p DefaultDependencies=no -p Restart=always -p RestartSec=1 "$1"
"""
# What the keeper does when it is woken, for machines without a line to it.
_INTRODUCE = r"""
date -s "@$1" >/dev/null
[ "$(cat /etc/machine-id)" = "$3" ] || echo "$3" >/etc/machine-id
[ "$(cat /proc/sys/kernel/hostname)" != "$2" ] || exit 0
echo "$2" >/proc/sys/kernel/hostname
echo "$2" >/etc/hostname
sed -i '/^127\.0\.1\.1[[:space:]]/d' /etc/hosts
echo "127.0.1.1 $2" >>/etc/hosts
"""


@dataclass(frozen=True)
class Names:
    """What a guest is called; ``machine_id`` as of machine-id(5)."""

    hostname: str
    machine_id: str


def keeper_digest() -> str:
    """Changes with the keeper, so that nobody goes on from a machine that has another one in it."""
    return hashlib.sha256(keeper_source().read_bytes()).hexdigest()[:12]


def build_keeper(guest: Guest) -> None:
    """Build the keeper in the guest unless this very one is there."""
    _run(guest, _BUILD)


def start_keeper(guest: Guest) -> None:
    """Start the keeper in a guest that has booted, built first when missing; does nothing when it runs."""
    _run(guest, _BUILD + _START)


def introduce(guest: Guest, names: Names) -> None:
    """Tell a guest that has booted the time and its own names, where there is no line to its keeper."""
    now = f"{time.time():.3f}"
    guest.run(["sh", "-c", _INTRODUCE, "introduce", now, names.hostname, names.machine_id])


def _run(guest: Guest, script: str) -> None:
    argv = ["sh", "-c", script, "keeper", f"{HOME}/keeper-{keeper_digest()}", UNIT]
    guest.run(argv, input=keeper_source().read_bytes(), timeout=300)


def wake(channel: Path, names: Names, timeout: float) -> None:
    """Tell a guest the time, give it fresh random numbers and its own names, and wait until it has them.

    ``channel`` as of ``Backend.channel``; seconds. Raises GuestError("guest-silent").
    """
    names_and_seed = f"{names.hostname} {names.machine_id} {secrets.token_hex(32)}"

    def request() -> str:
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        return f"wake {seconds} {nanoseconds} {names_and_seed}"

    _ask(channel, request, timeout)


def is_awake(channel: Path, timeout: float) -> bool:
    """Whether the guest answers within ``timeout`` seconds: sooner than sshd, which makes two processes first."""
    try:
        _ask(channel, lambda: "ping", timeout)
    except GuestError:
        return False
    return True


def write_back(channel: Path, timeout: float = 30.0) -> None:
    """Let the guest write to its disk what it holds in memory only; seconds. Raises GuestError("guest-silent")."""
    _ask(channel, lambda: "sync", timeout)


def _ask(channel: Path, request: Callable[[], str], timeout: float) -> None:
    """Send one request, worded only now, and wait for its token."""
    token = secrets.token_hex(4)
    deadline = time.monotonic() + timeout
    try:
        with _opened(f"{channel}.out", os.O_RDONLY) as answers, _opened(f"{channel}.in", os.O_WRONLY) as requests:
            # An answer goes to whoever reads first, so one asks at a time.
            fcntl.flock(requests, fcntl.LOCK_EX)
            os.write(requests, f"{token} {request()}\n".encode())
            _wait_for(token.encode(), answers, deadline)
    except OSError as exc:
        raise GuestError(
            "The guest does not answer its host",
            code="guest-silent",
            details=f"{channel}: {exc.strerror or exc}",
            hint="`ebpf-dev logs` shows its console; `ebpf-dev up --cold` boots it afresh.",
        ) from exc


@contextlib.contextmanager
def _opened(path: str, mode: int) -> Iterator[int]:
    # The hypervisor holds both ends open: without it writing fails at once instead of waiting for a reader.
    handle = os.open(path, mode | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


def _wait_for(token: bytes, answers: int, deadline: float) -> None:
    received = b""
    while token not in received.split(b"\n")[:-1]:
        left = deadline - time.monotonic()
        if left < 0 or not select.select([answers], [], [], left)[0]:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        said = os.read(answers, 4096)
        if not said:  # nobody holds the other end any more
            raise BrokenPipeError(errno.EPIPE, "the machine has ended")
        received += said
