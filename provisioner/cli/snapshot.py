"""snapshot."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from provisioner.cli.options import (
    DEFAULT,
    InstanceOption,
    Json,
    Verbose,
    errors_as_json,
    paths,
    print_json,
)


class Action(str, enum.Enum):
    SAVE = "save"
    RESTORE = "restore"
    LIST = "list"
    DELETE = "delete"


def register(app: typer.Typer) -> None:
    app.command()(snapshot)


def snapshot(
    action: Annotated[Action, typer.Argument(help="What to do.", show_default=False)],
    name: Annotated[str, typer.Argument(help="The snapshot's name; `list` takes none.", show_default=False)] = "",
    instance: InstanceOption = DEFAULT,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Keep an instance as it is now, memory and disk, and return to that at any time.

    Example: ebpf-dev snapshot save before-upgrade, later ebpf-dev snapshot restore before-upgrade
    """
    with errors_as_json(as_json):
        if action is Action.LIST:
            _list(instance, as_json)
        else:
            said, found = _do(action, name, instance, verbose)
            if as_json:
                print_json({"schema": 1, **found})
            else:
                typer.echo(said)


def _do(action: Action, name: str, instance: str, verbose: bool) -> tuple[str, dict[str, Any]]:
    """Carry out what changes something; returns what is to be said of it, in words and as JSON."""
    from provisioner.core.config import load_settings
    from provisioner.ui import make_reporter
    from provisioner.workflows.snapshots import delete_snapshot, restore_snapshot, save_snapshot

    reporter = make_reporter(verbose)
    if action is Action.SAVE:
        saved = save_snapshot(name, instance, paths(), reporter)
        return f"Instance '{instance}' is kept as '{name}'.", {"saved": vars(saved)}
    if action is Action.DELETE:
        delete_snapshot(name, instance, paths(), reporter)
        return f"Snapshot '{name}' of instance '{instance}' is deleted.", {"deleted": name}
    settings = load_settings(paths(), Path.cwd(), os.environ, {})
    restore_snapshot(name, instance, settings, paths(), reporter, os.environ)
    return f"Instance '{instance}' is as it was at '{name}', and running.", {"restored": name}


def _list(instance: str, as_json: bool) -> None:
    from provisioner.core.sizes import format_size
    from provisioner.ui import print_table
    from provisioner.workflows.snapshots import list_snapshots

    items = list_snapshots(instance, paths())
    if as_json:
        print_json({"schema": 1, "snapshots": [vars(item) for item in items]})
    elif not items:
        typer.echo(f"Instance '{instance}' has no snapshot yet. `ebpf-dev snapshot save NAME` makes one.")
    else:
        kinds = {True: "memory and disk", False: "disk"}
        rows = [[item.name, item.created, kinds[item.memory], format_size(item.size)] for item in items]
        print_table(["snapshot", "taken", "holds", "size"], rows)
