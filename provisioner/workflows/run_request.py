"""What to run and how, as the command line asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provisioner.core.errors import UsageError

#: What may load the program; None is our runner, or the program's own user space where there is one.
LOADERS = ("runner", "companion", "bpftool", "xdp-loader")

#: Options that only some loaders can follow, by the request's field.
_OPTIONS = {
    "settings": "--set",
    "map_entries": "--map",
    "license": "--license",
    "programs": "--prog",
    "device": "--dev",
    "cgroup": "--cgroup",
    "attach_to": "--attach-to",
    "bin": "--bin",
    "pid": "--pid",
    "include_dirs": "--include",
    "cflags": "--cflag",
}
#: What each loader decides by itself.
_REFUSED = {
    "companion": (
        "settings", "map_entries", "license", "programs", "device", "cgroup", "attach_to", "bin", "pid"
    ),
    "bpftool": ("settings", "map_entries", "license", "programs", "cgroup", "attach_to", "bin", "pid"),
    "xdp-loader": ("settings", "map_entries", "license", "cgroup", "attach_to", "bin", "pid"),
}  # fmt: skip


@dataclass(frozen=True)
class RunRequest:
    """What to run and how; ``seconds`` None means until ``stop``.

    ``triggers`` None means an example's own or else what the programs hook; none at all means a passive run.
    ``loader`` is one of LOADERS, or None for what suits the program.
    """

    target: str
    seconds: float | None = None
    triggers: tuple[str, ...] | None = None
    programs: tuple[str, ...] = ()
    device: str | None = None
    cgroup: str | None = None
    bin: str | None = None
    pid: int | None = None
    attach_to: str | None = None
    include_dirs: tuple[Path, ...] = ()
    cflags: tuple[str, ...] = ()
    loader: str | None = None
    arguments: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    map_entries: tuple[tuple[str, str], ...] = ()
    license: str | None = None

    @property
    def needs_runner(self) -> bool:
        """Whether it asks for what a companion decides by itself."""
        return bool(self.given(_REFUSED["companion"]))

    @property
    def use_companion(self) -> bool | None:
        """Whether the program's own user space is to load it; None: if it is there and can do as asked."""
        return None if self.loader is None else self.loader == "companion"

    def check_loader(self) -> None:
        """Raises UsageError("unknown-loader"), or "options-conflict" for what the loader cannot do."""
        if self.loader is not None and self.loader not in LOADERS:
            raise UsageError(
                f"There is no loader called '{self.loader}'",
                code="unknown-loader",
                hint=f"Use {', '.join(LOADERS[:-1])} or {LOADERS[-1]}.",
            )
        if given := self.given(_REFUSED.get(self.loader or "", ())):
            subject = "A companion program" if self.loader == "companion" else self.loader
            raise UsageError(
                f"{subject} loads the object itself, without {' and '.join(given)}",
                code="options-conflict",
                hint=f"Leave --loader {self.loader} away to use {' and '.join(given)}.",
            )

    def given(self, fields: tuple[str, ...] = tuple(_OPTIONS)) -> list[str]:
        """The options among these ``fields`` that were given, as they are written."""
        return [_OPTIONS[field] for field in fields if getattr(self, field)]
