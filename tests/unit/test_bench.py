"""The benchmark's frame: its table, its rows, and what it says when a figure cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import others
from tests.bench.__main__ import ROWS, show
from tests.bench.lab import Lab, run
from tests.bench.measure import Line, NotTakenError, columns


def test_medians_are_shown_and_the_ratio_is_that_of_pairs() -> None:
    line = str(Line("a / b", [1.0, 2.0, 30.0], [10.0, 10.0, 10.0], limit=0.25))
    assert line.split()[3:] == ["2.00", "s", "10.0", "s", "0.20x", "0.10-3.00", "0.25x"]
    assert str(Line("a", [0.5], limit=0.6)).split() == ["a", "0.50", "s", "0.6", "s"]


def test_the_table_fits_a_terminal() -> None:
    wide = Line("run, unchanged / ssh clang && bpftool", [123.4, 99.5], [345.6, 100.1], limit=0.15)
    assert len(str(wide)) <= 80
    assert len(columns("", "", "", "", "most")) <= 80


def test_every_row_says_what_it_measures() -> None:
    assert [name for name, row in ROWS.items() if not row.__doc__] == []


def test_a_figure_that_cannot_be_had_is_said_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def row(lab: Lab) -> Iterator[Line]:
        yield Line("first", [1.0])
        run(("sh", "-c", "echo no such thing >&2; exit 3"))

    show("row", row, Lab(1, tmp_path))
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["first", "1.00", "s"]
    assert said[1] == "row: not taken: sh ended with 3: no such thing"


def test_what_is_not_installed_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotTakenError, match="limactl is not installed"):
        list(others.lima(Lab(1, tmp_path)))
