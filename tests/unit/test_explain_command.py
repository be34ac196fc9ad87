"""``explain`` as a user meets it, and how `run` shows the same; no instance is touched."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner.bpf.report import ReportBuilder, Subject
from provisioner.core.errors import LoadError
from provisioner.ui import error_as_dict, print_explanation, render_error
from provisioner.workflows.explain import explain_file, explain_refusal, object_beside
from tests.refusals import PROGRAMS
from tests.unit.terminals import Terminal

LOG = Path(__file__).parent / "verifier_logs" / "linux-6.12" / "packet_short_check.log"


def ebpf_dev(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "provisioner", *words], cwd=Path(__file__).parents[2], input=stdin, text=True,
        capture_output=True, check=False,
    )  # fmt: skip


@pytest.fixture
def refusal(tmp_path: Path) -> LoadError:
    """What the workflow makes of a runner's error and of the log that it kept."""
    log = tmp_path / "x-refused.verifier.log"
    log.write_text(LOG.read_text())
    object_beside(log).write_bytes(b"")
    error = LoadError(
        "the verifier refused refused (section xdp)",
        code="verifier-rejected",
        details="R1 offset is outside of the packet",
    )
    explain_refusal(error, "refused", log, PROGRAMS.glob("*.c"))
    return error


def test_the_error_says_where_why_and_what_to_do(refusal: LoadError) -> None:
    assert (Path(refusal.file or "").name, refusal.line) == ("refused_packet_short_check.bpf.c", 18)
    assert "data + 24 > data_end" in refusal.hint
    assert refusal.details.startswith("invalid access to packet, off=23")
    explanation = error_as_dict(refusal)["explanation"]
    assert explanation["code"] == "packet-bounds"
    assert explanation["log"].endswith("x-refused.verifier.log")


def test_the_report_holds_the_explanation(refusal: LoadError) -> None:
    builder = ReportBuilder(Subject("x.bpf.c", "default", "6.12", "x86_64", "qemu"))
    builder.add_error(refusal)
    error = builder.to_json()["error"]
    assert error["explanation"] == refusal.explanation
    assert error["hint"] == refusal.hint


def test_the_error_on_a_terminal_of_80_columns(refusal: LoadError, terminal: Terminal) -> None:
    render_error(refusal, terminal)
    shown = terminal.text.splitlines()
    assert max(len(line) for line in shown if "/" not in line) <= 80
    assert any(re.match(r"  > 18 \| .*return ip->protocol == 17", line) for line in shown)
    assert [line[2:8].strip() for line in shown if re.match(r"  \w+: ", line)] == [
        "Said:",
        "Rule:",
        "Here:",
        "At:",
        "Log:",
    ]
    assert "\x1b[" in terminal.getvalue()


def test_the_error_in_a_file_is_plain(refusal: LoadError) -> None:
    stream = io.StringIO()
    render_error(refusal, stream)
    assert "\x1b" not in stream.getvalue()
    assert "  Rule: A packet may be read only as far as" in stream.getvalue()
    assert stream.getvalue().splitlines()[-1].startswith("Hint: Compare before the access")


def test_colours_can_be_refused(refusal: LoadError, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert refusal.explanation
    print_explanation(refusal.explanation, terminal)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.getvalue())


def test_a_log_in_a_file() -> None:
    done = ebpf_dev("explain", str(LOG))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Rule: A packet may be read only as far as" in done.stdout
    assert "data + 24 > data_end" in done.stdout


def test_a_log_on_stdin_as_json() -> None:
    done = ebpf_dev("explain", "-", "--json", stdin=LOG.read_text())
    found = json.loads(done.stdout)
    assert found["schema"] == 1
    assert (found["explanation"]["code"], found["explanation"]["log"]) == ("packet-bounds", None)


def test_what_a_compiler_said() -> None:
    said = "x.c:3:1: error: A call to built-in function '__stack_chk_fail' is not supported."
    assert "-fno-stack-protector" in ebpf_dev("explain", "-", stdin=said).stdout
    found = json.loads(ebpf_dev("explain", "-", "--json", stdin=said).stdout)
    assert found["hint"]["code"] == "stack-protector"


@pytest.mark.parametrize(
    "words", [("/no/such/log",), (str(LOG), "/no/such.o"), (str(PROGRAMS / "refused_verdict.bpf.c"),)]
)
def test_what_cannot_be_explained(words: tuple[str, ...]) -> None:
    done = ebpf_dev("explain", *words)
    assert done.returncode == 2
    assert "Hint: " in done.stderr


def test_the_source_is_found_beside_the_log(tmp_path: Path) -> None:
    name = "refused_packet_short_check.bpf.c"
    (tmp_path / name).write_text((PROGRAMS / name).read_text())
    (tmp_path / "a.log").write_text(LOG.read_text())
    found = explain_file(str(tmp_path / "a.log"))
    assert getattr(found, "file", None) == str(tmp_path / name)
