"""images."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Annotated

import typer

from provisioner.cli.options import Json, Verbose, errors_as_json, paths, print_json
from provisioner.core.errors import UsageError


class Action(str, enum.Enum):
    LIST = "list"
    PULL = "pull"
    PRUNE = "prune"


def register(app: typer.Typer) -> None:
    app.command()(images)


def images(
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.LIST,
    name: Annotated[str, typer.Argument(help="The image to pull: a name, a path, an address.")] = "",
    every: Annotated[
        bool, typer.Option("--all", help="With prune: everything that no instance stands on.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With prune: show it, and remove nothing.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List the images that instances can be made of, fetch one, or free what nothing needs any more.

    Example: ebpf-dev images, ebpf-dev images pull debian-12, or ebpf-dev images prune --dry-run
    """
    with errors_as_json(as_json):
        if (action is Action.PULL) != bool(name):
            raise UsageError(
                "`images pull` takes the name of an image, the others take none",
                code="bad-arguments",
                hint="For example: ebpf-dev images pull debian-12",
            )
        if action is Action.LIST:
            _list(as_json)
        elif action is Action.PULL:
            _pull(name, as_json, verbose)
        else:
            _prune(every, dry_run, as_json)


def _list(as_json: bool) -> None:
    from provisioner.core.sizes import format_size
    from provisioner.ui import print_table
    from provisioner.workflows.listing import list_images

    items = list_images(paths())
    if as_json:
        print_json({"schema": 1, "images": [vars(item) for item in items]})
        return
    rows = [
        [
            item.name,
            item.title,
            ", ".join(item.arches) or "-",
            item.state,
            format_size(item.size) if item.size else "-",
        ]
        for item in items
    ]
    print_table(["image", "what it is", "architectures", "here", "size"], rows)


def _pull(name: str, as_json: bool, verbose: bool) -> None:
    from provisioner.core.config import load_settings
    from provisioner.core.sizes import format_size
    from provisioner.images.disk import disk_usage
    from provisioner.ui import make_reporter
    from provisioner.workflows.listing import pull_image

    settings = load_settings(paths(), Path.cwd(), os.environ, {"image": name})
    base = pull_image(settings, paths(), make_reporter(verbose))
    size = disk_usage(base.disk.parent)
    if as_json:
        print_json({"schema": 1, "image": settings.image, "source": base.source, "size": size})
    else:
        typer.echo(f"Image {settings.image} is here: {format_size(size)}, from {base.source}.")


def _prune(every: bool, dry_run: bool, as_json: bool) -> None:
    from provisioner.core.sizes import format_size
    from provisioner.ui import print_table
    from provisioner.workflows.prune import find_unused, prune

    items = (find_unused if dry_run else prune)(paths(), everything=every)
    size = sum(item.size for item in items)
    if as_json:
        print_json({"schema": 1, "removed": not dry_run, "size": size, "items": [vars(item) for item in items]})
        return
    if items:
        print_table(
            ["what", "name", "size"], [[item.title, item.path.name, format_size(item.size)] for item in items]
        )
        typer.echo()
    typer.echo(f"{'Would free' if dry_run else 'Freed'} {format_size(size) if size else 'nothing'}.")
