"""What a verifier log says: the refusal, the instruction and C line it is about, and what each register held.

The log is that of BPF_LOG_LEVEL1, of any kernel: numbers are written as ``R1=inv(id=0)`` before Linux 5.18 and as
``R1=scalar()`` since; lines of C have their file and number since 6.9; since 7.3 a report in plain English follows
the refusal. Kernel sources: kernel/bpf/log.c, verifier.c, diagnostics.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_BEGIN = re.compile(r"-- BEGIN PROG LOAD LOG --\s*$")
_END = re.compile(r"-- END PROG LOAD LOG --\s*$")
_PROGRAM = re.compile(r"\bprog '([^']+)': ")
_INSTRUCTION = re.compile(r"^(\d+): (\([0-9a-f]{2}\) .*?)(?:\s+;(?: (.*))?)?$")
# A jump's line goes on with the state of the path taken next, or with the refusal.
_JUMP = re.compile(r"^(\d+: \([0-9a-f]{2}\) (?:if .* )?goto pc[+-]\d+) (?=\d+: |\w)(.+)$")
_STATE = re.compile(
    r"^(?:(?P<at>\d+)|from \d+ to (?P<to>\d+)(?: \([^)]*\))?|(?:cur|old) state|\s*frame\d+):(?= |$)"
)
# What libbpf puts in the place of an instruction that it could not resolve.
_UNRESOLVED = re.compile(r"^(\d+): <invalid .*>$")
_SOURCE = re.compile(r"^; (?P<text>.*?)(?: @ (?P<file>[^@]+?):(?P<line>\d+)(?::(?P<column>\d+))?)?$")
_REGISTER = re.compile(r"\bR(\d+)(?:_\w+)?=")
_CHAIN = re.compile(r"^((?:\w+=)+)(.*)$", re.DOTALL)
#: Progress and statistics: true of programs that are accepted, too.
_NOISE = re.compile(
    r"^(processed \d+ insns|verification time |stack depth |mark_precise:|last_idx |regs=|parent |propagating |"
    r"(caller|callee):|Func#\d+ .* is (global and assumed valid|safe)|Validating \S+ func#|"
    r"func#\d+ @|returning from callee|to caller at|\(\d+ more lines|\s*$)"
)
_REPORT = re.compile(r"^Verification failed: (?P<category>[^:]+)(?:: (?P<problem>.*))?$")
_SECTION = re.compile(r"^(Reason|At|Causal path|Active lock|Suggestion):$")
_REPORT_PLACE = re.compile(r"^  (?:\S+ @ )?(?P<file>[^@\s]+):(?P<line>\d+):(?P<column>\d+)$")
_REPORT_LINE = re.compile(r"^  >>> *\d+ \| (?P<text>.*)$")


#: Of a log of millions of lines only the end counts, where the refused path is.
_MAX_LINES = 20_000


@dataclass(frozen=True)
class Register:
    """What the verifier knew of a register: ``kind`` is its word (scalar, pkt, map_value, ...)."""

    name: str
    kind: str
    attributes: Mapping[str, str] = field(default_factory=dict)

    def number(self, *names: str) -> int | None:
        """The first of the attributes ``names`` that is there and a number."""
        for name in names:
            text = self.attributes.get(name, "")
            if re.fullmatch(r"-?(0x[0-9a-f]+|\d+)", text):
                return int(text, 0)
        return None


@dataclass(frozen=True)
class Source:
    """A line of C: ``file`` as the log or the object names it, often without its directory."""

    text: str
    file: str | None = None
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class KernelReport:
    """What Linux 7.3 and later say in plain English."""

    problem: str
    reason: str
    suggestion: str


@dataclass
class VerifierLog:
    """What one log says.

    ``message`` is the refusal in the verifier's words; ``registers`` what held before ``instruction`` ran;
    ``history`` is the kinds of value that each register has had, oldest first; ``codes`` and ``sources`` are those
    of the instructions passed on the way.
    """

    message: list[str] = field(default_factory=list)
    program: str | None = None
    instruction: int | None = None
    code: str | None = None
    source: Source | None = None
    registers: dict[str, Register] = field(default_factory=dict)
    history: dict[str, list[str]] = field(default_factory=dict)
    #: The identity of a value that may be NULL -> the call that it came from.
    origins: dict[str, int] = field(default_factory=dict)
    codes: dict[int, str] = field(default_factory=dict)
    sources: dict[int, Source] = field(default_factory=dict)
    report: KernelReport | None = None
    #: Whether anything in it is the verifier's for certain.
    genuine: bool = False

    @property
    def text(self) -> str:
        """The refusal as one text, its lines as the verifier broke them."""
        return "\n".join(self.message)


def parse_log(text: str) -> VerifierLog:
    """Read a log, also one that a loader has wrapped in lines of its own. What is no log gives no instruction."""
    lines, program = _unwrapped(text)
    log = _Reader().read(lines[-_MAX_LINES:])
    log.program = program
    log.genuine = bool(log.codes or log.report or program or any(line.startswith("processed ") for line in lines))
    return log


def _unwrapped(text: str) -> tuple[list[str], str | None]:
    """The first program's log out of what libbpf, or a tool that uses it, printed; and the program's name."""
    lines = [line.removeprefix("libbpf: ").rstrip() for line in text.splitlines()]
    start = next((number for number, line in enumerate(lines) if _BEGIN.search(line)), None)
    if start is None:
        return lines, None
    end = next((number for number in range(start, len(lines)) if _END.search(lines[number])), len(lines))
    match = _PROGRAM.search(lines[start])
    return lines[start + 1 : end], match[1] if match else None


class _Reader:
    """Goes through the lines once; what the last instruction left behind is the refusal."""

    def __init__(self) -> None:
        self._log = VerifierLog()
        self._said_before: list[str] = []
        self._source: Source | None = None
        self._set_by_last: set[str] = set()

    def read(self, lines: list[str]) -> VerifierLog:
        start = next((number for number, line in enumerate(lines) if _REPORT.match(line)), len(lines))
        for line in lines[:start]:
            if match := _JUMP.match(line):
                self._take(match[1])
                line = match[2]
            self._take(line)
        log = self._log
        if start < len(lines):
            _read_report(log, lines[start:])
        log.message = log.message or self._said_before
        if log.instruction is None and (match := re.search(r"\binsn (\d+)", log.text)):
            log.instruction = int(match[1])  # refused before the first one was followed
        return log

    def _take(self, line: str) -> None:
        if match := _INSTRUCTION.match(line):
            self._take_instruction(int(match[1]), match[2], match[3] or "")
        elif match := _UNRESOLVED.match(line):
            self._take_instruction(int(match[1]), "", "")
        elif match := _SOURCE.match(line):
            self._source = _source(match) if match["text"] else self._source
        elif match := _STATE.match(line):
            self._take_state(line, whole=match["to"] is not None)
        elif not _NOISE.match(line):
            self._log.message.append(line.strip())

    def _take_instruction(self, number: int, code: str, state: str) -> None:
        log = self._log
        self._said_before += log.message
        log.message = []
        if log.code and " call " in log.code:  # which leaves nothing in the registers of its arguments
            for name in {"R1", "R2", "R3", "R4", "R5"} - self._set_by_last:
                log.registers.pop(name, None)
        self._set_by_last = set()
        log.instruction, log.code, log.source = number, code or None, self._source
        log.codes[number] = code
        if self._source:
            log.sources[number] = self._source
        self._keep(parse_registers(state))

    def _take_state(self, line: str, *, whole: bool) -> None:
        state = parse_registers(line)
        if whole and state:
            self._log.registers = {}
        self._keep(state)

    def _keep(self, state: Mapping[str, Register]) -> None:
        self._log.registers.update(state)
        self._set_by_last |= state.keys()
        for name, register in state.items():
            kinds = self._log.history.setdefault(name, [])
            if register.kind not in kinds[-1:]:
                kinds.append(register.kind)
            if register.kind == "pkt":
                self._share_range(register)
            if "_or_null" in register.kind and self._log.instruction is not None:
                self._log.origins.setdefault(register.attributes.get("id", ""), self._log.instruction)

    def _share_range(self, checked: Register) -> None:
        """A comparison with data_end holds for all pointers of one identity; the log shows the one compared."""
        if "r" not in checked.attributes:
            return
        for name, register in self._log.registers.items():
            if register.kind == "pkt" and register.attributes.get("id") == checked.attributes.get("id"):
                attributes = {**register.attributes, "r": checked.attributes["r"]}
                self._log.registers[name] = Register(name, "pkt", attributes)


def _source(match: re.Match[str]) -> Source:
    column = match["column"]
    line = match["line"]
    return Source(match["text"], match["file"], int(line) if line else None, int(column) if column else None)


def parse_registers(text: str) -> dict[str, Register]:
    """The registers in a state, ``R1_w=scalar(umax=255) R10=fp0``, by name."""
    found = {}
    for match in _REGISTER.finditer(text):
        if text.count("(", 0, match.start()) != text.count(")", 0, match.start()):
            continue  # inside another one's value
        value = _balanced(text, match.end())
        found[f"R{match[1]}"] = _register(f"R{match[1]}", value)
    return found


def _balanced(text: str, start: int) -> str:
    """From ``start`` to the blank that ends a value; blanks in parentheses belong to it."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if text[at] == " " and depth == 0:
            return text[start:at]
    return text[start:]


def _register(name: str, value: str) -> Register:
    kind, opened, rest = value.partition("(")
    attributes = dict(_attributes(rest[: rest.rfind(")")])) if opened else {}
    if match := re.fullmatch(r"(?:invP?|scalar|P)?(-?\d+|0x[0-9a-f]+)", kind):
        return Register(name, "scalar", {"value": match[1], **attributes})
    if match := re.fullmatch(r"fp(-?\d+)", kind):
        return Register(name, "fp", {"off": match[1], **attributes})
    return Register(name, "scalar" if kind in ("inv", "invP", "Pscalar") else kind, attributes)


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    """``smax=umax=255,var_off=(0x0; 0xff)`` gives smax, umax and var_off."""
    for part in re.split(r",(?![^(]*\))", text):
        if match := _CHAIN.match(part):
            for name in match[1].rstrip("=").split("="):
                yield name, match[2]


def _read_report(log: VerifierLog, lines: list[str]) -> None:
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines[1:]:
        if match := _SECTION.match(line):
            current = sections.setdefault(match[1], [])
        elif line.startswith("  "):
            current.append(line)
    header = _REPORT.match(lines[0])
    assert header is not None
    log.report = KernelReport(
        problem=header["problem"] or header["category"],
        reason=_flowed(sections.get("Reason", [])),
        suggestion=_flowed(sections.get("Suggestion", [])),
    )
    log.source = _report_source(sections.get("At", [])) or log.source
    log.message = log.message or [log.report.problem]


def _flowed(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)


def _report_source(lines: list[str]) -> Source | None:
    place = _REPORT_PLACE.match(lines[0]) if lines else None
    marked = next((match["text"] for line in lines if (match := _REPORT_LINE.match(line))), None)
    if not place or marked is None:
        return None
    return Source(marked.strip(), place["file"], int(place["line"]), int(place["column"]))
