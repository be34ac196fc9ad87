"""Waiting for sshd's banner on a port that the hypervisor forwards."""

from __future__ import annotations

import re
import selectors
import socket
import time
from types import TracebackType

from provisioner.backends.base import Endpoint

#: Seconds until the next attempt after the guest refused one.
_REFUSED_PAUSE = 0.1
#: Attempts at once. sshd drops connections at random from ten unauthenticated ones on (MaxStartups).
_PENDING_MAX = 8
#: Seconds an attempt may live. An emulated sshd on a busy host has needed several for its banner.
_LIFETIME = 30.0
_BANNER = re.compile(rb"^SSH-", re.MULTILINE)


class BannerWatch:
    """Attempts to read the SSH banner, some at once.

    QEMU accepts connections itself and passes them on when the guest answers, so an accepted connection
    says nothing, and one made before the guest's network was up may hang until a late retransmission.
    Hence new attempts beside the older ones, every ``pace`` seconds, of which any may bring the banner.
    They should be few: QEMU goes on with those that we close, so that all of a minute's attempts reach
    sshd together once the network is up, each costing the guest a process.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._address = (endpoint.host, endpoint.port)
        self.pace = 1.0
        self._selector = selectors.DefaultSelector()
        self._attempts: dict[socket.socket, float] = {}
        self._not_before = 0.0

    def __enter__(self) -> BannerWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for attempt in list(self._attempts):
            self._drop(attempt)
        self._selector.close()

    def poll(self, seconds: float) -> bool:
        """Whether the banner came within ``seconds``, which are also waited at most."""
        now = time.monotonic()
        self._expire(now)
        due = not self._attempts or now - max(self._attempts.values()) >= self.pace
        if due and now >= self._not_before and len(self._attempts) < _PENDING_MAX:
            self._begin(now)
        for key, _ in self._selector.select(seconds):
            assert isinstance(key.fileobj, socket.socket)
            if self._is_answered(key.fileobj):
                return True
        return False

    def _begin(self, now: float) -> None:
        attempt = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        attempt.setblocking(False)
        attempt.connect_ex(self._address)
        self._selector.register(attempt, selectors.EVENT_READ)
        self._attempts[attempt] = now

    def _is_answered(self, attempt: socket.socket) -> bool:
        try:
            data = attempt.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if _BANNER.search(data):
            return True
        self._drop(attempt)
        self._not_before = time.monotonic() + _REFUSED_PAUSE
        return False

    def _expire(self, now: float) -> None:
        for attempt, since in list(self._attempts.items()):
            if now - since > _LIFETIME:
                self._drop(attempt)

    def _drop(self, attempt: socket.socket) -> None:
        del self._attempts[attempt]
        self._selector.unregister(attempt)
        attempt.close()
