"""A guest's clock that stood still while the host slept."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

import pytest

from provisioner.core.process import CommandResult
from provisioner.guest.clock import TELL_TIME, clock_offset, describe_offset, in_time, look
from tests.unit.recorder import Recorder

DAY = 86400.0


class FakeGuest:
    """Says what time it is there before what else it says, and takes on another time."""

    def __init__(self, offset: float, clock: str | None = None) -> None:
        self.offset = offset
        self.clock = clock
        self.commands: list[tuple[str, ...]] = []

    def run(
        self, argv: Sequence[str], *, input: bytes = b"", timeout: float = 60.0, check: bool = True
    ) -> CommandResult:
        self.commands.append(tuple(argv))
        if argv[0] == "date":
            self.offset = float(argv[-1].removeprefix("@")) - time.time()
        clock = f"{time.time() + self.offset:.6f}" if self.clock is None else self.clock
        return CommandResult(tuple(argv), 0, f"clock={clock}\nrunner\nvmlinux\n", "")

    def look(self, recorder: Recorder) -> list[str]:
        return look(self, recorder, 'echo runner; [ -e "$1" ] && echo vmlinux', "/vmlinux.h")  # type: ignore[arg-type]

    @property
    def programs(self) -> list[str]:
        return [command[0] for command in self.commands]


@pytest.mark.parametrize(
    ("guest", "offset"),
    [(100.0, 0.0), (103.0, 0.0), (99.1, 0.0), (103.9, 0.0), (98.0, -2.0), (106.0, 3.0), (100.0 - DAY, -DAY)],
)
def test_only_what_is_surely_off_counts(guest: float, offset: float) -> None:
    assert clock_offset(guest, before=100.0, after=103.0) == offset


@pytest.mark.parametrize(
    ("behind", "words"), [(-DAY, "1 d behind"), (-300.0, "5 min behind"), (7300.0, "2 h ahead")]
)
def test_a_clock_that_is_off_is_set_and_told_of(behind: float, words: str) -> None:
    guest, recorder = FakeGuest(behind), Recorder()
    asked = time.time()
    assert guest.look(recorder) == ["runner", "vmlinux"]
    assert guest.programs == ["bash", "date"]
    assert clock_offset(time.time() + guest.offset, asked, time.time()) == 0.0
    assert [note for note in recorder.notes if words in note]


@pytest.mark.parametrize("clock", [None, "", "now"])
def test_a_guest_that_is_right_or_says_no_time_is_left_alone(clock: str | None) -> None:
    guest, recorder = FakeGuest(0.0, clock), Recorder()
    assert guest.look(recorder) == ["runner", "vmlinux"]
    assert (guest.programs, recorder.notes) == (["bash"], [])


def test_units() -> None:
    words = [describe_offset(seconds) for seconds in (-1.2, 90.0, 0.01 - DAY, -3 * DAY)]
    assert words == ["1 s behind", "2 min ahead", "1 d behind", "3 d behind"]


def test_bash_tells_the_time_without_help() -> None:
    done = subprocess.run(["bash", "-c", f"PATH=; {TELL_TIME}"], capture_output=True, text=True, check=True)
    now = time.time()
    assert clock_offset(float(done.stdout.removeprefix("clock=")), now - 60, now) == 0.0


@pytest.mark.parametrize(
    ("shell", "ahead", "told"), [("bash", 0, ""), ("bash", 60, "date -u -s @"), ("sh", 60, "")]
)
def test_a_command_that_sets_a_late_clock_first(shell: str, ahead: int, told: str) -> None:
    """The clock it would set is this host's: a function stands in for the program."""
    if shell == "sh" and subprocess.run(["sh", "-c", '[ -n "$EPOCHSECONDS" ]'], check=False).returncode == 0:
        pytest.skip("sh is bash here")
    command = in_time("sh -c 'echo ran; exit 7'", time.time() + ahead)
    script = f'date() {{ echo "date $*" >&2; }}\n{command}'
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("ran\n", 7)
    assert done.stderr.startswith(told)
    assert bool(done.stderr) == bool(told)
