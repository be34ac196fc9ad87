"""Which call a refusal is about: the helper's name, the argument in C, the call that a value came from."""

from __future__ import annotations

import re

from provisioner.bpf.explain.verifier_log import VerifierLog

_CALL = re.compile(r"\bcall ([A-Za-z_]\w*)#")


def called(code: str | None) -> str | None:
    """The helper or kernel function that an instruction calls."""
    match = _CALL.search(code or "")
    return match[1] if match else None


def last_call(log: VerifierLog, names: str) -> str | None:
    """The latest call, in the order of the code, before the refused instruction whose name fits ``names``."""
    return called(log.codes.get(last_call_number(log, names)))


def last_call_number(log: VerifierLog, names: str) -> int:
    """The instruction of that call; -1 when there is none."""
    for number in sorted(log.codes, reverse=True):
        name = called(log.codes[number])
        if name and number < (log.instruction or 0) and re.fullmatch(names, name):
            return number
    return -1


def assigned_variable(text: str) -> str | None:
    """The C variable that a line sets: ``e`` of ``struct event *e = bpf_ringbuf_reserve(...)``."""
    match = re.search(r"(\w+(?:(?:->|\.)\w+)*)\s*=(?!=)", text)
    return match[1] if match else None


def argument(text: str, name: str, number: int) -> str | None:
    """The ``number``th (from 1) argument of the call of ``name`` in a line of C, unless the line breaks in it."""
    start = text.find(f"{name}(")
    if start < 0:
        return None
    depth, arguments = 0, [""]
    for character in text[start + len(name) + 1 :]:
        if character == ")" and depth == 0:
            words = [word.strip() for word in arguments]
            return words[number - 1] if number <= len(words) else None
        if character == "," and depth == 0:
            arguments.append("")
            continue
        depth += (character in "([{") - (character in ")]}")
        arguments[-1] += character
    return None
