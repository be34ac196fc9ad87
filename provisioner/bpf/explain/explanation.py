"""From a log, and what can be found of its source, to the explanation of a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.bpf.explain.functions import FUNCTION_RULES
from provisioner.bpf.explain.memory import MEMORY_RULES
from provisioner.bpf.explain.packet import PACKET_RULES
from provisioner.bpf.explain.references import REFERENCE_RULES
from provisioner.bpf.explain.rules import Finding, find_rule
from provisioner.bpf.explain.source import FindFile, excerpt
from provisioner.bpf.explain.structure import STRUCTURE_RULES
from provisioner.bpf.explain.verifier_log import Source, VerifierLog, parse_log

RULES = (*STRUCTURE_RULES, *PACKET_RULES, *REFERENCE_RULES, *MEMORY_RULES, *FUNCTION_RULES)

#: Numbers of instructions as the log counts them -> lines of C, for logs that name none.
LineTable = Mapping[int, Source]


@dataclass(frozen=True)
class Explanation:
    """Why the verifier refused a program.

    ``code`` names the rule (stable; "other" for words that we do not know), ``rule`` is its sentence, ``message``
    the verifier's own words, ``range`` what it knew of ``register``, ``fix`` what to write instead, ``excerpt``
    the lines of C. ``file`` is the path on the host when it was found there, ``log`` where the whole log is.
    """

    code: str
    rule: str
    message: str
    fix: str
    instruction: int | None = None
    instruction_text: str | None = None
    register: str | None = None
    range: str | None = None
    program: str | None = None
    file: str | None = None
    line: int | None = None
    excerpt: tuple[str, ...] = ()
    log: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The object ``explanation`` of a report's error, schema 1."""
        number, text = self.instruction, self.instruction_text
        return {
            "code": self.code,
            "rule": self.rule,
            "message": self.message,
            "instruction": None if number is None else {"number": number, "text": text},
            "register": self.register,
            "range": self.range,
            "fix": self.fix,
            "file": self.file,
            "line": self.line,
            "excerpt": list(self.excerpt),
            "log": self.log,
        }


def explain_log(text: str, find_file: FindFile, lines: LineTable | None = None) -> Explanation | None:
    """Explain a verifier log; None when the text is none, or that of a program that was accepted.

    ``lines`` serves logs that name no lines: kernels before 6.9, and refusals before the first instruction.
    """
    log = parse_log(text)
    finding = find_rule(log, RULES) or (_unknown(log) if log.genuine else None)
    if not log.message or not finding:
        return None
    source = _source(log, lines or {})
    path = find_file(source) if source else None
    return Explanation(
        code=finding.code,
        rule=finding.sentence,
        message=log.text,
        fix=finding.fix,
        instruction=log.instruction,
        instruction_text=log.code,
        register=finding.register,
        range=finding.range,
        program=log.program,
        file=_file_name(source, path),
        line=source.line if source else None,
        excerpt=tuple(excerpt(source, path)) if source else (),
    )


def _source(log: VerifierLog, lines: LineTable) -> Source | None:
    """The refused line: the log's, with the table's column when both mean the same line."""
    known = lines.get(log.instruction) if log.instruction is not None else None
    if not log.source or not known:
        return log.source or known
    return known if known.text == log.source.text.strip() else log.source


def _file_name(source: Source | None, path: Path | None) -> str | None:
    return str(path) if path else source.file if source else None


def _unknown(log: VerifierLog) -> Finding:
    """What the kernel itself has to say (Linux 7.3 and later) about a rule that we do not know."""
    if log.report:
        return Finding("other", log.report.reason, log.report.suggestion)
    return Finding("other", "", "")
