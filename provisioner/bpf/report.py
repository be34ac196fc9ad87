"""What one run found, gathered while it goes on and given out as the report of ``run --json``, schema 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from provisioner.bpf import protocol
from provisioner.bpf.notes import find_notes
from provisioner.core.errors import EbpfDevError

SCHEMA = 1

#: A report is one JSON object in memory: a flood is cut off here, and the report says by how much.
MAX_LINES = 100_000


@dataclass(frozen=True)
class Subject:
    """What was run, and where; ``file`` is the path the user gave, ``arch`` as ``uname -m`` says it."""

    file: str
    instance: str
    kernel: str
    arch: str
    backend: str


class ReportBuilder:
    """Takes the runner's messages and what the host side knows; ``to_json`` may be called at any time."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._stages: list[dict[str, Any]] = []
        self._programs: dict[str, dict[str, Any]] = {}
        self._output: dict[str, list[Any]] = {"printk": [], "events": [], "companion": [], "trigger": []}
        self._left_out: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._maps: list[dict[str, Any]] = []
        self._iterators: list[dict[str, Any]] = []
        self._warnings: list[str] = []
        self._notes: list[str] = []
        self._error: dict[str, Any] | None = None
        self._failed = False

    def add_stage(self, name: str, ok: bool, seconds: float) -> None:
        """A stage of the host side (``sync``, ``build``) has ended, or one the runner told of."""
        self._stages.append({"name": name, "ok": ok, "seconds": round(seconds, 3)})
        self._failed |= not ok

    def add_error(self, error: EbpfDevError) -> None:
        """A failure of the host side; only the first one is reported, the others follow from it."""
        self._set_error(
            code=error.code,
            brief=error.brief,
            details=error.details,
            hint=error.hint,
            file=getattr(error, "file", None),
            line=getattr(error, "line", None),
            **_without_none(explanation=getattr(error, "explanation", None)),
        )

    def add_warning(self, text: str) -> None:
        """Something of the host side that the user should know and that stopped nothing."""
        self._warnings.append(text)

    def add_note(self, text: str) -> None:
        """What the host side did on its own account, such as taking headers from somewhere."""
        self._notes.append(text)

    def add(self, message: protocol.Message) -> None:
        """Take in one message of the runner; kinds that the report does not show are ignored."""
        if isinstance(message, protocol.Event):
            self._keep("events", _event(message))
        elif isinstance(message, protocol.Printk):
            self._keep("printk", message.text)
        elif isinstance(message, protocol.Companion):
            self._keep("companion", message.text)
        elif isinstance(message, protocol.Trigger):
            self._add_trigger(message)
        elif isinstance(message, protocol.Lost):
            self._lost[message.source] = self._lost.get(message.source, 0) + message.count
        elif isinstance(message, (protocol.MapDump, protocol.Iterator)):
            self._add_content(message)
        else:
            self._add_progress(message)

    def to_json(self) -> dict[str, Any]:
        """The report, ready for ``json.dumps``."""
        report = {
            "schema": SCHEMA,
            "file": self._subject.file,
            "instance": self._subject.instance,
            "kernel": self._subject.kernel,
            "arch": self._subject.arch,
            "backend": self._subject.backend,
            "ok": self.ok,
            "stages": list(self._stages),
            "programs": list(self._programs.values()),
            "output": {**self._output, "lost": dict(self._lost), "left_out": dict(self._left_out)},
            "maps": list(self._maps),
            "iterators": list(self._iterators),
            "warnings": list(self._warnings),
            "error": self._error,
        }
        return {**report, "notes": [*self._notes, *find_notes(report)]}

    @property
    def ok(self) -> bool:
        """Built, loaded, everything attachable attached, no error."""
        failed = any(program["state"] == "failed" for program in self._programs.values())
        return not (self._failed or failed or self._error)

    def _keep(self, kind: str, item: object) -> None:
        if len(self._output[kind]) < MAX_LINES:
            self._output[kind].append(item)
        else:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1

    def _add_trigger(self, message: protocol.Trigger) -> None:
        if message.text is not None:
            self._keep("trigger", message.text)
        elif message.status:
            self._warnings.append(f"the trigger `{message.command}` ended with status {message.status}")

    def _add_content(self, message: protocol.MapDump | protocol.Iterator) -> None:
        if isinstance(message, protocol.MapDump):
            self._maps.append(_map(message))
        else:
            self._iterators.append(_iterator(message))

    def _add_progress(self, message: protocol.Message) -> None:
        if isinstance(message, protocol.Stage):
            self.add_stage(message.name, message.ok, message.seconds)
        elif isinstance(message, protocol.Program):
            self._programs[message.name] = _program(message)
        elif isinstance(message, protocol.RunnerError):
            self._add_runner_error(message)
        elif isinstance(message, protocol.Log) and message.level == "warning":
            self._warnings.append(message.text)
        elif isinstance(message, protocol.Done):
            self._failed |= message.status != 0

    def _add_runner_error(self, error: protocol.RunnerError) -> None:
        self._set_error(
            code=error.code,
            brief=error.brief,
            details=error.details,
            hint=error.hint,
            file=error.file,
            line=error.line,
        )

    def _set_error(self, **error: object) -> None:
        if self._error is None:
            self._error = error


def _without_none(**entries: object) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if value is not None}


def _program(message: protocol.Program) -> dict[str, Any]:
    return {
        "name": message.name,
        "section": message.section,
        "type": message.program_type,
        "state": message.state,
        "target": message.target,
        "reason": message.reason,
        "run_count": message.run_count,
        "run_time_ns": message.run_time_ns,
        "verdicts": message.verdicts or {},
    }


def _event(message: protocol.Event) -> dict[str, Any]:
    extra = _without_none(
        fields=message.fields,
        hex=message.hex,
        shown=message.shown,
        guessed=message.guessed,
        rest=message.rest,
    )
    return {"map": message.map, "type": message.struct, **extra}


def _map(message: protocol.MapDump) -> dict[str, Any]:
    extra = _without_none(truncated=message.truncated, zeros=message.zeros, only_read=message.only_read)
    return {"name": message.name, "type": message.map_type, "entries": message.entries, **extra}


def _iterator(message: protocol.Iterator) -> dict[str, Any]:
    extra = _without_none(
        text=message.text,
        type=message.struct,
        records=message.records,
        guessed=message.guessed,
        hex=message.hex,
        truncated=message.truncated,
    )
    return {"program": message.program, **extra}
