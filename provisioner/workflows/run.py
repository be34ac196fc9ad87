"""``run``: find out what a name means, and carry that out as what it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.bpf.examples import find_example, load_examples
from provisioner.bpf.frontends import find_frontend
from provisioner.bpf.protocol import Message
from provisioner.bpf.report import ReportBuilder, Subject
from provisioner.core.errors import EbpfDevError, UsageError
from provisioner.core.reporter import Reporter
from provisioner.workflows.frontend import FrontEndRun
from provisioner.workflows.instances import Instance
from provisioner.workflows.program import ProgramRun
from provisioner.workflows.run_request import RunRequest
from provisioner.workflows.running import Run, Target


@dataclass
class Outcome:
    """``status`` is ours to exit with; ``error`` is set when something failed."""

    report: dict[str, Any]
    status: int
    error: EbpfDevError | None = None


def find_target(name: str) -> Target:
    """The file or example called ``name``; a file of that name wins. Raises UsageError with near names."""
    path = Path(name)
    if path.exists():
        return Target(path)
    if example := find_example(name):
        return Target(example.source, example)
    if "/" in name or name.endswith(".c"):
        return Target(path)
    raise UsageError(
        f"There is no file and no example called '{name}'",
        code="unknown-example",
        details=f"Examples: {', '.join(load_examples())}",
        hint="Give the path of a C file, or one of the examples.",
    )


def run_program(
    request: RunRequest,
    instance: Instance,
    on_message: Callable[[Message], None],
    reporter: Reporter,
    stop: threading.Event,
    take_over: Callable[[], None] | None = None,
) -> Outcome:
    """Carry a request out on a running instance and return its report.

    Failures of the program (it does not compile, load or attach) and of the guest end in the outcome, so
    that the report is there in any case. Setting ``stop`` ends the run in good order; ``take_over`` as in Run.
    """
    target = find_target(request.target)
    record = instance.record
    builder = ReportBuilder(Subject(str(target.file), record.name, record.release, record.arch, record.backend))
    run = Run(request, target, instance, builder, on_message, reporter, stop, take_over)
    try:
        status = _carry_out(run)
    except EbpfDevError as exc:
        builder.add_error(exc)
        return Outcome(builder.to_json(), exc.exit_status, exc)
    return Outcome(builder.to_json(), status)


def _carry_out(run: Run) -> int:
    """The exit status of a run that ended well, or of the user's own program; a failure is raised."""
    frontend = find_frontend(run.target.file)
    return FrontEndRun(run, frontend).carry_out() if frontend else ProgramRun(run).carry_out()
