"""From the text of a setting to its value; what cannot be meant is a ValueError that says why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from provisioner.core.files import file_fault
from provisioner.core.host import ARCHES, normal_arch
from provisioner.core.names import is_package_name, shown
from provisioner.core.settings import OPTIONAL_SETTINGS, Written
from provisioner.core.sizes import GIB, MIB, format_size, parse_size

BACKENDS = ("qemu", "lima")
ACCELERATORS = ("auto", "kvm", "hvf", "tcg")
#: Below this Debian's cloud kernel with its initrd boots, but apt and clang are killed for lack of memory.
MIN_MEMORY = 512 * MIB
#: The provisioned root disk holds about 2 GiB; an overlay cannot be smaller than what it stands on.
MIN_DISK = 4 * GIB
MAX_CPUS = 255  # QEMU's q35 machine allows no more without an IOMMU


def parse_value(written: Written) -> object:
    """The value a setting has, from its text; raises ValueError that says what is wrong with it."""
    if written.value is None:
        if written.name in OPTIONAL_SETTINGS:
            return None
        raise ValueError("has no value")
    if written.name == "image":
        return _parse_image(str(written.value).strip(), written.base)
    if isinstance(written.value, list):
        if written.name == "ca":
            return _parse_ca(written.value, written.base)
        return _parse_packages(written.value)
    return _PARSERS[written.name](written.value.strip())


def _parse_image(text: str, base: Path) -> str:
    """A name of the catalogue, an address, or the absolute path of a file; a path is told by its slash."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        return text
    if text.startswith(("http://", "https://")):
        return _parse_url(text)
    if "/" in text and text.isprintable():
        path = (base / _expanded(text)).absolute()
        if fault := file_fault(path):
            raise ValueError(f"{path} {fault}; give a disk image or a catalogue file")
        return str(path)
    raise ValueError(
        f"{shown(text)} is not the name of an image, such as debian-13, nor a path such as ./my.qcow2"
    )


def _parse_kernel(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+~_-]{0,79}", text):
        return text
    raise ValueError(f"{shown(text)} is not default, backports, latest or a version, such as 7.3")


def _parse_arch(text: str) -> str:
    arch = normal_arch(text)
    if arch is None:
        raise ValueError(_not_one_of(text, ARCHES))
    return arch


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text in choices:
            return text
        raise ValueError(_not_one_of(text, choices))

    return parse


def _not_one_of(text: str, choices: Iterable[str]) -> str:
    return f"{shown(text)} is not one of: {', '.join(choices)}"


def _parse_cpus(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
        raise ValueError(f"{shown(text)} is not a whole number, such as 2")
    if not 1 <= int(text) <= MAX_CPUS:
        raise ValueError(f"{text} is not between 1 and {MAX_CPUS}")
    return int(text)


def _at_least(minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        size = parse_size(text)
        if size < minimum:
            raise ValueError(f"{text} is too small; the least that works is {format_size(minimum)}")
        if size > 1 << 50:
            raise ValueError(f"{text} is more than any machine has")
        return size

    return parse


def _parse_url(text: str) -> str:
    from urllib.parse import urlsplit

    try:
        url = urlsplit(text)
        valid = url.scheme in ("http", "https") and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        valid = False
    # The value is written into apt's configuration inside the guest: no quotes, blanks or control characters.
    if not valid or re.search(r"[^\x21-\x7e]|[\"';{}\\]", text):
        raise ValueError(f"{shown(text)} is not an address such as http://HOST:PORT/PATH")
    return text


def _parse_packages(names: list[str]) -> tuple[str, ...]:
    # Which of them the image's distribution has is found out when they are installed.
    strange = [name for name in names if not (is_package_name(name, "apt") or is_package_name(name, "dnf"))]
    if strange:
        raise ValueError(f"not the name of a package: {', '.join(map(shown, strange))}")
    return tuple(dict.fromkeys(names))


def _parse_ca(names: list[str], base: Path) -> tuple[Path, ...]:
    found = [(base / _expanded(name)).absolute() for name in names]
    for path in found:
        if fault := file_fault(path):
            raise ValueError(f"{path} {fault}; give the file of a certificate")
    return tuple(dict.fromkeys(found))


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # "~somebody" who does not exist here
        return Path(name)


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "kernel": _parse_kernel,
    "backend": _one_of(BACKENDS),
    "arch": _parse_arch,
    "accelerator": _one_of(ACCELERATORS),
    "cpus": _parse_cpus,
    "memory": _at_least(MIN_MEMORY),
    "disk": _at_least(MIN_DISK),
    "mirror": _parse_url,
    "image_mirror": _parse_url,
    "proxy": _parse_url,
}
