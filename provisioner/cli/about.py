"""examples, doctor, version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from provisioner.cli.options import DEFAULT, Arch, InstanceOption, Json, Verbose, errors_as_json, paths, print_json


def register(app: typer.Typer) -> None:
    app.command()(examples)
    app.command()(doctor)
    app.command()(version)


def examples(as_json: Json = False, verbose: Verbose = False) -> None:
    """List the examples that `ebpf-dev run NAME` takes.

    Example: ebpf-dev examples
    """
    from provisioner.bpf.examples import load_examples
    from provisioner.ui import print_table

    found = load_examples()
    if as_json:
        print_json(
            {
                "schema": 1,
                "examples": [
                    {"name": item.name, "title": item.title, "file": str(item.source)} for item in found.values()
                ],
            }
        )
        return
    columns = ["example", "what it shows", *(["file"] * verbose)]
    print_table(columns, [[item.name, item.title, *([str(item.source)] * verbose)] for item in found.values()])
    typer.echo("\nRun one with `ebpf-dev run NAME`; each has a README.md beside its source.")


def doctor(
    instance: InstanceOption = DEFAULT,
    arch: Arch = None,
    fix: Annotated[bool, typer.Option("--fix", help="Install what the host lacks.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before installing.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Check the host, and the guest when it runs; say the cure of whatever is wrong.

    Example: ebpf-dev doctor --fix
    """
    from provisioner.core.config import load_settings
    from provisioner.ui import make_reporter
    from provisioner.workflows import doctor as workflow

    with errors_as_json(as_json):
        settings = load_settings(paths(), Path.cwd(), os.environ, {"arch": arch})
        if fix:
            workflow.fix(paths(), settings, make_reporter(verbose), ask=None if yes else _confirm)
        checks = workflow.examine(instance, paths(), settings)
    if as_json:
        print_json({"schema": 1, "ok": workflow.all_well(checks), "checks": [vars(check) for check in checks]})
    else:
        from provisioner.ui import print_checks

        print_checks(checks, verbose=verbose)
    raise typer.Exit(0 if workflow.all_well(checks) else 3)


def _confirm(question: str) -> bool:
    """Asks beside the output, which may be JSON."""
    return typer.confirm(question, err=True)


def version(verbose: Verbose = False) -> None:
    """Show the version, with -v also where it is installed.

    Example: ebpf-dev version
    """
    import provisioner

    typer.echo(f"ebpf-dev {provisioner.__version__}")
    if verbose:
        typer.echo(provisioner.__path__[0])
