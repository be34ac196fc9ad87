"""``kill -9`` between two steps: a verb is carried out in a process of its own, which ends itself there.

A step is whatever changes something outside the process: a file made, renamed or removed, a program started, a
command that QEMU is given. It is called what ``step_name`` makes of it, for example "rename saved.json",
"start qemu-system-x86_64" or "qmp cont".
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provisioner.backends.qemu.qmp import Qmp

#: Commands of QMP that change nothing.
_QUESTIONS = ("query-", "qmp_capabilities", "human-monitor-command")
_FILE_EVENTS = {"os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0}

#: Whether to end at a step, told its number and its name.
Choice = Callable[[int, str], bool]


def killed_at(action: Callable[[], object], choice: Choice, home: Path) -> str | None:
    """Carry ``action`` out in a child that is killed before the step of our choice; None when it came to its end.

    ``home`` is where files count. Raises AssertionError when the action failed by itself.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _carry_out(action, _Killer(choice, home, writing))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return said
    assert status == 0, said
    return None


def _carry_out(action: Callable[[], object], killer: _Killer) -> None:
    try:
        killer.install()
        action()
        status = 0
    except BaseException:
        os.write(killer.pipe, traceback.format_exc().encode())
        status = 1
    os._exit(status)


class _Killer:
    def __init__(self, choice: Choice, home: Path, pipe: int) -> None:
        self.pipe = pipe
        self._choice = choice
        self._home = os.fspath(home)
        self._steps = 0

    def install(self) -> None:
        """Only in a process that is to end: an audit hook cannot be removed."""
        execute = Qmp.execute

        def executed(qmp: Qmp, command: str, **arguments: Any) -> Any:
            if not command.startswith(_QUESTIONS):
                self._step(f"qmp {command}")
            return execute(qmp, command, **arguments)

        Qmp.execute = executed  # type: ignore[method-assign, assignment]
        sys.addaudithook(self._on_event)

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        name = step_name(event, arguments, self._home)
        if name:
            self._step(name)

    def _step(self, name: str) -> None:
        self._steps += 1
        if self._choice(self._steps, name):
            os.write(self.pipe, name.encode())
            os.kill(os.getpid(), signal.SIGKILL)


def step_name(event: str, arguments: tuple[Any, ...], home: str) -> str:
    """What an audit event of Python's is called here, "" when it does not count."""
    if event == "subprocess.Popen":
        return f"start {Path(os.fsdecode(arguments[0])).name}"
    if event == "open":
        path, _, flags = arguments
        made = isinstance(path, str) and flags & os.O_CREAT and path.startswith(home)
        # Temporary files have a random name.
        return f"make {Path(path).name.split('.json.')[0]}" if made else ""
    if event in _FILE_EVENTS:
        path = str(arguments[_FILE_EVENTS[event]])
        return f"{event[3:]} {Path(path).name}" if path.startswith(home) else ""
    return ""
