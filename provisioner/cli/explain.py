"""explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provisioner.cli.options import Json, Verbose, errors_as_json, print_json


def register(app: typer.Typer) -> None:
    app.command()(explain)


def explain(
    log: Annotated[str, typer.Argument(metavar="LOGFILE", help="A verifier log, or tool output; - for stdin.")],
    program_object: Annotated[
        Path | None, typer.Argument(metavar="[OBJECT]", help="The program's object, for the lines of C.")
    ] = None,
    prog: Annotated[
        str | None, typer.Option(help="The program in the object that was refused.", show_default=False)
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Say in plain words why the verifier, the compiler or libbpf refused a program.

    Example: ebpf-dev explain refused.log program.bpf.o
    """
    from provisioner.bpf.explain import Hint
    from provisioner.ui import print_explanation, print_hint
    from provisioner.workflows.explain import explain_file

    with errors_as_json(as_json):
        found = explain_file(log, program_object, prog)
    if isinstance(found, Hint):
        if as_json:
            print_json({"schema": 1, "hint": vars(found)})
        else:
            print_hint(found.cause, found.cure)
    elif as_json:
        print_json({"schema": 1, "explanation": found.to_json()})
    else:
        print_explanation(found.to_json())
