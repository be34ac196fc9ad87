"""What the guest must know to reach the outside as the host does: apt mirror, proxy, CA certificates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.addresses import for_guest
from provisioner.core.errors import UsageError
from provisioner.core.templates import render
from provisioner.guest.base import Guest

#: Where Debian's and Ubuntu's ca-certificates look for an administrator's own (update-ca-certificates(8)).
HOST_CA_DIR = Path("/usr/local/share/ca-certificates")

_APT_PROXY = "/etc/apt/apt.conf.d/90ebpf-dev-proxy"
_SSHD_ENVIRONMENT = "/etc/ssh/sshd_config.d/20-ebpf-dev-proxy.conf"
_CA_PREFIX = "/usr/local/share/ca-certificates/ebpf-dev-"
_SOURCES = "/etc/apt/sources.list.d/ebpf-dev.list"


@dataclass(frozen=True)
class NetworkSettings:
    """``sources``: apt one-line entries or ""; ``proxy``: a URL or ""; ``ca``: PEM texts."""

    sources: str = ""
    proxy: str = ""
    no_proxy: str = ""
    ca: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Changes when the guest has to be told anew."""
        text = "\0".join((self.sources, self.proxy, self.no_proxy, *self.ca))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def network_settings(
    *, sources: str, proxy: str, ca_files: Sequence[Path], env: Mapping[str, str]
) -> NetworkSettings:
    """Settings from the configuration, else from the host's environment and its own CA certificates.

    Raises UsageError("bad-ca") when a file given is not a readable PEM certificate.
    """
    proxy = proxy or env.get("https_proxy") or env.get("HTTPS_PROXY") or env.get("http_proxy") or ""
    no_proxy = env.get("no_proxy") or env.get("NO_PROXY") or ""
    found = sorted(HOST_CA_DIR.glob("**/*.crt")) if not ca_files and HOST_CA_DIR.is_dir() else []
    return NetworkSettings(
        sources=sources,
        proxy=proxy_for_guest(proxy),
        no_proxy=no_proxy,
        ca=tuple(_read_certificate(path) for path in (*ca_files, *found)),
    )


def proxy_for_guest(proxy: str) -> str:
    """The host's proxy as the guest reaches it; one written without a scheme speaks HTTP.

    >>> proxy_for_guest("localhost:3128")
    'http://10.0.2.2:3128'
    """
    return for_guest(proxy if "://" in proxy or not proxy else f"http://{proxy}")


def apply_network(guest: Guest, settings: NetworkSettings) -> None:
    """Write the settings into the guest, and take away those of an earlier time."""
    guest.run(["sh", "-c", f"rm -f {_CA_PREFIX}*.crt {_APT_PROXY} {_SSHD_ENVIRONMENT}"])
    if settings.proxy:
        guest.put(render("network/apt-proxy.conf.j2", proxy=settings.proxy).encode(), _APT_PROXY)
        values = {"proxy": settings.proxy, "no_proxy": settings.no_proxy or "localhost,127.0.0.1"}
        guest.put(render("network/sshd-environment.conf.j2", **values).encode(), _SSHD_ENVIRONMENT)
        guest.run(["systemctl", "try-reload-or-restart", "ssh"])
    for index, certificate in enumerate(settings.ca):
        guest.put(certificate.encode(), f"{_CA_PREFIX}{index}.crt")
    if settings.ca:
        guest.run(["update-ca-certificates"], timeout=600)
    if settings.sources:
        _replace_sources(guest, settings.sources)


def _replace_sources(guest: Guest, sources: str) -> None:
    # The image's own entries are kept beside, with a name that apt passes over without a word.
    script = (
        "cd /etc/apt; [ ! -s sources.list ] || mv sources.list sources.list.image; "
        "for f in sources.list.d/*.sources; do [ ! -e $f ] || mv $f $f.disabled; done"
    )
    guest.run(["sh", "-c", script])
    guest.put(sources.encode(), _SOURCES)


def _read_certificate(path: Path) -> str:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise _bad_ca(path, str(exc)) from exc
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise _bad_ca(path, "it holds no PEM certificate")
    return text


def _bad_ca(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"The CA certificate {path} cannot be used",
        code="bad-ca",
        details=reason,
        hint="Give PEM files (-----BEGIN CERTIFICATE-----); convert DER with `openssl x509 -inform der`.",
    )
