"""The command line: every command parses, calls one workflow and shows its result."""

from __future__ import annotations

from typing import Annotated

import typer

from provisioner.cli import about, access, lifecycle, run

app = typer.Typer(
    name="ebpf-dev",
    help="A Linux VM with a matching eBPF toolchain, and one command that runs any eBPF program in it.",
    epilog="Start with: ebpf-dev up, then ebpf-dev run hello",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (lifecycle, run, access, about):
    module.register(app)


def invoke(argv: list[str]) -> int:
    """Run the command line ``argv`` and return its exit status; errors of the tool itself are raised."""
    try:
        status = app(argv, prog_name="ebpf-dev", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as exc:
        # Usage errors of the library behind typer; its class has moved between releases (click, vendored).
        show, status = getattr(exc, "show", None), getattr(exc, "exit_code", None)
        if show is None or status is None:
            raise
        show()
    return int(status or 0)


@app.command()
def version(
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Also where it is installed.")] = False,
) -> None:
    """Show the version.

    Example: ebpf-dev version
    """
    import provisioner

    typer.echo(f"ebpf-dev {provisioner.__version__}")
    if verbose:
        typer.echo(provisioner.__path__[0])
