"""``watch``: which saves are noticed, and what becomes of the program that runs, in a guest that is a fake."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from provisioner.bpf import protocol
from provisioner.core.errors import BuildError, EbpfDevError, InstanceError, UsageError
from provisioner.core.process import CommandResult
from provisioner.ui import WatchDisplay, WatchLines
from provisioner.workflows import program
from provisioner.workflows.instances import Instance
from provisioner.workflows.run import Outcome
from provisioner.workflows.run_request import RunRequest
from provisioner.workflows.saves import Saves
from provisioner.workflows.watch import watch_program
from tests.unit.recorder import Recorder

SOURCE = '#include "word.h"\nchar LICENSE[] SEC("license") = "GPL";\nSEC("xdp") int pass(void *c) { return 2; }\n'


class FakeGuest:
    """Compiles what has no ``oops`` in it, loads what has no ``refuse``, and tells in ``log`` what ran when."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.fault: EbpfDevError | None = None
        self._words: dict[str, str] = {}
        self._numbers = iter(range(1, 100))

    def run(self, argv: Sequence[str], *, input: bytes = b"", **options: Any) -> CommandResult:
        words = list(argv)
        if "look" in words:
            return CommandResult(tuple(words), 0, "clock=?\nrunner\nvmlinux\n", "")
        if input:
            with tarfile.open(fileobj=io.BytesIO(input)) as archive:
                headers = [name for name in archive.getnames() if name.endswith("word.h")]
                file = archive.extractfile(headers[0])
                assert file
                self._words[words[words.index("step") + 1]] = file.read().decode().strip()
        if "clang" in words:
            text = self._words[words[words.index("step") + 1].removesuffix("/src")]
            self.log.append(f"compile {text}")
            if "oops" in text:
                return CommandResult(tuple(words), 1, "", "word.h:1:1: error: unknown type name 'oops'\n")
        return CommandResult(tuple(words), 0, "", "")

    def stream(
        self,
        argv: Sequence[str],
        on_line: Callable[[str, str], None],
        *,
        stop: threading.Event,
        go: threading.Event,
        **options: Any,
    ) -> int:
        words = list(argv)
        text = next(text for directory, text in self._words.items() if any(directory in word for word in words))

        def say(kind: str, **fields: Any) -> None:
            on_line("stdout", json.dumps({"type": kind, **fields}))

        assert "--hold" in words
        refused = "refuse" in text
        self.log.append(f"load {text}")
        if refused:
            say("error", code="load-failed", brief="refused", details="", hint="")
        say("stage", name="load", ok=not refused, seconds=0.1)
        if not refused and go.is_set():
            self.log.append(f"attach {text}")
            say("program", name="pass", section="xdp", program_type="xdp", state="attached", target="ebpf0")
            say("printk", text=text)
            assert stop.wait(20)
            self.log.append(f"detach {text}")
        say("done", status=7 if refused else 0, reason="error" if refused else "stdin")
        return 0

    def get(self, source: str, target: Path) -> None:
        raise AssertionError(source)


class FakeInstance:
    class record:  # noqa: N801
        name, release, arch, backend = "dev", "6.12", "x86_64", "qemu"


class Events:
    """Keeps what a watcher is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def saved(self, files: Sequence[Path]) -> None:
        self.told.append(f"saved {' '.join(path.name for path in files)}")

    def loaded(self, number: int, seconds: float) -> None:
        self.told.append(f"loaded {number}")

    def show(self, number: int, message: protocol.Message) -> None:
        if isinstance(message, protocol.Printk):
            self.told.append(f"{number} says {message.text}")

    def refused(self, error: EbpfDevError) -> None:
        self.told.append(f"refused {error.code}")

    def ended(self, number: int, outcome: Outcome, *, replaced: bool) -> None:
        self.told.append(f"ended {number}{' replaced' * replaced}")


class Lab:
    """One watch in a thread, and the directory that it watches."""

    def __init__(self, directory: Path, guest: FakeGuest) -> None:
        self.guest, self.events, self.stop = guest, Events(), threading.Event()
        self.program = directory / "pass.bpf.c"
        self.program.write_text(SOURCE)
        self._header = directory / "word.h"
        self.result: int | EbpfDevError | None = None
        self._thread = threading.Thread(target=self._watch)

    def save(self, word: str) -> None:
        """As most editors do: another file takes the place of the one before."""
        self._header.with_suffix(".new").write_text(word)
        self._header.with_suffix(".new").rename(self._header)

    def start(self) -> None:
        self._thread.start()

    def until(self, event: str) -> None:
        deadline = time.monotonic() + 20
        while event not in self.events.told:
            assert time.monotonic() < deadline, self.events.told
            time.sleep(0.01)

    def finish(self) -> int | EbpfDevError | None:
        self.stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.result

    def _watch(self) -> None:
        request = RunRequest(str(self.program))
        instance = cast(Instance, FakeInstance())
        try:
            self.result = watch_program(request, instance, self.events, Recorder(), self.stop)
        except EbpfDevError as exc:
            self.result = exc


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    guest = FakeGuest()

    @contextmanager
    def connected(instance: object) -> Iterator[FakeGuest]:
        if guest.fault:
            raise guest.fault
        yield guest

    monkeypatch.setattr(program, "connected", connected)
    lab = Lab(tmp_path, guest)
    lab.save("one")
    yield lab
    lab.stop.set()


def test_a_save_replaces_the_program_once_the_new_one_has_loaded(lab: Lab) -> None:
    lab.start()
    lab.until("1 says one")
    lab.save("two")
    lab.until("2 says two")
    assert lab.finish() == 0
    assert lab.guest.log == [
        "compile one", "load one", "attach one",
        "compile two", "load two", "detach one", "attach two", "detach two",
    ]  # fmt: skip
    assert lab.events.told == [
        "loaded 1", "1 says one", "saved word.h", "ended 1 replaced", "loaded 2", "2 says two", "ended 2",
    ]  # fmt: skip


@pytest.mark.parametrize(("mistake", "code"), [("oops", "compile-failed"), ("refuse", "load-failed")])
def test_a_mistake_is_told_and_the_program_before_runs_on(lab: Lab, mistake: str, code: str) -> None:
    lab.start()
    lab.until("1 says one")
    lab.save(mistake)
    lab.until(f"refused {code}")
    assert "detach one" not in lab.guest.log
    lab.save("three")
    lab.until("2 says three")
    assert lab.finish() == 0
    assert lab.guest.log.index("load three") < lab.guest.log.index("detach one")


def test_a_program_that_is_wrong_from_the_start_is_waited_for(lab: Lab) -> None:
    lab.save("oops")
    lab.start()
    lab.until("refused compile-failed")
    lab.save("right")
    lab.until("1 says right")
    assert lab.finish() == 0


def test_when_nothing_came_to_run_the_refusal_is_the_status(lab: Lab) -> None:
    lab.save("oops")
    lab.start()
    lab.until("refused compile-failed")
    assert lab.finish() == BuildError.exit_status


def test_what_is_no_fault_of_the_program_ends_the_first_run_only(lab: Lab) -> None:
    lab.guest.fault = InstanceError("it does not run", code="not-running")
    lab.start()
    lab._thread.join(20)
    assert isinstance(lab.result, InstanceError)


def test_an_instance_that_went_away_may_come_back(lab: Lab) -> None:
    lab.start()
    lab.until("1 says one")
    lab.guest.fault = InstanceError("it does not run", code="not-running")
    lab.save("two")
    lab.until("refused not-running")
    lab.guest.fault = None
    lab.save("three")
    lab.until("2 says three")
    assert lab.finish() == 0


def test_a_target_that_means_nothing(lab: Lab) -> None:
    with pytest.raises(UsageError):
        watch_program(
            RunRequest("nothing"), cast(Instance, FakeInstance()), lab.events, Recorder(), threading.Event()
        )


def test_the_last_of_several_quick_saves_counts(lab: Lab) -> None:
    lab.start()
    lab.until("1 says one")
    for number in range(20):
        lab.save(f"edition {number}")
    lab.until("2 says edition 19")
    lab.finish()
    assert len([line for line in lab.guest.log if line.startswith("attach")]) <= 3


def test_saving_the_same_is_no_change(lab: Lab) -> None:
    lab.start()
    lab.until("1 says one")
    lab.save("one")
    time.sleep(0.3)
    lab.finish()
    assert lab.events.told == ["loaded 1", "1 says one", "ended 1"]


def polled(saves: Saves) -> list[str]:
    """What the looks of half a second tell."""
    return [path.name for _ in range(3) for path in saves.poll()]


def test_saves_in_place_by_rename_and_of_files_that_come_and_go(tmp_path: Path) -> None:
    file, absent = tmp_path / "a.c", tmp_path / "inc" / "b.h"
    absent.parent.mkdir()
    file.write_text("one")
    saves = Saves([file, absent])
    assert polled(saves) == []
    file.write_text("in place")
    assert "a.c" in polled(saves)
    os.utime(file, ns=(1, 1))
    assert "a.c" in polled(saves)
    (tmp_path / "new").write_text("in place")
    (tmp_path / "new").rename(file)
    assert "a.c" in polled(saves)
    absent.write_text("")
    assert "b.h" in polled(saves)
    file.unlink()
    assert "a.c" in polled(saves)
    assert polled(saves) == []


def test_a_file_is_told_when_it_has_come_to_rest(tmp_path: Path) -> None:
    file = tmp_path / "a.c"
    file.write_text("")
    saves = Saves([file])
    for size in range(1, 5):
        file.write_text("x" * size)
        assert saves.poll() == []
    assert saves.poll() == [file]


OUTCOME = Outcome({"instance": "dev", "kernel": "6.12", "arch": "x86_64"}, 0)
SAID = protocol.Printk("hello")


def test_the_screen_separates_saves_and_says_what_runs_on() -> None:
    stream, errors = io.StringIO(), io.StringIO()
    display = WatchDisplay(stream, errors=errors, clock=lambda: "10:20:30")
    display.loaded(1, 1.0)
    display.show(1, SAID)
    display.saved([Path("/src/a.bpf.c"), Path("/src/a.h")])
    display.refused(BuildError("it does not compile", code="compile-failed"))
    display.ended(1, OUTCOME, replaced=True)
    display.loaded(2, 2.04)
    display.ended(2, OUTCOME, replaced=False)
    first, rest = stream.getvalue().split("\n\n", 1)
    assert first == "hello"
    separator, *after = rest.splitlines()
    assert separator.startswith("── 10:20:30  a.bpf.c, a.h saved ──")
    assert len(separator) == 80
    assert after[0] == "loaded after 2.0 s, in the place of the one before"
    assert after[-1] == "dev: Linux 6.12 x86_64"
    assert errors.getvalue().splitlines() == [
        "Error: it does not compile", "the program loaded before runs on; save to try again",
    ]  # fmt: skip


def test_every_event_is_one_json_line() -> None:
    stream = io.StringIO()
    lines = WatchLines(stream)
    lines.loaded(1, 1.0)
    lines.show(1, SAID)
    lines.show(1, protocol.Stage("attach", True, 0.1))
    lines.saved([Path("/src/a.h")])
    lines.refused(BuildError("it does not compile", code="compile-failed", file="a.h", line=3))
    lines.ended(1, OUTCOME, replaced=True)
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["type"] for event in told] == ["loaded", "printk", "saved", "refused", "ended"]
    assert (told[1]["number"], told[1]["text"]) == (1, "hello")
    assert (told[3]["error"]["code"], told[3]["error"]["line"]) == ("compile-failed", 3)
    assert told[4]["replaced"]
    assert told[4]["report"]["kernel"] == "6.12"
