"""Make the types of event records reach BTF.

Of the types that a program uses, BTF holds those of maps, globals and functions' arguments; the struct that is
filled in a ring buffer is mostly a local variable's, and gets lost. So the program is compiled with one global
pointer more for every type that it sends through a map, written behind its own text:

    struct event *__ebpf_dev_event_rb __attribute__((section(".debug_ebpf_dev"), used));

The contract with the runner: a variable ``__ebpf_dev_event_MAP``, or ``__ebpf_dev_event_1_MAP`` and so on
when several types go through MAP, is a pointer to a type of MAP's records (mostly a struct, but also an integer
or an array); for what an iterator program writes, MAP is its name. Their section becomes no map.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from provisioner.bpf.ctext import Function, arguments, expand_macros, functions, without_comments

PREFIX = "__ebpf_dev_event_"
#: libbpf takes it for DWARF and leaves it alone without a word; in any other section it would remark on it.
SECTION = ".debug_ebpf_dev"
#: What the compiler calls the place of our lines, should it complain about them.
FILE_NAME = "<event types>"

_WORDS_BEFORE_NO_TYPE = {"return", "goto", "else", "case", "sizeof", "typeof", "do", "void", "define", "in"}
#: What a pointer to bytes of any length points to: says nothing about the record.
_BYTES = {"char", "unsigned char", "u8", "__u8", "uint8_t"}
_QUALIFIERS = re.compile(r"\b(?:const|volatile|static|register|extern)\b")
_TYPE = r"(?:\b(?:unsigned|signed|long|short)\s+)*(?:\b(?:struct|union|enum)\s+\w+|\b[A-Za-z_]\w*)"


@dataclass(frozen=True)
class _Sender:
    """A function that sends a record: which of its arguments are the map (or which map it is), data and size.

    Without a map the record belongs to the program that sends it.
    """

    name: str
    map: int | str | None
    data: int | None
    size: int


_HELPERS = (
    _Sender("bpf_ringbuf_reserve", 0, None, 1),
    _Sender("bpf_ringbuf_output", 0, 1, 2),
    _Sender("bpf_perf_event_output", 1, 3, 4),
    _Sender("bpf_skb_output", 1, 3, 4),
    _Sender("bpf_xdp_output", 1, 3, 4),
    _Sender("bpf_seq_write", None, 1, 2),
)


@dataclass(frozen=True)
class _Call:
    """One call of a sender in ``function``, its arguments, and the text before it that declares its variables."""

    function: str
    sender: _Sender
    arguments: list[str]
    scope: str
    assigned: str | None

    def argument(self, index: int | None) -> str:
        return self.arguments[index] if index is not None and index < len(self.arguments) else ""

    @property
    def map(self) -> str | None:
        if self.sender.map is None:
            return self.function
        if isinstance(self.sender.map, str):
            return self.sender.map
        match = re.fullmatch(r"(?:\(\s*void\s*\*\s*\)\s*)?&\s*(\w+)", self.argument(self.sender.map))
        return match[1] if match else None


def find_event_types(text: str) -> dict[str, list[str]]:
    """Each map that records go through (or iterator program that writes them) and the C types of those records.

    This is as far as the source shows them. Functions of the program that only pass data and size on are
    followed, one level deep.

    >>> find_event_types("int f() { struct ev *e; e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0); }")
    {'rb': ['struct ev']}
    """
    text = expand_macros(without_comments(text, keep_strings=False), [sender.name for sender in _HELPERS])
    wrappers = list(_wrappers(text))
    found: dict[str, list[str]] = {}
    for call in _calls(text, (*_HELPERS, *wrappers)):
        record = _record_type(call, text)
        if call.map and record and record not in found.setdefault(call.map, []):
            found[call.map].append(record)
    return {name: types for name, types in found.items() if types}


def render_anchors(types: dict[str, list[str]]) -> str:
    """The lines to put behind a program's text, all of them line 1 of ``FILE_NAME``."""
    lines = []
    for name, records in types.items():
        names = [name] if len(records) == 1 else [f"{number}_{name}" for number in range(1, len(records) + 1)]
        for variable, record in zip(names, records, strict=True):
            attributes = f'__attribute__((section("{SECTION}"), used))'
            lines.append(f'#line 1 "{FILE_NAME}"\n__typeof__({record}) *{PREFIX}{variable} {attributes};\n')
    return "\n" + "".join(lines) if lines else ""


def _calls(text: str, senders: tuple[_Sender, ...]) -> Iterator[_Call]:
    for function in functions(text):
        yield from _calls_inside(text, function, senders)


def _calls_inside(text: str, function: Function, senders: tuple[_Sender, ...]) -> Iterator[_Call]:
    name, parameters, begin, end = function
    if name.startswith("BPF_"):  # BPF_PROG(name, ...) and its like
        name = parameters.partition(",")[0].strip()
    by_name = {sender.name: sender for sender in senders}
    pattern = re.compile(rf"(?:\b(\w+)\s*=\s*(?:\([^()]*\)\s*)?)?\b({'|'.join(by_name)})\s*\(")
    for match in pattern.finditer(text, begin, end):
        if given := arguments(text, match.end()):
            yield _Call(name, by_name[match[2]], given, text[begin : match.start(2)], match[1])


def _wrappers(text: str) -> Iterator[_Sender]:
    """Functions that hand their own size (and data) on to a helper together with a fixed map."""
    for function in functions(text):
        name, parameters, _, _ = function
        names = [_parameter_name(parameter) for parameter in parameters.split(",")]
        for call in _calls_inside(text, function, _HELPERS):
            size, data = call.argument(call.sender.size), call.argument(call.sender.data)
            if call.map and call.sender.map is not None and size in names:
                yield _Sender(name, call.map, names.index(data) if data in names else None, names.index(size))


def _parameter_name(parameter: str) -> str:
    words = re.findall(r"\w+", parameter)
    return words[-1] if words else ""


def _record_type(call: _Call, text: str) -> str | None:
    data, size = call.argument(call.sender.data), call.argument(call.sender.size)
    if match := re.search(r"\bsizeof\s*\(\s*\*\s*(\w+)\s*\)|\bsizeof\s*\*\s*(\w+)", size):
        return _variable_type(match[1] or match[2], call.scope, text)
    if match := re.search(r"\bsizeof\s*\(\s*((?:struct|union|enum)\s+\w+)\s*\)", size):
        return match[1]
    if match := re.search(r"\bsizeof\s*\(\s*([A-Za-z_]\w*(?:\s+\w+)*)\s*\)", size):
        return _variable_type(match[1], call.scope, text) or match[1]
    if match := re.fullmatch(r"&?\s*(\w+)", data or (call.assigned or "")):
        record = _variable_type(match[1], call.scope, text)
        return None if record in _BYTES else record
    return None


def _variable_type(name: str, scope: str, text: str) -> str | None:
    """The type that a variable (or what it points to) was last declared with, first in its function."""
    for region in (scope, text):
        if found := list(_declarations(name, region)):
            return found[-1]
    return None


def _declarations(name: str, region: str) -> Iterator[str]:
    others = r"(?:\w+\s*(?:=[^;,(){}]*)?,\s*)*"
    variable = rf"\**\s*\b{name}\b\s*((?:\[[^\];]*\])*)\s*[=;,)]"
    pattern = re.compile(rf"({_TYPE})(?:\s+|\s*\*+\s*){others}{variable}")
    for match in pattern.finditer(_QUALIFIERS.sub(" ", region)):
        words = match[1].split()
        if not _WORDS_BEFORE_NO_TYPE.intersection(words):
            yield " ".join(words) + (f" {match[2]}" if match[2] else "")
