"""What a rule of the verifier's is: the words that tell it, what it asks for, and how a program keeps it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from provisioner.bpf.explain.registers import describe
from provisioner.bpf.explain.verifier_log import VerifierLog

#: What a rule found out about one refusal: "register", "range", and whatever its sentences name in braces.
Facts = dict[str, str]
Measure = Callable[[Mapping[str, str], VerifierLog], Facts | None]


@dataclass(frozen=True)
class Rule:
    """``sentence`` and ``fix`` may name groups of ``pattern`` and facts of ``measure`` in braces.

    A ``measure`` that returns None says that the words fit and the case does not.
    """

    code: str
    pattern: str
    sentence: str
    fix: str
    measure: Measure


@dataclass(frozen=True)
class Finding:
    """A rule that a refused program broke, in words."""

    code: str
    sentence: str
    fix: str
    register: str | None = None
    range: str | None = None


def no_facts(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    """The words say all that there is to know."""
    return {}


def about_register(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    """What the register held that the verifier named."""
    return register_facts(f"R{groups['reg']}", log) if groups.get("reg") else {}


def about_access(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    """The register that the refused instruction dereferences."""
    match = re.search(r"\*\(\w+ \*\)\(r(\d+) ", log.code or "")
    return register_facts(f"R{match[1]}", log) if match else {}


def register_facts(name: str, log: VerifierLog) -> Facts:
    """``register``, and ``range`` when the log says what it held."""
    known = log.registers.get(name)
    return {"register": name, "range": f"{name} is {describe(known)}."} if known else {"register": name}


def find_rule(log: VerifierLog, rules: tuple[Rule, ...]) -> Finding | None:
    """The first of ``rules`` that fits the refusal."""
    for rule in rules:
        match = re.search(rule.pattern, log.text, re.MULTILINE)
        if not match:
            continue
        groups = {name: value or "" for name, value in match.groupdict().items()}
        facts = rule.measure(groups, log)
        if facts is not None:
            return _finding(rule, {**groups, **facts})
    return None


def _finding(rule: Rule, facts: Facts) -> Finding:
    return Finding(
        rule.code,
        rule.sentence.format_map(facts),
        rule.fix.format_map(facts),
        facts.get("register"),
        facts.get("range"),
    )
