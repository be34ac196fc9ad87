"""The house rules that can be read off the source: who imports whom, when, and what ships."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "provisioner"

#: Each package may import itself and what stands before it.
ORDER = ["core", "backends", "guest", "images", "bpf", "workflows", "ui", "cli"]
#: The seam is all that the guest connection and the images need of the backends.
HEAVY = ("paramiko", "jinja2", "rich", "yaml", "platformdirs", "cryptography")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    if parts[0] not in ORDER:
        return
    allowed = ORDER[: ORDER.index(parts[0]) + 1]
    for name in imports(path):
        if name.startswith("provisioner."):
            assert name.split(".")[1] in allowed, f"{path} imports {name}"


@pytest.mark.parametrize(
    ("library", "places"), [("paramiko", {"guest/connection.py"}), ("rich", {"ui"}), ("typer", {"cli"})]
)
def test_each_library_has_one_home(library: str, places: set[str]) -> None:
    users = {
        path.relative_to(PACKAGE)
        for path in modules()
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users
    strays = {user for user in users if str(user) not in places and user.parts[0] not in places}
    assert not strays


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, provisioner.cli.app, provisioner.workflows.up, provisioner.workflows.run, provisioner.ui;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_one_module_asks_which_system_this_is() -> None:
    question = re.compile(r"sys\.platform|^\s*(import|from) platform\b|os\.(uname|name\b)", re.MULTILINE)
    asking = [path.relative_to(PACKAGE) for path in modules() if question.search(path.read_text())]
    assert asking == [Path("core/host.py")]
