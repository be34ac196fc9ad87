"""Source files made by name."""

from __future__ import annotations

from pathlib import Path


def write(directory: Path, **files: str) -> Path:
    """Make files below ``directory``, which is returned; ``__`` stands for a slash and ``_dot_`` for a dot."""
    for name, text in files.items():
        path = directory / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory
