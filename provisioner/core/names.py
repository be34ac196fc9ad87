"""Names that users choose and that end up in paths, host names and ssh configurations."""

from __future__ import annotations

import hashlib
import re

from provisioner.core.errors import UsageError

MAX_LENGTH = 40
# Lower case only: macOS file systems usually take "Dev" and "dev" for one directory, and ssh_config(5)
# and host names do not tell them apart either. 40 leaves room in a Unix socket's path.
_INSTANCE = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
# Debian policy 5.6.1; a name that ends in '-' would make apt remove a package. Fedora's may have capitals and '_'.
_PACKAGE = {
    "apt": re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](=[A-Za-z0-9.+:~-]+)?"),
    "dnf": re.compile(r"[A-Za-z0-9][A-Za-z0-9+._:~^-]*(?<!-)"),
}


def check_instance_name(name: str) -> str:
    """Return ``name`` when an instance may be called so; raises UsageError("bad-name") otherwise."""
    return _check(name, "an instance")


def check_snapshot_name(name: str) -> str:
    """Return ``name`` when a snapshot may be called so; raises UsageError("bad-name") otherwise."""
    return _check(name, "a snapshot")


def is_package_name(name: str, manager: str) -> bool:
    """Whether ``manager`` (apt, dnf) takes ``name`` for a package to install, with an optional version.

    >>> [is_package_name(name, "apt") for name in ("g++", "bpftool=7.5", "clang-", "-o")]
    [True, True, False, False]
    """
    return bool(_PACKAGE[manager].fullmatch(name))


def file_name(text: str) -> str:
    """A name for a file that no other text gets, also where file systems take "A" and "a" for one.

    >>> file_name("xdp-pass"), file_name("xdp-Pass"), file_name("a/b")
    ('xdp-pass', 'xdp-Pass-f163b928', 'a_b-c14cddc0')
    """
    safe = re.sub(r"[^\w.-]", "_", text)
    if safe == text.lower():
        return safe
    return f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _check(name: str, bearer: str) -> str:
    fault = _fault(name)
    if fault is None:
        return name
    raise UsageError(
        f"{shown(name)} cannot be the name of {bearer}: {fault}",
        code="bad-name",
        hint=f"Use lower-case letters, digits, '-', '_' and '.', at most {MAX_LENGTH} characters"
        f"{_suggestion(name)}.",
    )


def _fault(name: str) -> str | None:
    if not name:
        return "it is empty"
    if len(name) > MAX_LENGTH:
        return f"it has {len(name)} characters"
    if strange := re.search(r"[^a-z0-9._-]", name):
        return f"it holds {ascii(strange.group())}"
    if ".." in name:
        return "it holds '..'"
    if not _INSTANCE.fullmatch(name):
        return "it must start and end with a letter or a digit"
    return None


def _suggestion(name: str) -> str:
    safe = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_LENGTH].strip("-")
    return f"; for example {safe!r}" if safe else "; for example 'dev'"


def shown(text: str) -> str:
    """What somebody wrote, in quotes, without anything that a terminal would heed, and not too long."""
    return ascii(text if len(text) <= MAX_LENGTH else text[:30] + "...")
