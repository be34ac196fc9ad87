"""The settings of one invocation, from five layers, and where each of them came from.

Later layers win: built-in defaults, the user's configuration file, the project's ``ebpf-dev.yaml``,
``EBPF_DEV_*`` variables, flags. A list (``packages``, ``ca``) replaces the former one, it does not add to it.
Every layer is brought to the same form first, text with the place it was written, so that one table of
parsers judges all of them and every mistake is reported at once.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.core.errors import UsageError
from provisioner.core.host import ARCHES, cpu_count, default_backend, host_arch, normal_arch
from provisioner.core.names import is_package_name
from provisioner.core.paths import Paths

if TYPE_CHECKING:
    import yaml

PROJECT_FILE = "ebpf-dev.yaml"
PREFIX = "EBPF_DEV_"
BACKENDS = ("qemu", "lima")
ACCELERATORS = ("auto", "kvm", "hvf", "tcg")

MIB = 1 << 20
GIB = 1 << 30
_UNITS = (("T", GIB * 1024), ("G", GIB), ("M", MIB), ("K", 1024))
#: Below this Debian's cloud kernel with its initrd boots, but apt and clang are killed for lack of memory.
MIN_MEMORY = 512 * MIB
#: The provisioned root disk holds about 2 GiB; an overlay cannot be smaller than what it stands on.
MIN_DISK = 4 * GIB
MAX_CPUS = 255  # QEMU's q35 machine allows no more without an IOMMU

# ``EBPF_DEV_HOME`` is read by paths.py: it says where the configuration file is.
_OTHER_VARIABLES = frozenset({"EBPF_DEV_HOME"})

_LIST_SETTINGS = frozenset({"packages", "ca"})
_OPTIONAL_SETTINGS = frozenset({"image_mirror", "mirror", "proxy"})
# What people write from the habit of other tools, where the spelling alone does not lead to ours.
_SYNONYMS = {
    "ram": "memory", "mem": "memory", "cores": "cpus", "vcpus": "cpus", "smp": "cpus", "distro": "image",
    "os": "image", "storage": "disk", "vmtype": "backend", "driver": "backend", "accel": "accelerator",
    "http_proxy": "proxy", "https_proxy": "proxy", "apt": "packages", "install": "packages",
    "linux": "kernel", "certificates": "ca", "cacert": "ca", "architecture": "arch", "platform": "arch",
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What the user wants, after all layers; ``memory`` and ``disk`` in bytes.

    ``kernel`` is "default", the image's own, or a word of ``guest/kernel_pairs.py``. ``arch`` is the host's
    unless told, ``mirror`` and ``proxy`` None mean its own. ``ca`` holds absolute paths of certificate files.
    ``origin`` says for each field where its value was written, in words to show.
    """

    image: str = "debian-13"
    kernel: str = "default"
    backend: str = field(default_factory=default_backend)
    arch: str = field(default_factory=host_arch)
    accelerator: str = "auto"
    cpus: int = 2
    memory: int = 2 * GIB
    disk: int = 20 * GIB
    packages: tuple[str, ...] = ()
    mirror: str | None = None
    image_mirror: str | None = None
    proxy: str | None = None
    ca: tuple[Path, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict, compare=False)


SETTINGS = tuple(item.name for item in fields(Settings) if item.name != "origin")


@dataclass(frozen=True)
class _Written:
    """One setting as somebody wrote it: text, a list of texts or nothing, and the place, in words.

    ``where`` says it in a mistake, ``base`` is the directory that relative paths start from.
    """

    name: str
    value: str | list[str] | None
    where: str
    base: Path


def load_settings(
    paths: Paths, cwd: Path, env: Mapping[str, str], flags: Mapping[str, object] | None = None
) -> Settings:
    """The effective settings; ``flags`` maps setting names to what was given, None meaning not given.

    Raises UsageError("bad-config") that lists every mistake of every layer with its place.
    """
    values: dict[str, Any] = {"cpus": min(2, cpu_count())}
    origin = dict.fromkeys(SETTINGS, "default")
    mistakes: list[str] = []
    for written in _read_layers(paths, cwd, env, flags or {}):
        if isinstance(written, str):
            mistakes.append(written)
            continue
        try:
            values[written.name] = _parse(written)
            origin[written.name] = written.where
        except ValueError as exc:
            mistakes.append(f"{written.where}: {written.name}: {exc}")
    if mistakes:
        raise _bad_config(mistakes)
    return Settings(**values, origin=origin)


def find_project_file(cwd: Path) -> Path | None:
    """The nearest ``ebpf-dev.yaml`` in ``cwd`` or above it; also one that turns out to be unreadable."""
    for folder in (cwd, *cwd.parents):
        candidate = folder / PROJECT_FILE
        if os.path.lexists(candidate):
            return candidate
    return None


def parse_size(text: str) -> int:
    """Bytes of "2G", "2048M", "1.5GiB"; units are powers of 1024, as in QEMU. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?", text.strip(), re.IGNORECASE | re.ASCII)
    if match:
        scale = 1024 ** ("kmgt".index(match[2].lower()) + 1)
        return int(float(match[1]) * scale)
    if re.fullmatch(r"\d+", text.strip()):
        raise ValueError(f"{text.strip()} has no unit; write for example {text.strip()}M or 2G")
    raise ValueError(f"{_shown(text)} is not a size; write for example 2G or 2048M")


def format_size(size: int) -> str:
    """A size in bytes, exactly where one decimal of a unit can say it, else rounded in the largest unit."""
    units = [(unit, scale) for unit, scale in _UNITS if size >= scale]
    exact = [(unit, scale) for unit, scale in units if size * 10 % scale == 0 and size < scale * 10_000]
    for unit, scale in exact[:1] or units[:1]:
        return f"{size / scale:.1f}".removesuffix(".0") + unit
    return f"{size}B"


def describe_settings(settings: Settings) -> list[tuple[str, str, str]]:
    """Name, value and origin of every setting, as texts to show."""
    return [(name, _in_words(name, getattr(settings, name)), settings.origin.get(name, "")) for name in SETTINGS]


def _in_words(name: str, value: object) -> str:
    if name in ("memory", "disk"):
        return format_size(int(str(value)))
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "the host's" if value is None else str(value)


def _bad_config(mistakes: list[str]) -> UsageError:
    hint = f"Settings are: {', '.join(SETTINGS)}."
    if len(mistakes) == 1:
        return UsageError(mistakes[0], code="bad-config", hint=hint)
    return UsageError(
        f"{len(mistakes)} mistakes in the configuration",
        code="bad-config",
        details="\n".join(mistakes),
        hint=hint,
    )


# --- the layers: each gives what was written and, as texts, the mistakes that hide what was meant ----------

_Layer = Iterator[_Written | str]


def _read_layers(paths: Paths, cwd: Path, env: Mapping[str, str], flags: Mapping[str, object]) -> _Layer:
    yield from _read_file(paths.config_file)
    project = find_project_file(cwd)
    if project is not None and project != paths.config_file:
        yield from _read_file(project)
    yield from _read_env(env, cwd)
    yield from _read_flags(flags, cwd)


def _read_env(env: Mapping[str, str], cwd: Path) -> _Layer:
    """The variables that are set and not empty; a name we do not know is a mistake like any other."""
    for variable in sorted(env):
        if not variable.startswith(PREFIX) or variable in _OTHER_VARIABLES or not env[variable]:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in SETTINGS:
            yield _Written(name, _split(name, env[variable]), variable, cwd)
        else:
            yield f"{variable}: unknown variable{_near(name, lambda near: PREFIX + near.upper())}"


def _split(name: str, text: str) -> str | list[str]:
    if name == "ca":
        return [part for part in text.split(os.pathsep) if part]
    return re.split(r"[,\s]+", text.strip(", \t\n")) if name == "packages" else text


def _read_flags(flags: Mapping[str, object], cwd: Path) -> _Layer:
    """The flags that were given. Raises KeyError for a name that is no setting: a bug, not a mistake."""
    name: str
    value: Any  # whatever the command line parser made of it
    for name, value in flags.items():
        if name not in SETTINGS:
            raise KeyError(name)
        if value is None or (name in _LIST_SETTINGS and not value):
            continue
        several = isinstance(value, (list, tuple))
        yield _Written(name, list(map(str, value)) if several else _split(name, str(value)), f"--{name}", cwd)


def _read_file(path: Path) -> _Layer:
    """The settings in a YAML file; none when it does not exist or is empty."""
    try:
        root = _compose(path)
    except ValueError as exc:
        yield str(exc)
        return
    if root is not None and not _is_null(root):
        yield from _read_mapping(root, path)


def _compose(path: Path) -> yaml.Node | None:
    """The file as YAML nodes, which know their lines. Raises ValueError with the place when it is no YAML."""
    import yaml

    text = _read_text(path)
    if text is None:
        return None
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark else 1
        raise ValueError(f"{path}:{line}: not valid YAML: {exc.problem or exc.context}") from None
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise ValueError(f"{path}:{line}: not valid YAML: it holds U+{exc.character:04X}") from None
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply to be a configuration") from None


def _read_text(path: Path) -> str | None:
    if not os.path.lexists(path):
        return None
    if fault := _file_fault(path):
        raise ValueError(f"{path}: {fault}")
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ValueError(f"{path}: cannot be read: {exc.strerror or exc}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ValueError(f"{path}:{line}: not UTF-8 text") from None


def _file_fault(path: Path) -> str | None:
    """Why ``path`` cannot be read as a file, in words that follow its name; None when it can be tried."""
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        return "does not exist" if isinstance(exc, FileNotFoundError) else f"cannot be read: {exc.strerror}"
    if stat.S_ISDIR(mode):
        return "is a directory, not a file"
    return None if stat.S_ISREG(mode) else "is not a regular file"


def _read_mapping(root: yaml.Node, path: Path) -> _Layer:
    import yaml

    if not isinstance(root, yaml.MappingNode):
        yield f"{path}:{_line(root)}: must hold settings such as `memory: 2G`, not {_kind(root)}"
        return
    first_lines: dict[str, int] = {}
    for key, value in root.value:
        where = f"{path}:{_line(key)}"
        try:
            name = _setting_name(key, first_lines)
            yield _Written(name, _node_value(name, value), where, path.parent)
        except ValueError as exc:
            yield f"{where}: {exc}"


def _setting_name(key: yaml.Node, first_lines: dict[str, int]) -> str:
    """The setting that a key names, noted in ``first_lines``; ValueError when unknown or already there."""
    import yaml

    if not isinstance(key, yaml.ScalarNode):
        raise ValueError(f"{_kind(key)} cannot name a setting")
    name = str(key.value)
    if name not in SETTINGS:
        raise ValueError(f"{_bare(name)}: unknown setting{_near(name)}")
    if name in first_lines:
        raise ValueError(f"{name}: given twice, first in line {first_lines[name]}")
    first_lines[name] = _line(key)
    return name


def _node_value(name: str, node: yaml.Node) -> str | list[str] | None:
    import yaml

    if _is_null(node):
        return None
    if name in _LIST_SETTINGS:
        if not isinstance(node, yaml.SequenceNode):
            raise ValueError(f"{name}: must be a list, such as [one, two], not {_kind(node)}")
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode) or _is_null(item):
                raise ValueError(f"{name}: the item in line {_line(item)} must be text, not {_kind(item)}")
        return [item.value for item in node.value]
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(f"{name}: must be one value, not {_kind(node)}")
    if node.tag not in _PLAIN_TAGS:
        raise ValueError(f"{name}: the tag {_shown(node.tag)} means nothing here")
    # The text as written, not as YAML reads it: `1:30` and `0o17` must not turn into other numbers.
    return str(node.value)


_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "timestamp"))


def _is_null(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null"


def _kind(node: yaml.Node) -> str:
    import yaml

    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "nothing" if _is_null(node) else _shown(str(node.value))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _near(name: str, spell: Callable[[str], str] = str) -> str:
    import difflib

    plain = name.lower().replace("-", "_")
    near = _SYNONYMS.get(plain) or next(iter(difflib.get_close_matches(plain, SETTINGS, n=1)), None)
    return f"; did you mean {spell(near)!r}?" if near else ""


# --- the values ---------------------------------------------------------------------------------------------


def _parse(written: _Written) -> object:
    """The value a setting has, from its text; raises ValueError that says what is wrong with it."""
    if written.value is None:
        if written.name in _OPTIONAL_SETTINGS:
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
        if fault := _file_fault(path):
            raise ValueError(f"{path} {fault}; give a disk image or a catalogue file")
        return str(path)
    raise ValueError(
        f"{_shown(text)} is not the name of an image, such as debian-13, nor a path such as ./my.qcow2"
    )


def _parse_kernel(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+~_-]{0,79}", text):
        return text
    raise ValueError(f"{_shown(text)} is not default, backports, latest or a version, such as 7.3")


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
    return f"{_shown(text)} is not one of: {', '.join(choices)}"


def _parse_cpus(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
        raise ValueError(f"{_shown(text)} is not a whole number, such as 2")
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
        raise ValueError(f"{_shown(text)} is not an address such as http://HOST:PORT/PATH")
    return text


def _parse_packages(names: list[str]) -> tuple[str, ...]:
    strange = [name for name in names if not is_package_name(name)]
    if strange:
        raise ValueError(f"not the name of a package: {', '.join(map(_shown, strange))}")
    return tuple(dict.fromkeys(names))


def _parse_ca(names: list[str], base: Path) -> tuple[Path, ...]:
    found = [(base / _expanded(name)).absolute() for name in names]
    for path in found:
        if fault := _file_fault(path):
            raise ValueError(f"{path} {fault}; give the file of a certificate")
    return tuple(dict.fromkeys(found))


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # "~somebody" who does not exist here
        return Path(name)


def _bare(name: str) -> str:
    return name if name.isascii() and name.isprintable() and len(name) <= 60 else _shown(name)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:60] + "...")


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
