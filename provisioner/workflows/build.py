"""A program's sources become an object, and a companion an executable, in the guest, unless they are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provisioner.bpf.build import BuildPlan, host_paths, simpler_compile
from provisioner.bpf.complaints import LOOK_UP, compile_error, unknown_name
from provisioner.bpf.sources import Sources
from provisioner.core.errors import BuildError
from provisioner.core.process import CommandResult
from provisioner.guest.base import Guest
from provisioner.guest.clock import look
from provisioner.guest.commands import check_status
from provisioner.guest.recipe import HOME, ensure_runner, make_tar, runner_path
from provisioner.guest.vmlinux import ensure_vmlinux
from provisioner.workflows.running import IN, PRUNE, Run, package_missing, send

#: A program that the verifier walks for long, or a compiler on a slow emulated processor; seconds.
BUILD_TIMEOUT = 600.0

# A build directory is whole once this file is in it.
_WHOLE = "done"
# What is there already, asked in one round trip.
_LOOK = (
    '[ -x "$1" ] && echo runner; [ -s "$2" ] && echo vmlinux; '
    '[ -e "$3/done" ] && echo build; [ -x "$4" ] && echo companion; command -v "$5" >/dev/null && echo loader; :'
)
#: A status that no compiler has.
NOT_UNPACKED = 200
#: Sends the sources and compiles them, one after the other, for `watch` and `run` may want the same build.
#: Every process costs a twentieth of a second under emulation, so none is started without need.
SEND_AND_COMPILE = (
    # A failure of `exec` would end the shell with a status that compilers have.
    f'mkdir -p "${{1%/*}}" && true >"$1.lock" || exit {NOT_UNPACKED}; '
    'exec 9>"$1.lock"; flock 9; [ ! -e "$1/done" ] || exit 0; '
    '{ [ ! -e "$1" ] || rm -rf "$1"; } && mkdir "$1" && tar -x -C "$1" '
    f"|| exit {NOT_UNPACKED}; directory=$1 whole=$3; "
    'cd "$2" && shift 3 && "$@" || exit; [ -z "$whole" ] || : >"$directory/$whole"; '
    f'set -- "$directory"; {PRUNE}'
)
#: The loaders that are programs of their own, and what `ebpf-dev add` calls their package.
_LOADER_PACKAGES = {"bpftool": "bpftool", "xdp-loader": "xdp-tools"}


@dataclass(frozen=True)
class Built:
    """What is in the guest now: paths of the runner and, when there is one, of the companion."""

    runner: str
    companion: str | None


@dataclass(frozen=True)
class Builder:
    """Builds one program for one run; raises BuildError for what the compiler refuses."""

    run: Run
    guest: Guest
    sources: Sources
    plan: BuildPlan

    def build(self) -> Built:
        """Bring runner, vmlinux.h and object about, each unless it is there.

        Raises GuestError("package-missing") when the loader that was asked for is not installed.
        """
        runner, loader = runner_path(), self.run.request.loader or ""
        names = (runner, self._vmlinux, self.plan.directory, self.plan.companion or "", loader)
        there = look(self.guest, self.run.reporter, _LOOK, *names)
        if loader in _LOADER_PACKAGES and "loader" not in there:
            raise package_missing(f"--loader {loader}", _LOADER_PACKAGES[loader], self.run.instance.name)
        if "runner" not in there:
            with self.run.reporter.step("Building the runner"):
                ensure_runner(self.guest)
        if "vmlinux" not in there:
            with self.run.reporter.step("Generating vmlinux.h from the guest's BTF"):
                ensure_vmlinux(self.guest, HOME, self.run.instance.record.arch)
        if "build" in there and ("companion" in there or not self.run.request.use_companion):
            return Built(runner, self._built_companion("companion" in there))
        if self.sources.is_object:
            self.run.timed("sync", lambda: send(self.guest, self.plan.directory, self.plan.files))
            self._say_whole()
            return Built(runner, None)
        with self.run.reporter.step(f"Compiling {self.sources.program.name}"):
            return Built(runner, self.run.timed("build", self._make))

    @property
    def _vmlinux(self) -> str:
        return f"{HOME}/vmlinux/{self.run.instance.record.release}/vmlinux.h"

    def _built_companion(self, there: bool) -> str | None:
        if self.plan.companion and not there:
            self.run.warn("the program is run without its companion, which did not build before")
        return self.plan.companion if there else None

    def _make(self) -> str | None:
        """Make the object, and the companion if there is one to make; returns that."""
        argv = self.plan.compile
        done = self._send_and_compile()
        if done.ok and not self.plan.companion:
            return None
        while not done.ok:
            simpler = simpler_compile(argv, done.stderr)
            if simpler is None:
                raise self._compile_error(argv, done)
            argv, done = simpler, self._compile(simpler)
        companion = self._make_companion() if self.plan.companion else None
        self._say_whole()
        return companion

    def _send_and_compile(self) -> CommandResult:
        """Both in one round trip; without a companion that still has to be made the build is whole then."""
        plan = self.plan
        whole = "" if plan.companion else _WHOLE
        step = ["sh", "-c", SEND_AND_COMPILE, "step", plan.directory, plan.source_dir, whole, *plan.compile]
        done = self.guest.run(step, input=make_tar(plan.files), timeout=BUILD_TIMEOUT, check=False)
        return self._told(check_status(done) if done.status == NOT_UNPACKED else done)

    def _say_whole(self) -> None:
        self.guest.run(["touch", f"{self.plan.directory}/{_WHOLE}"])

    def _make_companion(self) -> str | None:
        """The companion, or None when it does not build and the program can do without it."""
        for argv in self.plan.companion_steps:
            done = self._compile(argv)
            if done.ok:
                continue
            error = compile_error(self.sources, argv, done.stderr or done.stdout)
            if self.run.request.use_companion:
                raise error
            self.run.warn(f"the program is run without its companion, which does not build: {error.brief}")
            return None
        return self.plan.companion

    def _compile(self, argv: Sequence[str]) -> CommandResult:
        step = ["sh", "-c", IN, "step", self.plan.source_dir, *argv]
        return self._told(self.guest.run(step, timeout=BUILD_TIMEOUT, check=False))

    def _told(self, done: CommandResult) -> CommandResult:
        """A compiler's result; what it says although it is content is for those who want to hear it."""
        for line in host_paths(done.stderr, self.sources).splitlines() if done.ok else ():
            self.run.reporter.debug(line)
        return done

    def _compile_error(self, argv: Sequence[str], done: CommandResult) -> BuildError:
        output, found = done.stderr or done.stdout, ""
        if name := unknown_name(output):
            found = self.guest.run(["sh", "-c", LOOK_UP, "lookup", name, self._vmlinux], check=False).stdout
        return compile_error(self.sources, argv, output, found)
