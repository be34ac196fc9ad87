"""The settings of one invocation, from five layers, and where each of them came from.

Later layers win: built-in defaults, the user's configuration file, the project's ``ebpf-dev.yaml``,
``EBPF_DEV_*`` variables, flags. A list (``packages``, ``ca``) replaces the former one, it does not add to it.
Every layer is brought to the same form first, text with the place it was written, so that one table of
parsers judges all of them and every mistake is reported at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.core.errors import UsageError
from provisioner.core.files import file_fault
from provisioner.core.host import cpu_count
from provisioner.core.names import shown
from provisioner.core.paths import Paths
from provisioner.core.setting_values import parse_value
from provisioner.core.settings import LIST_SETTINGS, SETTINGS, Settings, Written

if TYPE_CHECKING:
    import yaml

PROJECT_FILE = "ebpf-dev.yaml"
PREFIX = "EBPF_DEV_"

# ``EBPF_DEV_HOME`` is read by paths.py: it says where the configuration file is.
_OTHER_VARIABLES = frozenset({"EBPF_DEV_HOME"})
# An option that is repeated is called after one of its values.
_OPTIONS = {"packages": "package"}
# What people write from the habit of other tools, where the spelling alone does not lead to ours.
_SYNONYMS = {
    "ram": "memory", "mem": "memory", "cores": "cpus", "vcpus": "cpus", "smp": "cpus", "distro": "image",
    "os": "image", "storage": "disk", "vmtype": "backend", "driver": "backend", "accel": "accelerator",
    "http_proxy": "proxy", "https_proxy": "proxy", "apt": "packages", "install": "packages",
    "linux": "kernel", "certificates": "ca", "cacert": "ca", "architecture": "arch", "platform": "arch",
}  # fmt: skip


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
            values[written.name] = parse_value(written)
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

_Layer = Iterator[Written | str]


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
            yield Written(name, _split(name, env[variable]), variable, cwd)
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
        if value is None or (name in LIST_SETTINGS and not value):
            continue
        several = isinstance(value, (list, tuple))
        text = list(map(str, value)) if several else _split(name, str(value))
        yield Written(name, text, f"--{_OPTIONS.get(name, name)}", cwd)


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
    if fault := file_fault(path):
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
            yield Written(name, _node_value(name, value), where, path.parent)
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
    if name in LIST_SETTINGS:
        if not isinstance(node, yaml.SequenceNode):
            raise ValueError(f"{name}: must be a list, such as [one, two], not {_kind(node)}")
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode) or _is_null(item):
                raise ValueError(f"{name}: the item in line {_line(item)} must be text, not {_kind(item)}")
        return [item.value for item in node.value]
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(f"{name}: must be one value, not {_kind(node)}")
    if node.tag not in _PLAIN_TAGS:
        raise ValueError(f"{name}: the tag {shown(node.tag)} means nothing here")
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
    return "nothing" if _is_null(node) else shown(str(node.value))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _near(name: str, spell: Callable[[str], str] = str) -> str:
    import difflib

    plain = name.lower().replace("-", "_")
    near = _SYNONYMS.get(plain) or next(iter(difflib.get_close_matches(plain, SETTINGS, n=1)), None)
    return f"; did you mean {spell(near)!r}?" if near else ""


def _bare(name: str) -> str:
    return name if name.isascii() and name.isprintable() and len(name) <= 60 else shown(name)
