"""The keeper: a small shell loop in the guest that the host reaches without the network, in milliseconds.

A machine that was resumed believes that no time has passed and that it is the one that was saved. Before
anybody is let in the keeper sets it right: clock, random numbers, names. SSH could do that too, but a first
handshake takes a second under emulation.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.errors import GuestError
from provisioner.guest.base import Guest
from provisioner.guest.recipe import HOME

UNIT = "ebpf-dev-keeper"

# One request a line: WORD TOKEN ...; the token is sent back when it is done. Forks are avoided: each costs some
# 20 ms under emulation. 0x5207 is RNDRESEEDCRNG (random(4)): what is written to urandom counts at once. perl-base
# is essential in Debian and Ubuntu.
_KEEPER = r"""
for dir in /sys/class/virtio-ports/*; do
    read -r label <"$dir/name" && [ "$label" = ebpf-dev ] && port=/dev/${dir##*/}
done
exec 3<>"$port" || exit 1
call() {
    read -r before </proc/sys/kernel/hostname
    [ "$before" != "$1" ] || return 0
    echo "$1" >/proc/sys/kernel/hostname
    echo "$1" >/etc/hostname
    sed -i "s/^127\.0\.1\.1 .*/127.0.1.1 $1/" /etc/hosts
}
identify() {
    read -r before </etc/machine-id
    [ "$before" = "$1" ] || echo "$1" >/etc/machine-id
}
while read -r word token now name id seed <&3; do
    case "$word" in
    wake)
        echo "$seed" >/dev/urandom
        perl -e 'open R, "+<", "/dev/urandom" and ioctl R, 0x5207, 0'
        call "$name"
        identify "$id"
        date -s "@$now" >/dev/null
        ;;
    sync) sync ;;
    esac
    echo "$token" >&3
done
"""
#: Changes with the keeper, so that nobody resumes a machine with another one in it.
KEEPER_DIGEST = hashlib.sha256(_KEEPER.encode()).hexdigest()[:16]

# From a file, because systemd would expand variables in an argument. Not ordered after anything: it starts while
# the rest of the boot goes on.
_START = r"""
set -e
! systemctl is-active --quiet "$1" || exit 0
mkdir -p "${2%/*}"
cat >"$2"
systemd-run --quiet --collect --no-block --unit "$1" \
    -p DefaultDependencies=no -p Restart=always -p RestartSec=1 sh "$2"
"""


@dataclass(frozen=True)
class Names:
    """What a guest is called; ``machine_id`` as of machine-id(5)."""

    hostname: str
    machine_id: str


def start_keeper(guest: Guest) -> None:
    """Start the keeper in a guest that has booted; does nothing when it is there."""
    guest.run(["sh", "-c", _START, "start", UNIT, f"{HOME}/keeper"], input=_KEEPER.encode())


def wake(channel: Path, names: Names, timeout: float = 30.0) -> None:
    """Tell a guest the time, give it fresh random numbers and its own names, and wait until it has them.

    ``channel`` as of ``Backend.channel``; seconds. Raises GuestError("guest-silent").
    """
    seed = secrets.token_hex(32)
    _ask(channel, lambda: f"{time.time():.6f} {names.hostname} {names.machine_id} {seed}", "wake", timeout)


def write_back(channel: Path, timeout: float = 60.0) -> None:
    """Let the guest write to its disk what it holds in memory only; seconds. Raises GuestError("guest-silent")."""
    _ask(channel, lambda: "", "sync", timeout)


def _ask(channel: Path, rest: Callable[[], str], word: str, timeout: float) -> None:
    """Send one request and wait for its token; ``rest`` is computed when it is sent."""
    token = secrets.token_hex(4)
    deadline = time.monotonic() + timeout
    try:
        with _opened(f"{channel}.out", os.O_RDONLY) as answers, _opened(f"{channel}.in", os.O_WRONLY) as requests:
            os.write(requests, f"{word} {token} {rest()}\n".encode())
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
        if not select.select([answers], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        received += os.read(answers, 4096)
