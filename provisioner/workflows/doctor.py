"""``doctor``: is the host able to run machines, is the guest able to run programs, and what would help."""

from __future__ import annotations

from collections.abc import Callable

from provisioner.backends.base import State
from provisioner.core.errors import EbpfDevError, HostError
from provisioner.core.host import HostFacts, this_host
from provisioner.core.paths import Paths
from provisioner.core.reporter import Reporter
from provisioner.core.settings import Settings
from provisioner.core.store import Store
from provisioner.workflows.checks import Check, all_well
from provisioner.workflows.guest_checks import guest_checks
from provisioner.workflows.host_checks import judge_host
from provisioner.workflows.host_findings import look_at_host
from provisioner.workflows.host_fix import Action, carry_out, describe, plan_fix

__all__ = ["Action", "Check", "all_well", "examine", "fix", "guest_checks", "host_checks", "plan_fix"]

Ask = Callable[[str], bool]


def examine(instance: str, paths: Paths, settings: Settings) -> list[Check]:
    """The checks of the host, and of the guest ``instance`` when it runs."""
    return [*host_checks(paths, settings), *_instance_checks(instance, paths)]


def host_checks(paths: Paths, settings: Settings, facts: HostFacts | None = None) -> list[Check]:
    """The checks of the host; ``facts`` None looks at this one. Changes nothing."""
    return judge_host(look_at_host(paths, settings, facts or this_host()), settings)


def fix(
    paths: Paths,
    settings: Settings,
    reporter: Reporter,
    *,
    ask: Ask | None = None,
    facts: HostFacts | None = None,
) -> bool:
    """Install what the host lacks, after ``ask`` agreed (None: without asking); whether anything was done.

    Raises HostError: "fix-impossible" when no command of ours can help, and those of ``carry_out``.
    """
    facts = facts or this_host()
    checks = host_checks(paths, settings, facts)
    actions = plan_fix(checks, facts)
    if not actions:
        _check_curable(checks)
        reporter.note("This host has all it needs; nothing to install.")
        return False
    reporter.note("This host lacks something; these commands would install it:")
    for action in actions:
        reporter.note(f"  {describe(action, facts)}")
    if ask is not None and not ask("Run them?"):
        reporter.note("Nothing was changed.")
        return False
    carry_out(actions, facts, reporter)
    return True


def _check_curable(checks: list[Check]) -> None:
    """Tools may be missing on a system whose package manager we do not know: then say so."""
    missing = [check for check in checks if check.ok is False and check.needed]
    if missing:
        raise HostError(
            "Something is wrong with this host that `--fix` cannot put right",
            code="fix-impossible",
            details="\n".join(f"{check.name}: {check.summary}" for check in missing),
            hint="\n".join(dict.fromkeys(check.cure for check in missing if check.cure)),
        )


def _instance_checks(name: str, paths: Paths) -> list[Check]:
    if name not in Store(paths).names():
        return [Check("guest", None, f"not checked: there is no instance {name!r} yet")]
    from provisioner.workflows.instances import connected, open_instance

    try:
        instance = open_instance(name, paths)
        state = instance.status().state
        if state is not State.RUNNING:
            return [Check("guest", None, f"not checked: instance {name!r} is {state.value}")]
        with connected(instance) as guest:
            return guest_checks(guest)
    except EbpfDevError as exc:
        return [Check("guest", False, exc.brief, exc.details, cure=exc.hint)]
