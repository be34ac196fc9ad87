"""Accelerators that looked usable and then could not boot Linux, remembered for this host."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.core.files import locked, write_json

SCHEMA = 1
_SECTION = "refused_accelerators"


@dataclass(frozen=True)
class Circumstances:
    """What an accelerator's behaviour depends on; when one of them changes it deserves another try."""

    accelerator: str
    qemu: str
    kernel: str

    @property
    def key(self) -> str:
        return f"{self.accelerator} qemu={self.qemu} kernel={self.kernel}"


class Refusals:
    """Kept in a section of the host's facts file; a damaged file counts as empty."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, circumstances: Circumstances) -> str | None:
        """Why the accelerator was of no use in these circumstances, or None."""
        reason = self._section(self._read()).get(circumstances.key)
        return reason if isinstance(reason, str) else None

    def remember(self, circumstances: Circumstances, reason: str) -> None:
        self._change(circumstances, reason)

    def forget(self, circumstances: Circumstances) -> None:
        if self.find(circumstances) is not None:
            self._change(circumstances, None)

    def _change(self, circumstances: Circumstances, reason: str | None) -> None:
        with locked(self._path.with_suffix(".lock")):
            facts = self._read()
            section = dict(self._section(facts))
            section.pop(circumstances.key, None)
            if reason is not None:
                section[circumstances.key] = reason
            write_json(self._path, {**facts, "schema": SCHEMA, _SECTION: section})

    def _read(self) -> dict[str, Any]:
        try:
            facts = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    @staticmethod
    def _section(facts: dict[str, Any]) -> dict[str, Any]:
        section = facts.get(_SECTION)
        return section if isinstance(section, dict) else {}
