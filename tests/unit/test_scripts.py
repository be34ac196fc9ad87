"""The scripts that people start: also with bash 3.2, the only one that macOS has."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("examples/quickstart", "tests/run", "tests/venv.sh", ".ci/run")
#: Things of bash 4 and later: ${x,,} ${x^^} ${x@Q}, associative arrays, reading into arrays, |& and &>>.
NEWER = re.compile(r"\$\{\w+(,|\^|@\w)|declare -\w*A|\b(mapfile|readarray|coproc)\b|\|&|&>>")
#: With `set -u` an empty array is an unbound variable before bash 4.4, unless asked for like this.
GUARDED = re.compile(r'\$\{(\w+)\[@\]\+"\$\{\1\[@\]\}"\}')


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_keep_to_what_bash_3_knows(name: str) -> None:
    text = re.sub(r"(^|\s)#.*", "", (ROOT / name).read_text())
    assert not NEWER.search(text)
    assert not re.search(r"\$\{\w+\[[@*]\]", GUARDED.sub("", text))


@pytest.mark.parametrize(("given", "said"), [("", "0:"), ("--yes", "1:--yes"), ("a 'b c'", "2:a b c")])
def test_the_guard_passes_on_what_there_is(given: str, said: str) -> None:
    script = f'set -u; words=({given}); set -- ${{words[@]+"${{words[@]}}"}}; echo "$#:$*"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{said}\n"
