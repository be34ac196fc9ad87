"""kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from provisioner.cli.options import DEFAULT, Json, Name, Verbose, errors_as_json, paths, print_json

if TYPE_CHECKING:
    from provisioner.workflows.kernels import KernelList


def register(app: typer.Typer) -> None:
    app.command()(kernels)


def kernels(
    name: Name = DEFAULT,
    every: Annotated[
        bool, typer.Option("--all", help="Also those that the distribution has only a part of.")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List the kernels that a running instance's distribution offers, each with its headers.

    Example: ebpf-dev kernels
    """
    from provisioner.ui import make_reporter
    from provisioner.workflows.kernels import list_kernels

    with errors_as_json(as_json):
        found = list_kernels(name, paths(), make_reporter(verbose))
    if as_json:
        offers = [{**vars(offer), "against_running": found.gained(offer)} for offer in found.offers]
        print_json({"schema": 1, "instance": name, "running": found.running, "kernels": offers})
    else:
        _show(found, name, every)


def _show(found: KernelList, name: str, every: bool) -> None:
    from provisioner.ui import print_table

    shown = [offer for offer in found.offers if every or offer.state != "incomplete"]
    rows = [[offer.release, offer.origin, offer.state, " ".join(found.gained(offer))] for offer in shown]
    print_table(["kernel", "from", "here", "against the running"], rows)
    typer.echo(f"\nThe running kernel has: {', '.join(found.running_features)}.")
    if left := len(found.offers) - len(shown):
        typer.echo(f"Left out: {left} that the distribution has only a part of (--all shows them).")
    if any(offer.state == "offered" for offer in shown):
        suffix = "" if name == DEFAULT else f" {name}"
        typer.echo(f"Take one with `ebpf-dev down{suffix}` and `ebpf-dev up{suffix} --kernel VERSION`.")
