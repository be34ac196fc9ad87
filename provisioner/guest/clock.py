"""The guest's clock, which stands still while the host sleeps and then is behind until it is set.

Files from the future and certificates that are not valid yet are what users would see of it. So whoever is about
to do something in the guest asks for its time in a round trip that is made anyway, and sets it when it is off.
"""

from __future__ import annotations

import time

from provisioner.core.reporter import Reporter
from provisioner.guest.base import Guest

#: Seconds that a guest's clock may be off; timestamps of files are compared in whole ones at the least.
TOLERANCE = 1.0
#: A command for bash, which starts no program for it.
TELL_TIME = 'echo "clock=$EPOCHREALTIME"'


def look(guest: Guest, reporter: Reporter, script: str, *arguments: str) -> list[str]:
    """The words that a shell script prints in a guest, whose clock is set on the way when it is off.

    For the first look at a guest by whoever is about to do something in it.
    """
    asked = time.time()
    said = guest.run(["bash", "-c", f"{TELL_TIME}; {script}", "look", *arguments]).stdout
    clock, _, rest = said.partition("\n")
    keep_time(guest, clock, asked, reporter)
    return rest.split()


def clock_offset(guest: float, before: float, after: float) -> float:
    """Seconds by which a guest's clock is surely ahead, negative when behind; 0.0 when it may well be right.

    It said ``guest`` at some moment between ``before`` and ``after`` of ours, all in seconds since the epoch.
    """
    offset = min(0.0, guest - before) or max(0.0, guest - after)
    return offset if abs(offset) > TOLERANCE else 0.0


def keep_time(guest: Guest, said: str, asked: float, reporter: Reporter) -> None:
    """Set the guest's clock when what TELL_TIME ``said`` shows that it is off; it was ``asked`` then.

    What says no time, such as an older bash, changes nothing.
    """
    value = said.removeprefix("clock=").replace(",", ".")  # the locale's decimal point
    if not value.replace(".", "", 1).isdecimal():
        return
    offset = clock_offset(float(value), asked, time.time())
    if offset:
        guest.run(["date", "-u", "-s", f"@{time.time():.3f}"])
        reporter.note(f"The guest's clock was {describe_offset(offset)}, as after a sleep of the host; it is set.")


def describe_offset(offset: float) -> str:
    """
    >>> describe_offset(-7200.0)
    '2 h behind'
    """
    size, side = max(1, round(abs(offset))), "ahead" if offset > 0 else "behind"
    unit, seconds = next(pair for pair in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)) if size >= pair[1])
    return f"{size / seconds:.0f} {unit} {side}"


def in_time(command: str, now: float) -> str:
    """A command line for the guest's login shell that first sets a clock which is behind ``now``.

    A clock that is ahead is left: how long the command took to arrive is not known there. Costs nothing in bash,
    and other shells, which know no such variable, do nothing.
    """
    late = f'[ "${{EPOCHSECONDS:-{now:.0f}}}" -ge {now - TOLERANCE:.0f} ]'
    return f"{late} || date -u -s @{now:.3f} >/dev/null; {command}"
