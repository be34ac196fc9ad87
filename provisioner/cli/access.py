"""shell, exec, cp, ssh-config."""

from __future__ import annotations

from typing import Annotated

import typer

from provisioner.cli.options import DEFAULT, InstanceOption, Name, Verbose, paths

_AS_WRITTEN = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def register(app: typer.Typer) -> None:
    app.command()(shell)
    app.command("exec", context_settings=_AS_WRITTEN)(exec_)
    app.command()(cp)
    app.command("ssh-config")(ssh_config)


def shell(name: Name = DEFAULT, verbose: Verbose = False) -> None:
    """Open a root shell in the guest.

    Example: ebpf-dev shell
    """
    from provisioner.workflows import access
    from provisioner.workflows.instances import open_instance

    raise typer.Exit(access.open_shell(open_instance(name, paths())))


def exec_(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments.")],
    instance: InstanceOption = DEFAULT,
    verbose: Verbose = False,
) -> None:
    """Run a command in the guest as root and pass its exit status on (125: we failed ourselves).

    Example: ebpf-dev exec -- bpftool prog
    """
    from provisioner.core.errors import PASS_THROUGH_FAILURE, EbpfDevError
    from provisioner.workflows import access
    from provisioner.workflows.instances import open_instance

    try:
        status = access.exec_command(open_instance(instance, paths()), command)
    except EbpfDevError as exc:
        from provisioner.ui import render_error

        render_error(exc)
        status = PASS_THROUGH_FAILURE
    raise typer.Exit(status)


def cp(
    files: Annotated[list[str], typer.Argument(help="SRC... DST; guest paths begin with a colon.")],
    instance: InstanceOption = DEFAULT,
    verbose: Verbose = False,
) -> None:
    """Copy files or directories to or from the guest.

    Example: ebpf-dev cp notes.txt :/root/
    """
    from provisioner.core.errors import UsageError
    from provisioner.workflows import access
    from provisioner.workflows.instances import open_instance

    if len(files) < 2:
        raise UsageError("A copy needs a source and a target", code="bad-copy", hint="ebpf-dev cp prog.c :/root/")
    raise typer.Exit(access.copy(open_instance(instance, paths()), files[:-1], files[-1]))


def ssh_config(
    name: Name = DEFAULT,
    include: Annotated[
        bool,
        typer.Option("--include", help="Print the one line for ~/.ssh/config that covers all instances."),
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Print the OpenSSH configuration of an instance, for ssh, scp, rsync and VS Code Remote.

    Example: ebpf-dev ssh-config > cfg; ssh -F cfg ebpf-dev-default
    """
    from provisioner.workflows import access
    from provisioner.workflows.instances import open_instance

    if include:
        typer.echo(access.include_line(paths().instances))
        return
    typer.echo(access.read_ssh_config(open_instance(name, paths())), nl=False)
