"""One eBPF program from its file to the end of its run: sent, built, loaded, attached, watched, explained."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.bpf.build import BuildPlan, host_paths, plan_build
from provisioner.bpf.ctext import has_license
from provisioner.bpf.explain import hint_text
from provisioner.bpf.protocol import FOREIGN_LOADERS, RunnerError, RunnerOptions, VerifierLog
from provisioner.bpf.sources import Sources, find_sources
from provisioner.core.errors import BuildError, EbpfDevError, LoadError
from provisioner.core.names import file_name
from provisioner.core.paths import ensure_dir
from provisioner.guest.base import Guest
from provisioner.guest.recipe import HOME
from provisioner.workflows.build import Builder
from provisioner.workflows.instances import connected
from provisioner.workflows.running import Run, Seen
from provisioner.workflows.second_try import NOTE as SECOND_TRY_NOTE
from provisioner.workflows.second_try import OLDER_PROCESSOR, Gate


@dataclass(frozen=True)
class _Try:
    """A program as it was built, and what came of running that."""

    plan: BuildPlan
    gate: Gate
    seen: Seen


@dataclass(frozen=True)
class ProgramRun:
    """The stages of one run; each method is one."""

    run: Run

    def carry_out(self) -> int:
        """The exit status of a run that ended well or of the companion; a failed program is raised."""
        record = self.run.instance.record
        sources = find_sources(
            self.run.target.file,
            self.run.request.include_dirs,
            arch=record.arch,
            use_companion=self.run.request.use_companion,
        )
        self._tell(sources)
        with connected(self.run.instance) as guest:
            tried = self._try(guest, sources)
            if tried.gate.may_be_cured and self._may_compile_otherwise(sources):
                tried = self._try_older(guest, sources) or tried
            tried.gate.open()
            seen = tried.seen
            kept = [self._keep_log(guest, log, tried.plan) for log in seen.logs]
        if seen.failure:
            raise self._program_error(seen.failure, sources, kept)
        assert seen.done is not None
        if seen.done.status and (hint := hint_text("\n".join(seen.companion), "load", "attach")):
            self.run.builder.add_note(hint)
        return seen.done.status

    def _try(self, guest: Guest, sources: Sources, *more_flags: str) -> _Try:
        """Build and run it; the gate keeps what is said when the verifier refuses it."""
        record, cflags = self.run.instance.record, (*self.run.request.cflags, *more_flags)
        plan = plan_build(sources, home=HOME, release=record.release, arch=record.arch, cflags=cflags)
        built = Builder(self.run, guest, sources, plan).build()
        options = self._options(sources, plan, built.companion)
        gate = Gate(self.run.pass_on, by_companion=bool(options.companion or options.loader))
        argv = options.argv(built.runner)
        return _Try(plan, gate, self.run.watch(guest, argv, plan.run_dir, gate.take, held=options.hold))

    def _may_compile_otherwise(self, sources: Sources) -> bool:
        given = (*sources.flags, *self.run.request.cflags)
        chosen = any(flag.startswith("-mcpu=") for flag in given)
        return not (sources.is_object or chosen or self.run.stop.is_set())

    def _try_older(self, guest: Guest, sources: Sources) -> _Try | None:
        """The same compiled for an older processor; None when that does not help."""
        try:
            tried = self._try(guest, sources, OLDER_PROCESSOR)
        except BuildError:
            return None  # it needs what is newer
        if not tried.gate.loaded:
            return None
        self.run.builder.add_note(SECOND_TRY_NOTE)
        return tried

    def _tell(self, sources: Sources) -> None:
        """What was found or passed over on the host, before anything takes time."""
        for note in sources.notes:
            self.run.builder.add_note(note)
        for warning in sources.warnings:
            self.run.warn(warning)
        if sources.is_object and (given := self.run.request.given(("include_dirs", "cflags"))):
            self.run.warn(f"{sources.program.name} is compiled already; {' and '.join(given)} change nothing")
        if not (sources.is_object or self.run.request.license or has_license(sources.text)):
            self.run.warn(
                f"{sources.program.name} has no license, so the kernel refuses it helpers that only GPL code may "
                'call; add: char LICENSE[] SEC("license") = "GPL"; or run it with --license GPL'
            )

    def _options(self, sources: Sources, plan: BuildPlan, companion: str | None) -> RunnerOptions:
        request = self.run.request
        loads = self._wants_companion() and not sources.probed
        loader = request.loader if request.loader in FOREIGN_LOADERS else None
        started = companion if loads else None
        if request.arguments and not started:
            self.run.warn(f"no program of user space is started that would take: {shlex.join(request.arguments)}")
        return RunnerOptions(
            object=plan.object,
            loader=loader,
            companion=started,
            hold=self.run.take_over is not None and not loader and not started,
            arguments=request.arguments,
            seconds=request.seconds,
            device=request.device,
            cgroup=request.cgroup,
            passive=request.triggers == (),
            bin=request.bin,
            own_binary=None if loads else companion,
            pid=request.pid,
            attach_to=request.attach_to,
            programs=request.programs,
            triggers=self._triggers(companion if sources.probed else None),
            log_dir=plan.directory,
            settings=request.settings,
            map_entries=request.map_entries,
            license=request.license,
        )

    def _triggers(self, victim: str | None) -> Sequence[str]:
        """Those asked for, else what is there to be probed, over and over: it may end at once."""
        if victim is None or self.run.request.triggers is not None:
            return self.run.triggers()
        self.run.builder.add_note(
            f"running {Path(victim).name}, which is there to be probed; --trigger replaces it"
        )
        return (f"while :; do {shlex.quote(victim)} </dev/null; sleep 1; done",)

    def _wants_companion(self) -> bool:
        if self.run.request.use_companion is None:
            return not self.run.request.needs_runner
        return self.run.request.use_companion

    def _program_error(self, failure: RunnerError, sources: Sources, kept: Sequence[Path]) -> EbpfDevError:
        """The runner's error in the host's words: file names, and where the whole log is now."""
        error = failure.as_exception()
        error.details = host_paths(error.details, sources)
        known = hint_text(error.details, "load", "attach")
        error.hint = known or error.hint
        if isinstance(error, BuildError) and error.file:
            error.file = host_paths(f"{error.file}:", sources).removesuffix(":")
        if isinstance(error, LoadError) and failure.program and kept:
            from provisioner.workflows.explain import explain_refusal

            explain_refusal(error, failure.program, kept[0], [sources.root / file for file in sources.files])
        if kept:
            error.details += "\n" + "\n".join(f"The whole verifier log: {path}" for path in kept)
        return error

    def _keep_log(self, guest: Guest, log: VerifierLog, plan: BuildPlan) -> Path:
        """Bring a verifier log, and the object that it is about, to the host, where they outlive the guest."""
        from provisioner.workflows.explain import object_beside

        name = file_name(f"{self.run.target.file.stem}-{log.program}") + ".verifier.log"
        path = ensure_dir(self.run.instance.paths.logs) / name
        guest.get(log.path, path)
        guest.get(plan.object, object_beside(path))
        return path
