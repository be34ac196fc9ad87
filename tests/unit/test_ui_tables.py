"""Tables, values, checks, and the texts they are made of."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest

from provisioner.ui import print_checks, print_table, print_values
from provisioner.ui.screen import Screen, byte_pair, cells, clipped, duration, safe
from provisioner.workflows.checks import Check
from tests.unit.terminals import Terminal, lines


def test_importing_it_leaves_rich_alone() -> None:
    code = "import sys, provisioner.ui; sys.exit('rich' in sys.modules or 'yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (136, "2 min 16 s"),
        (3720, "1 h 02 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_bytes() -> None:
    assert byte_pair(15.4e6, 320e6) == "15.4/320.0 MB"
    assert byte_pair(900, 0) == "900 B"
    assert byte_pair(1.5e9) == "1.5 GB"


def test_foreign_text_cannot_steer_the_terminal() -> None:
    assert safe("a\x1b[31mb\rc\u202ed\x9b") == "a\\x1b[31mb\\rc\\u202ed\\x9b"
    assert safe("a\tb") == "a       b"
    assert safe("a\x1b]0;title\x07\nb").isprintable()
    assert safe("größe 日本") == "größe 日本"


def test_wide_characters_are_measured() -> None:
    assert cells("日本") == 4
    assert cells(clipped("日本語テキスト", 7, "…")) <= 7
    assert clipped("short", 10, "…") == "short"
    assert clipped("abcdef", 4, "...") == "a..."


def test_what_the_encoding_lacks_is_spelled_out() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Screen(stream).line("größe \udcff ", ("✓", "green"))
    stream.seek(0)
    assert stream.read() == "gr\\xf6\\xdfe \\udcff \\u2713\n"


def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "cpus"], [["default", 2], ["a\x1b[1m", 16]])
    assert capsys.readouterr().out.splitlines() == ["NAME      CPUS", "default      2", "a\\x1b[1m    16"]


def test_an_empty_table_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name"], [])
    print_values([("a", 1), ("long", "x")])
    assert capsys.readouterr().out.splitlines() == ["NAME", "a     1", "long  x"]


def test_tables_are_cut_on_terminals_only(terminal: Terminal) -> None:
    rows = [["x" * 100, "short", "y" * 60]]
    print_table(["one", "two", "three"], rows, terminal)
    assert max(map(cells, terminal.text.splitlines())) <= 80
    assert "short" in terminal.text
    piped = io.StringIO()
    print_table(["one", "two", "three"], rows, piped)
    assert "x" * 100 in piped.getvalue()


def test_checks() -> None:
    stream = io.StringIO()
    print_checks(
        [
            Check("qemu", True, "version 10", details="/usr/bin/qemu"),
            Check("disk", False, "too full", details="1 byte", cure="Free some."),
            Check("kvm", False, "slow", needed=False),
            Check("guest", None, "not checked"),
        ],
        stream,
    )
    assert [re.sub(" +", " ", line) for line in lines(stream)] == [
        "ok qemu version 10", "FAIL disk too full", " 1 byte", " -> Free some.", "note kvm slow",
        "- guest not checked",
    ]  # fmt: skip
