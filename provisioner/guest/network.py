"""What the guest must know to reach the outside as the host does: apt mirror, proxy, CA certificates."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.addresses import HOST_AS_SEEN_BY_GUEST, for_guest
from provisioner.core.errors import UsageError
from provisioner.core.templates import render
from provisioner.guest.base import HOME, Guest
from provisioner.guest.manager import PackageManager

#: Where Debian's and Ubuntu's ca-certificates look for an administrator's own (update-ca-certificates(8)).
HOST_CA_DIR = Path("/usr/local/share/ca-certificates")

_SSHD_ENVIRONMENT = "/etc/ssh/sshd_config.d/20-ebpf-dev-proxy.conf"
_SOURCES = "/etc/apt/sources.list.d/ebpf-dev.list"
#: Says which certificates the guest trusts since it was told last; written last, and no such thing meanwhile.
_TRUST_FILE = f"{HOME}/trusted"
_TRUSTED = 'cat "$1" 2>/dev/null; mkdir -p "${1%/*}"'
_DISTRUST = 'echo changing >"$2"; rm -f "$1"*.crt'
_FORGET_PROXY = 'rm -f "$2"; rm "$1" 2>/dev/null && echo forgotten; :'
# The image's own entries are kept beside, with a name that apt passes over without a word.
_SET_SOURCES_ASIDE = """
cd /etc/apt
[ ! -s sources.list ] || mv sources.list sources.list.image
for file in sources.list.d/*.sources; do
    [ ! -e "$file" ] || mv "$file" "$file.disabled"
done
"""
_BRING_SOURCES_BACK = """
[ -e "$1" ] || exit 0
cd /etc/apt
rm "$1"
[ ! -e sources.list.image ] || mv sources.list.image sources.list
for file in sources.list.d/*.sources.disabled; do
    [ ! -e "$file" ] || mv "$file" "${file%.disabled}"
done
"""
# Debian's name for the service, and everybody else's.
_RELOAD_SSHD = "systemctl try-reload-or-restart ssh 2>/dev/null || systemctl try-reload-or-restart sshd"


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
    *,
    sources: str,
    proxy: str,
    ca_files: Sequence[Path],
    env: Mapping[str, str],
    host: str = HOST_AS_SEEN_BY_GUEST,
) -> NetworkSettings:
    """Settings from the configuration, else from the host's environment and its own CA certificates.

    ``host`` is the host as the guest sees it.

    Raises UsageError("bad-ca") when a file given is not a readable PEM certificate, and "bad-proxy" when the
    environment's proxy is no address.
    """
    proxy = proxy or _proxy_of(env)
    # sshd ends for good at a word of SetEnv that is none, so blanks between the names must go.
    no_proxy = ",".join(re.findall(r"[^,\s\"']+", env.get("no_proxy") or env.get("NO_PROXY") or ""))
    found = sorted(HOST_CA_DIR.glob("**/*.crt")) if not ca_files and HOST_CA_DIR.is_dir() else []
    return NetworkSettings(
        sources=sources,
        proxy=proxy_for_guest(proxy, host),
        no_proxy=no_proxy,
        ca=tuple(_read_certificate(path) for path in (*ca_files, *found)),
    )


def _proxy_of(env: Mapping[str, str]) -> str:
    variable = next((name for name in ("https_proxy", "HTTPS_PROXY", "http_proxy") if env.get(name)), "")
    proxy = env.get(variable, "").strip()
    # It goes into configuration files of the guest.
    if re.search(r"[^\x21-\x7e]|[\"';{}\\#]", proxy):
        raise UsageError(
            f"${variable} is not the address of a proxy: {ascii(proxy)}",
            code="bad-proxy",
            hint=f"Write it as http://HOST:PORT, or set `proxy:` in ebpf-dev.yaml, which goes before ${variable}.",
        )
    return proxy


def proxy_for_guest(proxy: str, host: str = HOST_AS_SEEN_BY_GUEST) -> str:
    """The host's proxy as the guest reaches it; one written without a scheme speaks HTTP.

    >>> proxy_for_guest("localhost:3128")
    'http://10.0.2.2:3128'
    """
    return for_guest(proxy if "://" in proxy or not proxy else f"http://{proxy}", host)


def apply_network(guest: Guest, settings: NetworkSettings, manager: PackageManager) -> None:
    """Write the settings into the guest, and take away those of an earlier time."""
    forget = ["sh", "-c", _FORGET_PROXY, "forget", _SSHD_ENVIRONMENT, manager.PROXY_FILE]
    had_proxy = bool(guest.run(forget).stdout)
    if settings.proxy:
        guest.put(render(manager.PROXY_TEMPLATE, proxy=settings.proxy).encode(), manager.PROXY_FILE)
        values = {"proxy": settings.proxy, "no_proxy": settings.no_proxy or "localhost,127.0.0.1"}
        guest.put(render("network/sshd-environment.conf.j2", **values).encode(), _SSHD_ENVIRONMENT)
    if settings.proxy or had_proxy:
        guest.run(["sh", "-c", _RELOAD_SSHD])
    _trust(guest, settings.ca, manager)
    if settings.sources:
        guest.run(["sh", "-c", _SET_SOURCES_ASIDE])
        guest.put(settings.sources.encode(), _SOURCES)
    else:
        guest.run(["sh", "-c", _BRING_SOURCES_BACK, "sources", _SOURCES])


def _trust(guest: Guest, ca: Sequence[str], manager: PackageManager) -> None:
    """Let the guest trust these and none of an earlier time; does nothing when it does."""
    wanted = hashlib.sha256("\0".join(ca).encode()).hexdigest() if ca else ""
    if guest.run(["sh", "-c", _TRUSTED, "trusted", _TRUST_FILE]).stdout.strip() == wanted:
        return
    guest.run(["sh", "-c", _DISTRUST, "distrust", manager.CA_PREFIX, _TRUST_FILE])
    certificates = {f"{manager.CA_PREFIX}{index}.crt": text for index, text in enumerate(ca)}
    for path, text in certificates.items():
        guest.put(text.encode(), path)
    guest.run(["sh", "-c", manager.TRUST, "trust", manager.CA_STORE, manager.CA_PREFIX, *certificates])
    guest.put(wanted.encode(), _TRUST_FILE)


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
