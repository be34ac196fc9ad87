"""Addresses as the guest sees them, whose loopback is not the host's."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

#: Where QEMU's user-mode network shows the host to the guest (qemu docs/system/devices/net.rst).
HOST_AS_SEEN_BY_GUEST = "10.0.2.2"


def for_guest(uri: str, host: str = HOST_AS_SEEN_BY_GUEST) -> str:
    """The same URI as the guest reaches it: a loopback address means the host, which the guest sees as ``host``.

    >>> for_guest("http://user@localhost:3142/archive")
    'http://user@10.0.2.2:3142/archive'
    """
    parts = urlsplit(uri)
    if parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        return uri
    login, at, _ = parts.netloc.rpartition("@")
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{login}{at}{host}{port}"))
