"""Programs that the verifier of a real kernel refuses, each explained on its line of C."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.refusals import REFUSALS, Refusal
from tests.vm.conftest import Cli

RUN = 600.0
#: Whose million instructions an emulated verifier walks for minutes.
SLOW = frozenset({"too_long"})


# All of them are tested with the logs that a 6.12 and a 6.18 kernel wrote; these show that kernels still do.
@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(
            refusal,
            id=refusal.name,
            marks=() if index % 6 == 0 and refusal.name not in SLOW else pytest.mark.nightly,
        )
        for index, refusal in enumerate(REFUSALS)
    ],
)
def test_a_refusal_is_explained(instance: Cli, refusal: Refusal) -> None:
    report = instance.json(
        "run", str(refusal.file), "--for", "1", "--no-trigger", "--json", timeout=RUN, check=False
    )
    error = report["error"]
    assert error["code"] == ("missing-license" if refusal.name == "license" else "verifier-rejected"), error
    explanation = error["explanation"]
    assert explanation["code"] == refusal.code, error
    assert refusal.here in (explanation["range"] or ""), explanation
    assert refusal.fix in error["hint"], explanation
    assert explanation["message"] in error["details"]
    assert explanation["message"].splitlines()[0] in Path(explanation["log"]).read_text()
    if refusal.line:
        assert (error["file"], error["line"]) == (str(refusal.file), refusal.line)
        assert any(re.match(rf">\s+{refusal.line} \|", line) for line in explanation["excerpt"])


def test_a_kept_log_and_object_are_explained_without_the_guest(instance: Cli) -> None:
    refusal = next(item for item in REFUSALS if item.name == "unreachable")
    report = instance.json("run", str(refusal.file), "--for", "1", "--json", timeout=RUN, check=False)
    log = Path(report["error"]["explanation"]["log"])
    found = instance.json("explain", str(log), str(log.with_suffix(".o")), "--json")["explanation"]
    assert found["code"] == "unreachable"
    assert "asm volatile" in found["excerpt"][0], found
    assert (found["line"], Path(found["file"]).name) == (9, refusal.file.name)
