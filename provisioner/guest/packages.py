"""What `ebpf-dev add` knows by a short name: the distribution's packages of eBPF front ends and tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from provisioner.core.errors import UsageError
from provisioner.core.names import is_package_name

#: Package manager -> short name -> packages. Debian 12 and 13 and Ubuntu 24.04 call them alike.
TOOLS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "apt": {
        "bpftrace": ("bpftrace",),
        "bcc": ("python3-bpfcc", "bpfcc-tools"),
        "go": ("golang-go",),
        # libbpf-cargo formats the skeletons that it writes.
        "rust": ("rustc", "cargo", "rustfmt"),
        "xdp-tools": ("xdp-tools",),
    },
    "dnf": {
        "bpftrace": ("bpftrace",),
        "bcc": ("python3-bcc", "bcc-tools"),
        "go": ("golang",),
        "rust": ("rust", "cargo", "rustfmt"),
        "xdp-tools": ("xdp-tools",),
    },
}


def expand(names: Sequence[str], manager: str) -> list[str]:
    """The packages behind short names; others are packages themselves. Raises UsageError("bad-package")."""
    tools = TOOLS[manager]
    packages = [package for name in names for package in tools.get(name, (name,))]
    if wrong := [name for name in packages if not is_package_name(name, manager)]:
        raise UsageError(
            f"There can be no package called {' or '.join(map(repr, wrong))}",
            code="bad-package",
            hint=f"Give names of packages as {manager} knows them, or {', '.join(tools)}.",
        )
    return list(dict.fromkeys(packages))
