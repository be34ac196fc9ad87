"""What goes wrong before and after the verifier: messages of compiler, libbpf and kernel, with cause and cure.

The tables are in ``compile_symptoms.py`` and ``load_symptoms.py``; the verifier's own words are not among them
(``explanation.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from provisioner.bpf.explain.compile_symptoms import COMPILE
from provisioner.bpf.explain.load_symptoms import ATTACH, LOAD

#: By the stage of a run that says so.
SYMPTOMS = {"compile": COMPILE, "load": LOAD, "attach": ATTACH}


@dataclass(frozen=True)
class Hint:
    """A symptom that was recognised: why it is so, and what to do."""

    code: str
    cause: str
    cure: str

    def __str__(self) -> str:
        return f"{self.cause} {self.cure}"


def find_hint(text: str, *stages: str) -> Hint | None:
    """The first symptom of one of the ``stages`` (none given: of any) that ``text`` shows."""
    for stage in stages or SYMPTOMS:
        for symptom in SYMPTOMS[stage]:
            if match := re.search(symptom.pattern, text, re.MULTILINE):
                groups = {name: value or "" for name, value in match.groupdict().items()}
                return Hint(symptom.code, symptom.cause.format_map(groups), symptom.cure.format_map(groups))
    return None


def hint_text(text: str, *stages: str) -> str:
    """The hint as one paragraph, "" when nothing in ``text`` is known."""
    hint = find_hint(text, *stages)
    return str(hint) if hint else ""
