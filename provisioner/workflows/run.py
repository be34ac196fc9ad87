"""``run``: send a program, build it, and let the runner load, attach, watch and detach it."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from provisioner.bpf.build import BuildPlan, host_paths, plan_build, simpler_compile
from provisioner.bpf.complaints import LOOK_UP, compile_error, unknown_name
from provisioner.bpf.ctext import has_license
from provisioner.bpf.examples import Example, find_example, load_examples
from provisioner.bpf.explain import hint_text
from provisioner.bpf.protocol import (
    Companion,
    Done,
    Message,
    RunnerError,
    RunnerOptions,
    VerifierLog,
    parse_message,
)
from provisioner.bpf.report import ReportBuilder, Subject
from provisioner.bpf.sources import Sources, find_sources
from provisioner.core.errors import BuildError, EbpfDevError, GuestError, LoadError, UsageError
from provisioner.core.paths import ensure_dir
from provisioner.core.process import CommandResult
from provisioner.core.reporter import Reporter
from provisioner.guest.base import Guest
from provisioner.guest.recipe import HOME, ensure_runner, make_tar, runner_path
from provisioner.guest.vmlinux import ensure_vmlinux
from provisioner.workflows.explain import explain_refusal, object_beside
from provisioner.workflows.instances import Instance, connected

#: A program that the verifier walks for long, or a compiler on a slow emulated processor; seconds.
BUILD_TIMEOUT = 600.0

# What is there already, asked in one round trip; a build directory is whole once its `done` exists.
_LOOK = (
    '[ -x "$1" ] && echo runner; [ -s "$2" ] && echo vmlinux; '
    '[ -e "$3/done" ] && echo build; [ -x "$4" ] && echo companion; :'
)
# Old builds go by age; the directory being made is new again even when an interrupted one was there.
_SEND = (
    'find "$1" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} + 2>/dev/null; '
    'rm -rf "$2" && mkdir -p "$2" && tar -x -C "$2"'
)
_IN = 'cd "$1" && shift && exec "$@"'

T = TypeVar("T")


@dataclass(frozen=True)
class RunRequest:
    """What to run and how; ``seconds`` None means until ``stop``.

    ``triggers`` None means an example's own or else what the programs hook; none at all means a passive run.
    """

    target: str
    seconds: float | None = None
    triggers: tuple[str, ...] | None = None
    programs: tuple[str, ...] = ()
    device: str | None = None
    cgroup: str | None = None
    bin: str | None = None
    pid: int | None = None
    attach_to: str | None = None
    include_dirs: tuple[Path, ...] = ()
    cflags: tuple[str, ...] = ()
    use_companion: bool | None = None
    arguments: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    map_entries: tuple[tuple[str, str], ...] = ()
    license: str | None = None

    @property
    def needs_runner(self) -> bool:
        """Whether it asks for what only our own loader does; a companion sets variables and maps itself."""
        return bool(self.settings or self.map_entries or self.license)


@dataclass(frozen=True)
class Target:
    """The file that a name on the command line means, and the example it belongs to."""

    file: Path
    example: Example | None = None


@dataclass
class Outcome:
    """``status`` is ours to exit with; ``error`` is set when something failed."""

    report: dict[str, Any]
    status: int
    error: EbpfDevError | None = None


def find_target(name: str) -> Target:
    """The file or example called ``name``; a file of that name wins. Raises UsageError with near names."""
    path = Path(name)
    if path.exists():
        return Target(path)
    if example := find_example(name):
        return Target(example.source, example)
    if "/" in name or name.endswith(".c"):
        return Target(path)
    raise UsageError(
        f"There is no file and no example called '{name}'",
        code="unknown-example",
        details=f"Examples: {', '.join(load_examples())}",
        hint="Give the path of a C file, or one of the examples.",
    )


def run_program(
    request: RunRequest,
    instance: Instance,
    on_message: Callable[[Message], None],
    reporter: Reporter,
    stop: threading.Event,
) -> Outcome:
    """Carry a request out on a running instance and return its report.

    Failures of the program (it does not compile, load or attach) and of the guest end in the outcome, so
    that the report is there in any case. Setting ``stop`` ends the run in good order.
    """
    target = find_target(request.target)
    record = instance.record
    builder = ReportBuilder(Subject(str(target.file), record.name, record.release, record.arch, record.backend))
    run = _Run(request, target, instance, builder, on_message, reporter, stop)
    try:
        status = run.carry_out()
    except EbpfDevError as exc:
        builder.add_error(exc)
        return Outcome(builder.to_json(), exc.exit_status, exc)
    return Outcome(builder.to_json(), status)


@dataclass
class _Run:
    """One run in progress; each method is one stage."""

    request: RunRequest
    target: Target
    instance: Instance
    builder: ReportBuilder
    on_message: Callable[[Message], None]
    reporter: Reporter
    stop: threading.Event

    def carry_out(self) -> int:
        """The exit status of a run that ended well or of the companion; a failed program is raised."""
        record = self.instance.record
        sources = find_sources(
            self.target.file,
            self.request.include_dirs,
            arch=record.arch,
            use_companion=self.request.use_companion,
        )
        self._tell(sources)
        plan = plan_build(sources, home=HOME, release=record.release, arch=record.arch, cflags=self.request.cflags)
        with connected(self.instance) as guest:
            runner, companion = self._prepare(guest, sources, plan)
            seen = self._watch(guest, self._options(plan, companion).argv(runner), plan)
            kept = [self._keep_log(guest, log, plan) for log in seen.logs]
        if seen.failure:
            raise self._program_error(seen.failure, sources, kept)
        assert seen.done is not None
        if seen.done.status and (hint := hint_text("\n".join(seen.companion), "load", "attach")):
            self.builder.add_note(hint)
        return seen.done.status

    def _tell(self, sources: Sources) -> None:
        """What was found or passed over on the host, before anything takes time."""
        for note in sources.notes:
            self.builder.add_note(note)
        for warning in sources.warnings:
            self._warn(warning)
        if not (sources.is_object or self.request.license or has_license(sources.text)):
            self._warn(
                f"{sources.program.name} has no license, so the kernel refuses it helpers that only GPL code may "
                'call; add: char LICENSE[] SEC("license") = "GPL"; or run it with --license GPL'
            )

    def _warn(self, text: str) -> None:
        self.reporter.warn(text)
        self.builder.add_warning(text)

    def _prepare(self, guest: Guest, sources: Sources, plan: BuildPlan) -> tuple[str, str | None]:
        """Bring runner, vmlinux.h and object about, each unless it is there; returns runner and companion."""
        runner = runner_path()
        vmlinux = f"{HOME}/vmlinux/{self.instance.record.release}/vmlinux.h"
        look = ["sh", "-c", _LOOK, "look", runner, vmlinux, plan.directory, plan.companion or ""]
        there = guest.run(look).stdout.split()
        if "runner" not in there:
            with self.reporter.step("Building the runner"):
                ensure_runner(guest)
        if "vmlinux" not in there:
            with self.reporter.step("Generating vmlinux.h from the guest's BTF"):
                ensure_vmlinux(guest, HOME, self.instance.record.arch)
        if "build" in there and ("companion" in there or not self.request.use_companion):
            return runner, self._built_companion(plan, "companion" in there)
        self._timed("sync", lambda: _send(guest, plan))
        if sources.is_object:
            return runner, self._build(guest, sources, plan)
        with self.reporter.step(f"Compiling {sources.program.name}"):
            return runner, self._timed("build", lambda: self._build(guest, sources, plan))

    def _built_companion(self, plan: BuildPlan, there: bool) -> str | None:
        if plan.companion and not there:
            self._warn("the program is run without its companion, which did not build before")
        return plan.companion if there else None

    def _timed(self, stage: str, action: Callable[[], T]) -> T:
        start, ok = time.monotonic(), False
        try:
            result = action()
            ok = True
            return result
        finally:
            self.builder.add_stage(stage, ok, time.monotonic() - start)

    def _build(self, guest: Guest, sources: Sources, plan: BuildPlan) -> str | None:
        """Make the object, and the companion if there is one to make; returns that."""
        argv: tuple[str, ...] | None = plan.compile
        while argv:
            done = self._compile(guest, sources, plan, argv)
            if done.ok:
                break
            failed, argv = argv, simpler_compile(argv, done.stderr)
            if argv is None:
                raise self._compile_error(guest, sources, failed, done)
        companion = self._build_companion(guest, sources, plan) if plan.companion else None
        guest.run(["touch", f"{plan.directory}/done"])
        return companion

    def _build_companion(self, guest: Guest, sources: Sources, plan: BuildPlan) -> str | None:
        """The companion, or None when it does not build and the program can do without it."""
        for argv in plan.companion_steps:
            done = self._compile(guest, sources, plan, argv)
            if done.ok:
                continue
            error = compile_error(sources, argv, done.stderr or done.stdout)
            if self.request.use_companion:
                raise error
            self._warn(f"the program is run without its companion, which does not build: {error.brief}")
            return None
        return plan.companion

    def _compile(self, guest: Guest, sources: Sources, plan: BuildPlan, argv: Sequence[str]) -> CommandResult:
        done = guest.run(["sh", "-c", _IN, "step", plan.source_dir, *argv], timeout=BUILD_TIMEOUT, check=False)
        for line in host_paths(done.stderr, sources).splitlines() if done.ok else ():
            self.reporter.debug(line)
        return done

    def _compile_error(
        self, guest: Guest, sources: Sources, argv: Sequence[str], done: CommandResult
    ) -> BuildError:
        output, found = done.stderr or done.stdout, ""
        if name := unknown_name(output):
            vmlinux = f"{HOME}/vmlinux/{self.instance.record.release}/vmlinux.h"
            found = guest.run(["sh", "-c", LOOK_UP, "lookup", name, vmlinux], check=False).stdout
        return compile_error(sources, argv, output, found)

    def _options(self, plan: BuildPlan, companion: str | None) -> RunnerOptions:
        request = self.request
        return RunnerOptions(
            object=plan.object,
            companion=companion if self._wants_companion() else None,
            arguments=request.arguments,
            seconds=request.seconds,
            device=request.device,
            cgroup=request.cgroup,
            passive=request.triggers == (),
            bin=request.bin,
            own_binary=None if self._wants_companion() else companion,
            pid=request.pid,
            attach_to=request.attach_to,
            programs=request.programs,
            triggers=self._triggers(),
            log_dir=plan.directory,
            settings=request.settings,
            map_entries=request.map_entries,
            license=request.license,
        )

    def _wants_companion(self) -> bool:
        if self.request.use_companion is None:
            return not self.request.needs_runner
        return self.request.use_companion

    def _triggers(self) -> Sequence[str]:
        if self.request.triggers is not None:
            return self.request.triggers
        return self.target.example.trigger if self.target.example else ()

    def _watch(self, guest: Guest, argv: Sequence[str], plan: BuildPlan) -> _Seen:
        seen, stderr = _Seen(), list[str]()

        def on_line(stream: str, line: str) -> None:
            if stream == "stderr":
                stderr.append(line)
                return
            message = parse_message(line)
            seen.take(message)
            if not isinstance(message, RunnerError):  # told once more below, with the host's file names
                self.builder.add(message)
            self.on_message(message)

        status = guest.stream(["sh", "-c", _IN, "run", plan.run_dir, *argv], on_line, stop=self.stop)
        if seen.done is None:
            raise GuestError(
                f"The runner ended with status {status} before it was done",
                code="runner-died",
                details="\n".join(stderr[-15:]),
                hint="The guest may be out of memory: `ebpf-dev exec -- dmesg` tells.",
            )
        return seen

    def _program_error(self, failure: RunnerError, sources: Sources, kept: Sequence[Path]) -> EbpfDevError:
        """The runner's error in the host's words: file names, and where the whole log is now."""
        error = failure.as_exception()
        error.details = host_paths(error.details, sources)
        known = hint_text(error.details, "load", "attach")
        error.hint = known or error.hint
        if isinstance(error, BuildError) and error.file:
            error.file = host_paths(f"{error.file}:", sources).removesuffix(":")
        if isinstance(error, LoadError) and failure.program and kept:
            explain_refusal(error, failure.program, kept[0], [sources.root / file for file in sources.files])
        if kept:
            error.details += "\n" + "\n".join(f"The whole verifier log: {path}" for path in kept)
        return error

    def _keep_log(self, guest: Guest, log: VerifierLog, plan: BuildPlan) -> Path:
        """Bring a verifier log, and the object that it is about, to the host, where they outlive the guest."""
        name = re.sub(r"[^\w.-]", "_", f"{self.target.file.stem}-{log.program}.verifier.log")
        path = ensure_dir(self.instance.paths.logs) / name
        guest.get(log.path, path)
        guest.get(plan.object, object_beside(path))
        return path


@dataclass
class _Seen:
    """What of the runner's messages decides how the run ends."""

    failure: RunnerError | None = None
    done: Done | None = None
    logs: list[VerifierLog] = field(default_factory=list)
    companion: deque[str] = field(default_factory=lambda: deque(maxlen=100))

    def take(self, message: Message) -> None:
        if isinstance(message, RunnerError) and self.failure is None:
            self.failure = message
        elif isinstance(message, VerifierLog):
            self.logs.append(message)
        elif isinstance(message, Companion):
            self.companion.append(message.text)
        elif isinstance(message, Done):
            self.done = message


def _send(guest: Guest, plan: BuildPlan) -> None:
    argv = ["sh", "-c", _SEND, "send", f"{HOME}/build", plan.directory]
    guest.run(argv, input=make_tar(plan.files), timeout=120)
