"""What a run may leave in the guest: listed before and after, and compared."""

from __future__ import annotations

import time

from tests.vm.conftest import Cli

# Programs on the cgroups of services come and go with these.
_LIST = """
bpftool prog show | grep -v '^[[:space:]]' | grep -cv cgroup_ || :
bpftool link show; bpftool map show | grep -v '^[[:space:]]' | sed 's/^[0-9]*://'
ls /sys/kernel/tracing/instances /sys/fs/bpf; ip netns; lsns -t net -n | wc -l
ip -br link; tc qdisc show dev eth0; ls /sys/fs/cgroup | grep -v init; ls -d /var/tmp/ebpf-dev-* 2>/dev/null
ps -eo comm= | grep -E 'runner|hello|snoop|victim' || :
"""
#: Seconds for what dies with a client that was killed, on an emulated processor.
_PATIENCE = 60.0


def left_in(cli: Cli, instance: str = "default") -> str:
    """Objects, links, maps, instances of the trace, pins, namespaces, devices, qdiscs, cgroups, processes."""
    return cli.guest("sh", "-c", _LIST, instance=instance)


def await_nothing_left(cli: Cli, before: str) -> None:
    """Fail unless the guest is soon as it was."""
    deadline = time.monotonic() + _PATIENCE
    while (left := left_in(cli)) != before:
        assert time.monotonic() < deadline, f"before:\n{before}\nafter:\n{left}"
        time.sleep(1)
