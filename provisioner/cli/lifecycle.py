"""up, down, reset, delete, status, logs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from provisioner.cli.options import DEFAULT, Arch, Json, Name, Verbose, errors_as_json, paths, print_json


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(reset)
    app.command()(delete)
    app.command()(status)
    app.command()(logs)


def _complete_image(incomplete: str) -> list[str]:
    from provisioner.images.catalogue import load_catalogue

    return [name for name in load_catalogue() if name.startswith(incomplete)]


def up(
    name: Name = DEFAULT,
    image: Annotated[
        str | None,
        typer.Option(help="See `ebpf-dev images`.", autocompletion=_complete_image, show_default=False),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(help="default, backports, latest or a version; see `ebpf-dev kernels`.", show_default=False),
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="What runs the machine: qemu or lima.", show_default=False)
    ] = None,
    arch: Arch = None,
    accelerator: Annotated[str | None, typer.Option(help="auto, kvm, hvf or tcg.", show_default=False)] = None,
    cpus: Annotated[int | None, typer.Option(help="Virtual processors.", show_default=False)] = None,
    memory: Annotated[str | None, typer.Option(help="For example 4G.", show_default=False)] = None,
    disk: Annotated[str | None, typer.Option(help="For example 40G.", show_default=False)] = None,
    package: Annotated[
        list[str] | None, typer.Option(help="A further package to install (repeatable).", show_default=False)
    ] = None,
    mirror: Annotated[str | None, typer.Option(help="The guest's package mirror.", show_default=False)] = None,
    proxy: Annotated[str | None, typer.Option(help="The guest's HTTP proxy.", show_default=False)] = None,
    ca: Annotated[
        list[Path] | None,
        typer.Option(help="A CA certificate (PEM) for the guest to trust (repeatable).", show_default=False),
    ] = None,
    cold: Annotated[bool, typer.Option("--cold", help="Boot instead of going on from saved memory.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    verbose: Verbose = False,
) -> None:
    """Bring an instance up: make it, provision it, start it, whatever is left to do.

    Example: ebpf-dev up, or ebpf-dev up big --cpus 4 --memory 8G
    """
    from provisioner.core.config import load_settings
    from provisioner.ui import make_reporter
    from provisioner.workflows.up import bring_up

    flags: dict[str, Any] = {
        "image": image, "kernel": kernel, "backend": backend, "arch": arch, "accelerator": accelerator,
        "cpus": cpus, "memory": memory, "disk": disk, "packages": package, "mirror": mirror, "proxy": proxy,
        "ca": ca,
    }  # fmt: skip
    settings = load_settings(paths(), Path.cwd(), os.environ, flags)
    if dry_run:
        _show_plan(name, settings)
        return
    result = bring_up(name, settings, paths(), make_reporter(verbose), cold=cold)
    record = result.instance.record
    state = "is already running" if result.already else "is running"
    typer.echo(f"Instance '{name}' {state}: {record.image}, Linux {record.release}, {record.arch}.")
    if not result.already:
        typer.echo("Next: ebpf-dev run hello")


def _show_plan(name: str, settings: Any) -> None:
    from provisioner.core.settings import describe_settings
    from provisioner.ui import print_table
    from provisioner.workflows.plan import plan_up

    rows = [list(row) for row in describe_settings(settings)]
    print_table(["setting", "value", "from"], rows)
    typer.echo()
    for line in plan_up(name, settings, paths()):
        typer.echo(line)


def down(
    name: Name = DEFAULT,
    force: Annotated[bool, typer.Option("--force", help="Cut the power instead of shutting down.")] = False,
    save: Annotated[
        bool | None,
        typer.Option("--save/--no-save", help="Keep its memory for `up` to go on where it was."),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """End an instance; its disk stays, and where it can be saved its memory.

    Example: ebpf-dev down
    """
    from provisioner.ui import make_reporter
    from provisioner.workflows.lifecycle import bring_down

    result = bring_down(name, paths(), make_reporter(verbose), force=force, save=save)
    kept = "; its memory is saved" if result.saved else ""
    typer.echo(f"Instance '{name}' {'was not running' if result.already else 'is down'}{kept}.")


def reset(name: Name = DEFAULT, verbose: Verbose = False) -> None:
    """Make an instance as new, and running: what it holds is lost, its settings and snapshots stay.

    Example: ebpf-dev reset
    """
    from provisioner.core.config import load_settings
    from provisioner.ui import make_reporter
    from provisioner.workflows.lifecycle import reset_instance

    settings = load_settings(paths(), Path.cwd(), os.environ, {})
    reset_instance(name, settings, paths(), make_reporter(verbose), os.environ)
    typer.echo(f"Instance '{name}' is as new, and running.")


def delete(name: Name = DEFAULT, verbose: Verbose = False) -> None:
    """Delete an instance, its disk and its snapshots; what was provisioned stays for the next `up`.

    Example: ebpf-dev delete
    """
    from provisioner.ui import make_reporter
    from provisioner.workflows.lifecycle import delete_instance

    delete_instance(name, paths(), make_reporter(verbose))
    typer.echo(f"Instance '{name}' is deleted.")


def status(as_json: Json = False, verbose: Verbose = False) -> None:
    """Show every instance and its state.

    Example: ebpf-dev status --json
    """
    from provisioner.ui import print_table
    from provisioner.workflows.lifecycle import InstanceStatus, list_statuses

    def as_dict(item: InstanceStatus) -> dict[str, Any]:
        endpoint, record = item.status.endpoint, item.record
        return {
            "name": item.name,
            "state": item.status.state.value,
            "image": record.image if record else None,
            "kernel": record.release if record else None,
            "arch": record.arch if record else None,
            "backend": record.backend if record else None,
            "accelerator": item.status.accelerator,
            "cpus": record.cpus if record else None,
            "memory": record.memory if record else None,
            "ssh": f"{endpoint.host}:{endpoint.port}" if endpoint else None,
            "pid": item.status.pid,
            "detail": item.status.detail or None,
        }

    with errors_as_json(as_json):
        items = [as_dict(item) for item in list_statuses(paths())]
    if as_json:
        print_json({"schema": 1, "instances": items})
    elif not items:
        typer.echo("There is no instance yet. `ebpf-dev up` makes one.")
    else:
        columns = ["name", "state", "image", "kernel", "accelerator", "ssh", *(["pid", "detail"] * verbose)]
        print_table(columns, [[str(item[column] or "-") for column in columns] for item in items])
        for item in items:
            if item["state"] == "broken":
                typer.echo(f"{item['name']}: {item['detail']}")


def logs(
    name: Name = DEFAULT,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as lines come.")] = False,
    verbose: Verbose = False,
) -> None:
    """Show what the instance's console said since its last start.

    Example: ebpf-dev logs --follow
    """
    from provisioner.workflows.logs import console_lines

    for line in console_lines(name, paths(), follow=follow):
        typer.echo(line)
