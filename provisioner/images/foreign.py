"""Programs of another architecture, which building an image for it runs: through qemu-user and binfmt_misc."""

from __future__ import annotations

from provisioner.core.errors import HostError
from provisioner.core.host import find_tool, host_arch
from provisioner.core.process import run_tool

NEEDED_FOR = "to build an image for another architecture"
DEB_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
#: mmdebstrap itself asks this one, and refuses to begin without it.
TESTER = "arch-test"


def check_programs_run(arch: str) -> None:
    """Raise HostError("foreign-arch") with a cure unless programs of ``arch`` run on this host."""
    if arch != host_arch() and (problem := _find_problem(DEB_ARCHES[arch])):
        raise HostError(
            f"this host cannot run {arch} programs, which building an image for it takes",
            code="foreign-arch",
            details=problem,
            hint=f"`ebpf-dev doctor --arch {arch} --fix` installs qemu-user-static, which runs them.",
        )


def _find_problem(deb_arch: str) -> str:
    tester = find_tool(TESTER)
    if tester is None:
        return f"{TESTER} is not installed"
    tested = run_tool([tester, deb_arch], needed_for=NEEDED_FOR, check=False)
    return "" if tested.ok else (tested.stdout or tested.stderr).strip()
