"""watch."""

from __future__ import annotations

import functools
from typing import Any

import typer

from provisioner.cli.options import explained
from provisioner.cli.run import find_instance, interruptible, make_request, run


def register(app: typer.Typer) -> None:
    app.command(context_settings={"allow_interspersed_args": True})(watch)


# Takes exactly what `run` takes: typer reads the parameters of what is wrapped.
@functools.wraps(run, assigned=("__annotations__",))
def watch(**given: Any) -> None:
    """Run a program, and again at every save; the one before runs on until the new one has loaded.

    With --json every event is a line of its own. --for ends it all.

    Example: ebpf-dev watch hello.bpf.c
    """
    from provisioner.core.errors import EbpfDevError
    from provisioner.ui import WatchDisplay, WatchLines, make_reporter
    from provisioner.workflows.watch import watch_program

    reporter = make_reporter(given["verbose"])
    watcher = WatchLines() if given["as_json"] else WatchDisplay(verbose=given["verbose"])
    try:
        with explained():
            request = make_request(given)
            instance = find_instance(given["instance"], given["bring_up"], reporter)
            with interruptible() as stop:
                status = watch_program(request, instance, watcher, reporter, stop)
    except EbpfDevError as exc:
        if not given["as_json"]:
            raise
        watcher.refused(exc)
        raise typer.Exit(exc.exit_status) from exc
    raise typer.Exit(status)
