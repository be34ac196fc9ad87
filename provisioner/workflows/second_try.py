"""A second try for programs that the verifier refuses only in the way they were compiled."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from provisioner.bpf.protocol import Companion, Done, Message, RunnerError, Stage

#: Without 32-bit instructions, as clang compiled before version 20 unless told otherwise. What the verifier lost
#: of a value's range through them is then known, and no arithmetic on pointers is cut to 32 bits.
OLDER_PROCESSOR = "-mcpu=v2"
NOTE = (
    f"the verifier takes it only with {OLDER_PROCESSOR}, the default of older compilers; it was compiled with that"
)

#: The refusals that this has been seen to cure.
_CURABLE = re.compile(r"32-bit pointer arithmetic|unbounded m|min value is negative")
#: libbpf's line, here from a companion, before it quotes the verifier.
_QUOTED_LOG = "BEGIN PROG LOAD LOG"


@dataclass
class Gate:
    """Holds messages back until it is known that the verifier has not refused a program.

    ``pass_on`` gets every message that is not dropped, in order. The runner's are held up to the end of its load
    stage, a companion's from the verifier's words on.
    """

    pass_on: Callable[[Message], None]
    by_companion: bool
    _held: list[Message] = field(default_factory=list)
    _refusal: str = ""
    _loaded: bool = False

    @property
    def loaded(self) -> bool:
        """Whether everything was loaded, so that messages have been passed on."""
        return self._loaded or (self.by_companion and not self._refusal)

    @property
    def may_be_cured(self) -> bool:
        """Whether the verifier has refused a program for what older instructions may spare it."""
        return not self.loaded and bool(_CURABLE.search(self._refusal))

    def take(self, message: Message) -> None:
        """Pass a message on, now or later."""
        self._held.append(message)
        if isinstance(message, RunnerError):
            self._refusal += message.details
        elif isinstance(message, Companion) and (self._refusal or _QUOTED_LOG in message.text):
            self._refusal += f"{message.text}\n"
        elif isinstance(message, Stage) and message.name == "load":
            self._loaded = message.ok
        elif isinstance(message, Done) and message.status == 0:
            self._loaded = True  # a companion that got along without the program
        if self.loaded:
            self.open()

    def open(self) -> None:
        """Pass on what was held."""
        held, self._held = self._held, []
        for message in held:
            self.pass_on(message)
