"""The command line: every command parses, calls one workflow and shows its result."""

from __future__ import annotations

import importlib

import typer

#: The module of this package that holds each command. Only the one asked for is imported: building all of
#: them costs as much as everything else at start.
HOMES = {
    "up": "lifecycle",
    "down": "lifecycle",
    "reset": "lifecycle",
    "delete": "lifecycle",
    "status": "lifecycle",
    "logs": "lifecycle",
    "snapshot": "snapshot",
    "run": "run",
    "watch": "watch",
    "add": "add",
    "explain": "explain",
    "shell": "access",
    "exec": "access",
    "cp": "access",
    "ssh-config": "access",
    "kernels": "kernels",
    "images": "images",
    "examples": "about",
    "doctor": "about",
    "version": "about",
}


def make_app(argv: list[str]) -> typer.Typer:
    """The command line with the commands that ``argv`` needs: one when it names it, else all."""
    app = typer.Typer(
        name="ebpf-dev",
        help="A Linux VM with a matching eBPF toolchain, and one command that runs any eBPF program in it.",
        epilog="Start with: ebpf-dev up, then ebpf-dev run hello",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def main() -> None:
        pass

    known = argv and argv[0] in HOMES
    for home in [HOMES[argv[0]]] if known else dict.fromkeys(HOMES.values()):
        importlib.import_module(f"provisioner.cli.{home}").register(app)
    return app


def invoke(argv: list[str]) -> int:
    """Run the command line ``argv`` and return its exit status; errors of the tool itself are raised."""
    try:
        status = make_app(argv)(argv, prog_name="ebpf-dev", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as exc:
        # Usage errors of the library behind typer; its class has moved between releases (click, vendored).
        show, status = getattr(exc, "show", None), getattr(exc, "exit_code", None)
        if show is None or status is None:
            raise
        show()
    return int(status or 0)
