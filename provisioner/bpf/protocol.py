"""What the guest-side runner is told and what it says: its argv, and its JSON lines as values.

The messages are described once, at the top of ``provisioner/runner/message.h``; the classes here have the
same names and fields. Nothing in this module talks to a guest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

from provisioner.core.errors import AttachError, EbpfDevError, GuestError, LoadError, UsageError

#: Loaders that the runner can leave loading and attaching to.
FOREIGN_LOADERS = ("bpftool", "xdp-loader")


@dataclass(frozen=True)
class RunnerOptions:
    """The runner's command line; paths are the guest's, ``seconds`` None means until its stdin ends.

    With a ``companion`` (an executable) that is run with ``arguments``, and ``object`` is left to it; it may be
    None then, and ``hooks`` say what its programs are for. ``patience`` seconds are waited for it to load
    programs, None: only for its first line. ``loader`` (of FOREIGN_LOADERS) loads instead of the runner. A
    ``passive`` run provokes nothing; otherwise the runner exercises the system, unless there are ``triggers``.
    ``bin`` (PATH or PATH:SYMBOL) and ``own_binary`` are where probes of user space go, ``pid`` limits them.
    ``settings`` are ``VARIABLE=VALUE``, ``map_entries`` a map's name and ``KEY=VALUE``; ``license`` replaces the
    object's own. ``hold`` lets it attach what it has loaded only when ``Guest.stream`` is told to ``go``.
    """

    object: str | None = None
    companion: str | None = None
    loader: str | None = None
    patience: float | None = None
    hooks: Sequence[str] = ()
    arguments: Sequence[str] = ()
    seconds: float | None = None
    trace: bool = False
    device: str | None = None
    cgroup: str | None = None
    attach_to: str | None = None
    programs: Sequence[str] = ()
    triggers: Sequence[str] = ()
    log_dir: str | None = None
    passive: bool = False
    bin: str | None = None
    own_binary: str | None = None
    pid: int | None = None
    settings: Sequence[str] = ()
    map_entries: Sequence[tuple[str, str]] = ()
    license: str | None = None
    hold: bool = False

    def argv(self, runner: str) -> list[str]:
        """The command for ``Guest.stream``; ``runner`` is the path of the binary."""
        words = [runner]
        if self.object is not None:
            words += ["--object", self.object]
        if self.companion is not None:
            words += ["--companion", self.companion]
        if self.loader is not None:
            words += ["--loader", self.loader]
        if self.patience is not None:
            words += ["--patience", f"{self.patience:g}"]
        for hook in self.hooks:
            words += ["--hook", hook]
        if self.seconds is not None:
            words += ["--for", f"{self.seconds:g}"]
        if self.hold:
            words.append("--hold")
        if self.trace:
            words.append("--trace")
        if self.device is not None:
            words += ["--dev", self.device]
        if self.cgroup is not None:
            words += ["--cgroup", self.cgroup]
        if self.attach_to is not None:
            words += ["--attach-to", self.attach_to]
        if self.log_dir is not None:
            words += ["--log-dir", self.log_dir]
        if self.passive:
            words.append("--passive")
        if self.bin is not None:
            words += ["--bin", self.bin]
        if self.own_binary is not None:
            words += ["--own-binary", self.own_binary]
        if self.pid is not None:
            words += ["--pid", str(self.pid)]
        for name in self.programs:
            words += ["--prog", name]
        for command in self.triggers:
            words += ["--trigger", command]
        for setting in self.settings:
            words += ["--set", setting]
        for name, entry in self.map_entries:
            words += ["--map", name, entry]
        if self.license is not None:
            words += ["--license", self.license]
        return [*words, "--", *self.arguments] if self.companion else words


@dataclass(frozen=True)
class Stage:
    """``load``, ``attach`` or ``run`` has ended."""

    name: str
    ok: bool
    seconds: float


@dataclass(frozen=True)
class Program:
    """How one program fared; said after the attach stage and again, with counts, after the run."""

    name: str
    section: str
    program_type: str
    state: str
    target: str | None = None
    reason: str | None = None
    run_count: int | None = None
    run_time_ns: int | None = None
    verdicts: dict[str, Any] | None = None


@dataclass(frozen=True)
class Testbed:
    """The veth pair that network programs were attached to."""

    device: str
    addresses: list[Any]
    peer_addresses: list[Any]


@dataclass(frozen=True)
class Printk:
    """A line of bpf_printk; ``time`` is in seconds since the guest's boot."""

    text: str
    comm: str | None = None
    pid: int | None = None
    cpu: int | None = None
    time: float | None = None


@dataclass(frozen=True)
class Event:
    """A record of a ring or perf buffer: ``fields`` of ``struct``, or ``hex`` when its type is not known.

    ``shown`` has what reads better than the plain value of a field, by its path: ``{"saddr": "192.0.2.1"}``.
    """

    map: str
    struct: str | None = None
    fields: dict[str, Any] | None = None
    hex: str | None = None
    guessed: bool | None = None
    rest: str | None = None
    shown: dict[str, Any] | None = None


@dataclass(frozen=True)
class Lost:
    """Records that a perf buffer (by map name) or the trace buffer (``printk``) dropped."""

    source: str
    count: int


@dataclass(frozen=True)
class Trigger:
    """A line that a trigger command printed, or its exit status."""

    command: str
    text: str | None = None
    status: int | None = None


@dataclass(frozen=True)
class Companion:
    """A line that the companion program printed; ``stream`` is ``stdout`` or ``stderr``."""

    stream: str
    text: str


@dataclass(frozen=True)
class Iterator:
    """What an iterator program wrote: text, or ``records`` of ``struct``, or ``hex`` when that is not known.

    A record is ``{"fields": {...}, "shown": {...}}`` with the meaning that these have in an event.
    """

    program: str
    text: str | None = None
    hex: str | None = None
    truncated: int | None = None
    records: list[Any] | None = None
    struct: str | None = None
    guessed: bool | None = None


@dataclass(frozen=True)
class MapDump:
    """A map's or a section's content at the end: entries are ``{"key": ..., "value": ..., "shown": ...}``.

    ``shown`` may be absent, and has paths like ``key`` and ``value.saddr``. ``only_read``: no program adds to it.
    """

    name: str
    map_type: str
    entries: list[Any]
    truncated: int | None = None
    zeros: int | None = None
    only_read: bool | None = None


@dataclass(frozen=True)
class Change:
    """What has changed in a map or a section within a second, as in MapDump; ``more`` entries are left out."""

    map: str
    entries: list[Any]
    more: int | None = None


@dataclass(frozen=True)
class VerifierLog:
    """Where in the guest the whole verifier log of a refused program is."""

    program: str
    path: str


@dataclass(frozen=True)
class Log:
    """A line for the reporter; ``level`` is ``warning``, ``note``, or ``stray`` for what is no message."""

    level: str
    text: str


@dataclass(frozen=True)
class RunnerError:
    """Why loading or attaching failed; ``file`` and ``line`` as the compiler was given them."""

    code: str
    brief: str
    details: str
    hint: str
    program: str | None = None
    file: str | None = None
    line: int | None = None

    def as_exception(self) -> EbpfDevError:
        """The failure as an exception of its family: attach, load, usage, or guest for the runner's own."""
        if self.code == "runner-failed":
            return GuestError(self.brief, code=self.code, details=self.details, hint=self.hint)
        if self.code == "bad-parameter":
            return UsageError(self.brief, code=self.code, details=self.details, hint=self.hint)
        family = AttachError if self.code == "attach-failed" else LoadError
        return family(
            self.brief,
            code=self.code,
            details=self.details,
            hint=self.hint,
            file=self.file,
            line=self.line,
        )


@dataclass(frozen=True)
class Done:
    """The last message; ``reason`` is ``time``, ``signal``, ``stdin``, ``finished`` or ``error``."""

    status: int
    reason: str


Message = (
    Stage
    | Program
    | Testbed
    | Printk
    | Event
    | Lost
    | Trigger
    | Companion
    | Iterator
    | MapDump
    | Change
    | VerifierLog
    | Log
    | RunnerError
    | Done
)

#: What a message's "type" says -> its class.
MESSAGE_KINDS: dict[str, type[Message]] = {
    "stage": Stage,
    "program": Program,
    "testbed": Testbed,
    "printk": Printk,
    "event": Event,
    "lost": Lost,
    "trigger": Trigger,
    "companion": Companion,
    "iterator": Iterator,
    "map": MapDump,
    "change": Change,
    "verifier": VerifierLog,
    "log": Log,
    "error": RunnerError,
    "done": Done,
}

#: The JSON types each annotation of the classes above accepts.
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
    "list[Any]": (list,),
    "dict[str, Any]": (dict,),
}


class _Malformed(Exception):
    pass


@dataclass(frozen=True)
class _Rule:
    name: str
    types: tuple[type, ...]
    required: bool


def _rules(kind: type[Message]) -> list[_Rule]:
    found = []
    for field in fields(kind):
        wanted = str(field.type).removesuffix(" | None")
        types = _JSON_TYPES[wanted] + ((type(None),) if wanted != field.type else ())
        found.append(_Rule(field.name, types, field.default is MISSING))
    return found


# Made once: a flood of events is bound by what is done for each of them.
_RULES = {name: _rules(kind) for name, kind in MESSAGE_KINDS.items()}


def _build(name: str, data: dict[str, Any]) -> Message:
    values: dict[str, Any] = {}
    for rule in _RULES[name]:
        if rule.name in data:
            # By the very class: bool is an int to Python, but not to JSON.
            if type(data[rule.name]) not in rule.types:
                raise _Malformed
            values[rule.name] = data[rule.name]
        elif rule.required:
            raise _Malformed
    return MESSAGE_KINDS[name](**values)


def parse_message(line: str) -> Message:
    """The message in a line of the runner's stdout; what is none becomes a ``stray`` Log, never an error."""
    try:
        data = json.loads(line)
        return _build(data["type"], data)
    except (ValueError, KeyError, TypeError, RecursionError, _Malformed):
        return Log(level="stray", text=line)
