"""add."""

from __future__ import annotations

from typing import Annotated

import typer

from provisioner.cli.options import DEFAULT, InstanceOption, Json, Verbose, errors_as_json, paths, print_json


def register(app: typer.Typer) -> None:
    app.command()(add)


def _complete_tool(incomplete: str) -> list[str]:
    from provisioner.guest.packages import TOOLS

    return [name for name in TOOLS["apt"] if name.startswith(incomplete)]


def add(
    packages: Annotated[
        list[str],
        typer.Argument(
            help="bpftrace, bcc, go, rust, xdp-tools, or a package's name.", autocompletion=_complete_tool
        ),
    ],
    instance: InstanceOption = DEFAULT,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Install packages in a running instance: eBPF front ends, toolchains, anything of its distribution.

    Example: ebpf-dev add bpftrace
    """
    from provisioner.ui import make_reporter
    from provisioner.workflows.add import add_packages
    from provisioner.workflows.instances import connected, distribution_of, open_instance

    with errors_as_json(as_json):
        opened = open_instance(instance, paths())
        with connected(opened) as guest:
            added = add_packages(guest, packages, distribution_of(opened).manager, make_reporter(verbose))
    if as_json:
        print_json({"installed": added.installed, "already": added.already})
        return
    for name, version in added.already.items():
        typer.echo(f"{name} {version} is already installed.")
    for name, version in added.installed.items():
        typer.echo(f"{name} {version} is installed.")
    if added.installed:
        listed = ", ".join(added.installed)
        typer.echo(f"For every new instance, put into ebpf-dev.yaml: packages: [{listed}]")
