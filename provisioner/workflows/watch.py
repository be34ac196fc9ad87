"""``watch``: a program is built and loaded anew whenever one of its files is saved.

The one that runs keeps running until the new one has loaded, so a mistake costs nothing but its message. Where
somebody else loads (a companion, a front end, bpftool) nothing can be loaded ahead: there it is enough to build.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from provisioner.bpf.frontends import find_frontend
from provisioner.bpf.protocol import Message
from provisioner.bpf.sources import find_sources
from provisioner.core.errors import BuildError, EbpfDevError, UsageError
from provisioner.core.reporter import Reporter, SilentReporter
from provisioner.workflows.instances import Instance
from provisioner.workflows.run import Outcome, find_target, run_program
from provisioner.workflows.run_request import RunRequest
from provisioner.workflows.running import Target
from provisioner.workflows.saves import Saves

#: Seconds between two looks at the files; a save is taken up after the second that finds the same.
_TICK = 0.05


class Watcher(Protocol):
    """Is told what happens, from several threads. Programs that were loaded are counted from 1."""

    def saved(self, files: Sequence[Path]) -> None:
        """These were saved, and are being built."""

    def loaded(self, number: int, seconds: float) -> None:
        """A program takes the place of the one before, so many seconds after the save was found."""

    def show(self, number: int, message: Message) -> None:
        """A message of the runner; ``number`` 0 is a program that has not taken over."""

    def refused(self, error: EbpfDevError) -> None:
        """The files as they are now do not build or load; what ran before runs on."""

    def ended(self, number: int, outcome: Outcome, *, replaced: bool) -> None:
        """A program's run has ended: it was ``replaced``, ended by itself, or all ends."""


def watch_program(
    request: RunRequest, instance: Instance, watcher: Watcher, reporter: Reporter, stop: threading.Event
) -> int:
    """Run what is asked for, again at every save, until ``stop`` or for the request's seconds.

    Returns the exit status of what came last, a run or a refusal. Raises UsageError for a target that means
    nothing, and what stands in the way of the first run unless it is in the program.
    """
    watch = _Watch(request, instance, watcher, reporter)
    deadline = None if request.seconds is None else time.monotonic() + request.seconds
    watch.begin(())
    try:
        while not stop.wait(_TICK) and (deadline is None or time.monotonic() < deadline):
            watch.look()
    finally:
        watch.end()
    return watch.status


class _Watch:
    """The program that runs, and the one that is about to replace it."""

    def __init__(self, request: RunRequest, instance: Instance, watcher: Watcher, reporter: Reporter) -> None:
        self.request = replace(request, seconds=None)
        self.instance = instance
        self.watcher = watcher
        self.reporter = reporter
        self.status = 0
        self._target = find_target(request.target)
        self._saves = Saves()
        self._content = b""
        self._saved: list[Path] = []
        self._begun = self._loaded = 0
        self._current: _Edition | None = None
        self._next: _Edition | None = None

    def look(self) -> None:
        """Take up what was saved, and what has become of the program that was being built."""
        self._saved += self._saves.poll()
        if self._next and self._next.is_decided():
            edition, self._next = self._next, None
            self._judge(edition)
        if self._saved and self._next:
            self._next.stop.set()  # what it is made of is outdated
        elif self._saved:
            saved, self._saved = self._saved, []
            self.begin(saved)

    def begin(self, saved: Sequence[Path]) -> None:
        """Build the files as they are now, unless they say what they said before."""
        files = _files_of(self._target, self.request, self.instance.record.arch)
        # Followed before they are read: what is saved from here on is found at the next look.
        self._saves.follow(files)
        content = _content_of(files)
        if content == self._content:
            return
        self._content = content
        if names := [path for path in dict.fromkeys(saved) if path in files]:
            self.watcher.saved(names)
        self._begun += 1
        reporter = self.reporter if self._begun == 1 else _WithoutSteps(self.reporter)
        self._next = _Edition(self, reporter)
        self._next.thread.start()

    def end(self) -> None:
        """End whatever runs, in good order."""
        for edition in filter(None, (self._next, self._current)):
            edition.stop.set()
        for edition in filter(None, (self._next, self._current)):
            edition.thread.join()

    def replace(self, edition: _Edition) -> None:
        """Let ``edition`` take over, once; called from its thread."""
        if edition.stop.is_set() or edition.number:
            return
        if self._current:
            self._current.is_replaced = True
            self._current.stop.set()
            self._current.thread.join()
        self._loaded += 1
        self._current, edition.number = edition, self._loaded
        self.watcher.loaded(edition.number, time.monotonic() - edition.begun)

    def _judge(self, edition: _Edition) -> None:
        outcome = edition.outcome
        if edition.number or edition.stop.is_set() or outcome is None or outcome.error is None:
            return
        if self._begun == 1 and not isinstance(outcome.error, BuildError):
            raise outcome.error
        self.status = outcome.status
        self.watcher.refused(outcome.error)


class _Edition:
    """The files in one state: built, loaded and run in a thread. ``number`` is 0 until it has taken over."""

    def __init__(self, watch: _Watch, reporter: Reporter) -> None:
        self.number = 0
        self.begun = time.monotonic()
        self.stop = threading.Event()
        self.is_replaced = False
        self.outcome: Outcome | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._watch = watch
        self._reporter = reporter

    def is_decided(self) -> bool:
        """Whether it has taken over, or never will."""
        return self.number > 0 or not self.thread.is_alive()

    def _run(self) -> None:
        watch = self._watch
        outcome = run_program(
            watch.request,
            watch.instance,
            lambda message: watch.watcher.show(self.number, message),
            self._reporter,
            self.stop,
            take_over=lambda: watch.replace(self),
        )
        self.outcome = outcome
        if self.number:
            watch.status = outcome.status
            watch.watcher.ended(self.number, outcome, replaced=self.is_replaced)


class _WithoutSteps(SilentReporter):
    """Passes on all but steps, which would be drawn into what the running program says."""

    def __init__(self, reporter: Reporter) -> None:
        self.note, self.warn, self.debug = reporter.note, reporter.warn, reporter.debug  # type: ignore[method-assign]


def _files_of(target: Target, request: RunRequest, arch: str) -> list[Path]:
    """Every file of the project that the program is made of; while that cannot be told, the target itself."""
    try:
        if frontend := find_frontend(target.file):
            return list(frontend.files)
        sources = find_sources(target.file, request.include_dirs, arch=arch, use_companion=request.use_companion)
    except (UsageError, OSError):
        return [target.file.resolve()]
    return [sources.root / file for file in sources.files]


def _content_of(files: Iterable[Path]) -> bytes:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path}\0".encode())
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError:
            digest.update(b"absent")
    return digest.digest()
