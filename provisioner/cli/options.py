"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provisioner.core.errors import EbpfDevError, host_refused

if TYPE_CHECKING:
    from provisioner.core.paths import Paths

DEFAULT = "default"


def _complete_instance(incomplete: str) -> list[str]:
    from provisioner.core.store import Store

    return [name for name in Store(paths()).names() if name.startswith(incomplete)]


def _complete_arch(incomplete: str) -> list[str]:
    from provisioner.core.host import ARCHES

    return [name for name in ARCHES if name.startswith(incomplete)]


Name = Annotated[str, typer.Argument(help="The instance's name.", autocompletion=_complete_instance)]
InstanceOption = Annotated[
    str,
    typer.Option("-i", "--instance", help="The instance's name.", autocompletion=_complete_instance),
]
Arch = Annotated[
    str | None,
    typer.Option(
        help="The guest's: x86_64 or aarch64; the host's unless given.",
        autocompletion=_complete_arch,
        show_default=False,
    ),
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more about what is done.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]


def paths() -> Paths:
    """Where this user's things are; imported late, as all that `--help` can do without."""
    from provisioner.core.paths import find_paths

    return find_paths()


def print_json(value: Any) -> None:
    import json

    typer.echo(json.dumps(value, indent=2, default=str))


@contextmanager
def explained() -> Iterator[None]:
    """Let what the operating system refuses be one of our failures; a reader that has gone is none."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        if exc.errno is None:
            raise
        raise host_refused(exc) from exc


@contextmanager
def errors_as_json(wanted: bool) -> Iterator[None]:
    """Let a failure of a ``--json`` command be one JSON object on stdout, with the same exit status."""
    try:
        with explained():
            yield
    except EbpfDevError as exc:
        if not wanted:
            raise
        print_json({"error": {"code": exc.code, "brief": exc.brief, "details": exc.details, "hint": exc.hint}})
        raise typer.Exit(exc.exit_status) from exc
