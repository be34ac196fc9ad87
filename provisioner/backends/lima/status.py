"""What Lima says about an instance, in the words of the seam."""

from __future__ import annotations

from provisioner.backends.base import Endpoint, State, Status
from provisioner.backends.lima.limactl import Row

RUNNING, STOPPED, BROKEN = "Running", "Stopped", "Broken"

_CURE = "`up` starts it afresh"


def judge(row: Row, accelerator: str) -> Status:
    """The status of an instance that was made whole; ``accelerator`` is that of its last start."""
    if row.status == STOPPED:
        return Status(State.STOPPED)
    if row.status == RUNNING and row.ssh_port:
        endpoint = Endpoint("127.0.0.1", row.ssh_port)
        return Status(State.RUNNING, endpoint, accelerator, row.driver_pid or row.host_agent or None)
    return Status(State.BROKEN, pid=row.driver_pid or row.host_agent or None, detail=f"{_fault(row)}; {_CURE}")


def _fault(row: Row) -> str:
    if row.errors:
        return "; ".join(row.errors)
    if row.status != BROKEN:
        return f"Lima calls it {row.status or 'unknown'}"
    # Lima 1.x keeps its reasons to itself.
    if row.driver_pid and not row.host_agent:
        return "its machine runs but Lima's host agent does not"
    if row.host_agent and not row.driver_pid:
        return "Lima's host agent runs but its machine does not"
    return "Lima calls it broken"
