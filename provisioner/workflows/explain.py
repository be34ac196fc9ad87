"""``explain``: why a program was refused, from the log that was kept of it; no instance is needed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from provisioner.bpf.explain import (
    Explanation,
    Hint,
    explain_log,
    find_among,
    find_hint,
    find_in,
    read_lines,
)
from provisioner.core.errors import LoadError, UsageError

#: The name that means standard input.
STDIN = "-"


def object_beside(log: Path) -> Path:
    """Where the object is kept that a kept verifier log is about."""
    return log.with_suffix(".o")


def explain_refusal(error: LoadError, program: str, log: Path, files: Iterable[Path]) -> None:
    """Put into ``error`` what the log kept at ``log`` says; ``files`` are the program's sources on the host."""
    lines = read_lines(_read_bytes(object_beside(log)), program)
    explanation = explain_log(_read(log), find_among(files), lines)
    if not explanation:
        return
    error.explanation = replace(explanation, log=str(log)).to_json()
    error.hint = explanation.fix or error.hint
    error.file, error.line = explanation.file or error.file, explanation.line or error.line
    if explanation.message not in error.details:
        error.details = f"{explanation.message}\n{error.details}"


def explain_file(name: str, program_object: Path | None = None, program: str | None = None) -> Explanation | Hint:
    """What is in the file ``name`` ("-": stdin): a verifier log, or the output of a compiler or loader.

    ``program_object`` gives the lines that a log of an older kernel lacks. Raises UsageError for a file that
    cannot be read, or that has nothing in it that we know.
    """
    log = Path(name)
    text = sys.stdin.read() if name == STDIN else _read(log)
    directories = [Path(), *([] if name == STDIN else [log.parent])]
    lines = None
    if program_object:
        directories.append(program_object.parent)
        lines = read_lines(_read_bytes(program_object), program)
    hint = find_hint(text)
    explanation = explain_log(text, find_in(directories), lines)
    if explanation and (explanation.instruction is not None or not hint):
        return replace(explanation, log=None if name == STDIN else str(log))
    if hint:
        return hint
    raise UsageError(
        f"There is no refusal in {'standard input' if name == STDIN else name}",
        code="nothing-to-explain",
        hint="Give a verifier log (`ebpf-dev run` keeps it and says where), or what the compiler or libbpf said.",
    )


def _read(path: Path) -> str:
    return _read_bytes(path).decode(errors="replace")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be read: {exc.strerror}",
            code="no-such-file",
            hint="Give the path of a log, or - for standard input.",
        ) from exc
