"""How failures are shown."""

from __future__ import annotations

import io
import json

import pytest

from provisioner.core.errors import BuildError, InstanceError
from provisioner.ui import error_as_dict, render_error
from tests.unit.terminals import Terminal, lines


def test_an_error_in_a_file() -> None:
    stream = io.StringIO()
    render_error(InstanceError("It broke", code="x", details="one\ntwo", hint="Mend it."), stream)
    assert lines(stream) == ["Error: It broke", "  one", "  two", "Hint: Mend it."]


def test_an_error_on_a_terminal_is_wrapped(terminal: Terminal) -> None:
    render_error(InstanceError("word " * 30, code="x", hint="mend " * 40), terminal)
    assert max(map(len, terminal.text.splitlines())) <= 80
    assert terminal.text.splitlines()[1].startswith("       word")


def test_long_evidence_is_cut_in_the_middle() -> None:
    error = InstanceError("It broke", code="x", details="\n".join(f"line {at}" for at in range(100)))
    stream = io.StringIO()
    render_error(error, stream)
    shown = lines(stream)
    assert shown[1] == "  line 0"
    assert "  [71 lines left out]" in shown
    assert shown[-1] == "  line 99"
    whole = io.StringIO()
    render_error(error, whole, verbose=True)
    assert len(lines(whole)) == 101


def test_an_error_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    error = BuildError("no", code="compile-failed", details="d", hint="h", file="x.c", line=7)
    render_error(error, as_json=True)
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {"error": error_as_dict(error)}
    assert json.loads(out)["error"] == {
        "code": "compile-failed", "brief": "no", "details": "d", "hint": "h", "file": "x.c", "line": 7,
    }  # fmt: skip


def test_errors_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    render_error(InstanceError("It broke", code="x"))
    assert capsys.readouterr() == ("", "Error: It broke\n")
