"""A bpftrace script or a BCC tool, run in the guest by the front end that it is written for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.bpf.explain import hint_text
from provisioner.bpf.frontends import FrontEnd
from provisioner.bpf.protocol import RunnerOptions
from provisioner.core.errors import UsageError
from provisioner.guest.base import Guest
from provisioner.guest.clock import look
from provisioner.guest.recipe import HOME, ensure_runner, runner_path
from provisioner.workflows.instances import connected
from provisioner.workflows.running import Run, package_missing, send

#: How long a front end may compile, on a slow emulated processor, before its programs run; seconds.
PATIENCE = 300.0

_LOOK = '[ -x "$1" ] && echo runner; [ -d "$2" ] && echo files; { :; %s; } >/dev/null 2>&1 && echo package; :'


@dataclass(frozen=True)
class FrontEndRun:
    """The runner starts the front end, passes its words on, and ends it, as it does with a companion."""

    run: Run
    frontend: FrontEnd

    def carry_out(self) -> int:
        """The front end's exit status; 0 when it ended because it was asked to.

        Raises UsageError("options-conflict"), and GuestError("package-missing") naming what installs it.
        """
        self._check_options()
        files = {path.name: path for path in self.frontend.files}
        directory = f"{HOME}/build/{_digest(files)}"
        with connected(self.run.instance) as guest:
            self._prepare(guest, directory, files)
            seen = self.run.watch(guest, self._options().argv(runner_path()), directory)
        if seen.failure:
            raise seen.failure.as_exception()
        assert seen.done is not None
        if seen.done.status and (hint := hint_text("\n".join(seen.companion), "load", "attach")):
            self.run.builder.add_note(hint)
        return seen.done.status

    def _check_options(self) -> None:
        request = self.run.request
        given = request.given() + ([f"--loader {request.loader}"] if request.loader else [])
        if given:
            raise UsageError(
                f"A {self.frontend.name} attaches its programs itself, without {' and '.join(given)}",
                code="options-conflict",
                hint="What it understands itself goes behind `--`: "
                f"ebpf-dev run {self.frontend.script.name} -- ARGUMENTS",
            )

    def _prepare(self, guest: Guest, directory: str, files: Mapping[str, Path]) -> None:
        there = look(guest, self.run.reporter, _LOOK % self.frontend.probe, runner_path(), directory)
        if "package" not in there:
            raise package_missing(f"A {self.frontend.name}", self.frontend.package, self.run.instance.name)
        if "runner" not in there:
            with self.run.reporter.step("Building the runner"):
                ensure_runner(guest)
        if "files" not in there:
            self.run.timed("sync", lambda: send(guest, directory, files))

    def _options(self) -> RunnerOptions:
        request = self.run.request
        command, *before = self.frontend.command
        return RunnerOptions(
            companion=command,
            arguments=(*before, self.frontend.script.name, *request.arguments),
            patience=PATIENCE,
            hooks=self.frontend.hooks,
            seconds=request.seconds,
            passive=request.triggers == (),
            triggers=self.run.triggers(),
        )


def _digest(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:20]
