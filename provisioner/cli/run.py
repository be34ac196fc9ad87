"""run."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provisioner.cli.options import DEFAULT, InstanceOption, Json, Verbose, explained, paths, print_json

if TYPE_CHECKING:
    from provisioner.core.errors import EbpfDevError
    from provisioner.core.reporter import Reporter
    from provisioner.ui import RunDisplay, SilentDisplay
    from provisioner.workflows.instances import Instance
    from provisioner.workflows.run import Outcome
    from provisioner.workflows.run_request import RunRequest

#: How long a run lasts that nobody at a terminal can end; seconds.
UNATTENDED_SECONDS = 10.0


def register(app: typer.Typer) -> None:
    app.command(context_settings={"allow_interspersed_args": True})(run)


def _complete_target(incomplete: str) -> list[str]:
    from provisioner.bpf.examples import load_examples

    return [name for name in load_examples() if name.startswith(incomplete)]


def _complete_loader(incomplete: str) -> list[str]:
    from provisioner.workflows.run_request import LOADERS

    return [name for name in LOADERS if name.startswith(incomplete)]


def run(
    file: Annotated[
        str,
        typer.Argument(
            help="A C file, its directory or object, a bpftrace script or BCC tool, or an example's name.",
            autocompletion=_complete_target,
        ),
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="For the companion program or the script, behind `--`.")
    ] = None,
    instance: InstanceOption = DEFAULT,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--for",
            help="Stop after so many seconds; without a terminal or with --json `run` stops after 10.",
            min=0.1,
            show_default=False,
        ),
    ] = None,
    trigger: Annotated[
        list[str] | None,
        typer.Option(help="A shell command for the guest once all is attached (repeatable).", show_default=False),
    ] = None,
    no_trigger: Annotated[bool, typer.Option("--no-trigger", help="Nothing that makes the programs run.")] = False,
    prog: Annotated[
        list[str] | None, typer.Option(help="Only this program (repeatable).", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="VARIABLE=VALUE: any global variable, before the load.", show_default=False),
    ] = None,
    map_entries: Annotated[
        list[Any] | None,
        typer.Option(
            "--map",
            # Typer has no lists of pairs, but passes the type on to click, which has.
            click_type=(str, str),
            metavar="NAME KEY=VALUE",
            help="An entry for a map, before attaching.",
            show_default=False,
        ),
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="The program's license for this run: GPL.", show_default=False)
    ] = None,
    dev: Annotated[
        str | None, typer.Option(help="Attach network programs to this interface.", show_default=False)
    ] = None,
    cgroup: Annotated[
        str | None, typer.Option(help="Attach cgroup programs to this cgroup of the guest.", show_default=False)
    ] = None,
    attach_to: Annotated[
        str | None,
        typer.Option(
            help="The function or tracepoint for programs whose sections leave it open, or the loaded program "
            "(name or id) that freplace, fentry or fexit extend.",
            show_default=False,
        ),
    ] = None,
    bin: Annotated[
        str | None,
        typer.Option(help="The executable or library for uprobes and USDT; also PATH:SYMBOL.", show_default=False),
    ] = None,
    pid: Annotated[
        int | None,
        typer.Option(help="Probe, sample and iterate over this process only.", min=1, show_default=False),
    ] = None,
    loader: Annotated[
        str | None,
        typer.Option(
            help="What loads and attaches: runner, companion, bpftool or xdp-loader.",
            show_default=False,
            autocompletion=_complete_loader,
        ),
    ] = None,
    include: Annotated[
        list[Path] | None, typer.Option(help="A directory of headers (repeatable).", show_default=False)
    ] = None,
    cflag: Annotated[
        list[str] | None, typer.Option(help="A flag for clang (repeatable).", show_default=False)
    ] = None,
    bring_up: Annotated[
        bool | None,
        typer.Option(
            "--up/--no-up", help="Bring the instance up first (default: on a terminal).", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Build, load and attach an eBPF program in the guest, and show what it says.

    Example: ebpf-dev run hello, or ebpf-dev run my.bpf.c --for 5 --trigger 'ls /'
    """
    from provisioner.core.errors import EbpfDevError
    from provisioner.ui import make_reporter

    given, reporter = locals(), make_reporter(verbose)
    try:
        with explained():
            request = make_request(given)
            if seconds is None and not (sys.stdout.isatty() and not as_json):
                request = replace(request, seconds=UNATTENDED_SECONDS)
            found = find_instance(instance, bring_up, reporter)
            with interruptible() as stop:
                outcome = _carry_out(request, found, as_json, reporter, stop, verbose)
    except EbpfDevError as exc:
        if not as_json:
            raise
        print_json(_report_without_run(file, instance, exc))
        raise typer.Exit(exc.exit_status) from exc
    if as_json:
        print_json(outcome.report)
        raise typer.Exit(outcome.status)
    if outcome.error:
        raise outcome.error
    raise typer.Exit(outcome.status)


def make_request(given: Mapping[str, Any]) -> RunRequest:
    """What the options of ``run``, by the names of its parameters, ask for."""
    from provisioner.workflows.run_request import RunRequest

    triggers = () if given["no_trigger"] else tuple(given["trigger"] or ()) or None
    request = RunRequest(
        target=given["file"],
        seconds=given["seconds"],
        triggers=triggers,
        programs=tuple(given["prog"] or ()),
        device=given["dev"],
        cgroup=given["cgroup"],
        bin=given["bin"],
        pid=given["pid"],
        attach_to=given["attach_to"],
        include_dirs=tuple(given["include"] or ()),
        cflags=tuple(given["cflag"] or ()),
        loader=given["loader"],
        arguments=tuple(given["arguments"] or ()),
        settings=tuple(given["settings"] or ()),
        map_entries=tuple(given["map_entries"] or ()),
        license=given["license"],
    )
    request.check_loader()
    return request


def find_instance(name: str, wanted: bool | None, reporter: Reporter) -> Instance:
    """The instance to run on; made to run first when that is ``wanted``, which None leaves to the terminal."""
    import os

    from provisioner.core.config import load_settings
    from provisioner.workflows.instances import open_instance
    from provisioner.workflows.up import bring_up

    if not (sys.stdout.isatty() if wanted is None else wanted):
        return open_instance(name, paths())
    settings = load_settings(paths(), Path.cwd(), os.environ, {})
    return bring_up(name, settings, paths(), reporter).instance


def _carry_out(
    request: RunRequest,
    instance: Instance,
    as_json: bool,
    reporter: Reporter,
    stop: threading.Event,
    verbose: bool,
) -> Outcome:
    from provisioner.ui import RunDisplay, SilentDisplay
    from provisioner.workflows.run import run_program

    display: RunDisplay | SilentDisplay = SilentDisplay() if as_json else RunDisplay(verbose=verbose)
    outcome = run_program(request, instance, display.show, reporter, stop)
    display.finish(outcome.report)
    return outcome


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """The first Ctrl-C asks the run to end in good order, the second breaks it off."""
    stop = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        if stop.is_set() or number != signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report_without_run(target: str, name: str, error: EbpfDevError) -> dict[str, object]:
    from provisioner.bpf.report import ReportBuilder, Subject

    builder = ReportBuilder(Subject(target, name, "", "", ""))
    builder.add_error(error)
    return builder.to_json()
