"""The command line as it really is, asked of itself."""

import subprocess
import sys
from functools import lru_cache


@lru_cache
def command_names() -> frozenset[str]:
    """Every command that ``ebpf-dev --help`` lists."""
    lines = help_text().split("Commands:\n")[1].split("\n\n")[0].splitlines()
    return frozenset(line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   "))


@lru_cache
def help_text(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "provisioner", *words, "--help"], capture_output=True, text=True, check=True
    )
    return done.stdout
