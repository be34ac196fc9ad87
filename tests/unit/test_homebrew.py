"""The Homebrew formula: what is in it, and that it is Ruby."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli

ROOT = Path(__file__).resolve().parents[2]
RENDER = ROOT / "templates/homebrew/render.py"
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]
URL, HOMEPAGE = f"https://files.example/ebpf_dev-{VERSION}.tar.gz", "https://project.example"
#: What a lock has besides: libraries of libraries, some of which Homebrew has itself.
INDIRECT = ("bcrypt", "cffi", "cryptography", "markupsafe", "pycparser", "pynacl")


def load_render() -> Any:
    spec = importlib.util.spec_from_file_location("render_formula", RENDER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def digest_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def make_lock(*names: str) -> str:
    """A pylock.toml as uv writes it."""
    packages = [
        f'[[packages]]\nname = "{name}"\nversion = "1.2.3"\nsdist = {{ url = "https://files.example/{name}-1.2.3.tar.gz",'
        f' upload-time = 2026-11-18T11:06:55Z, size = 1, hashes = {{ sha256 = "{digest_of(name)}" }} }}\n'
        for name in names
    ]
    return 'lock-version = "1.0"\ncreated-by = "uv"\nrequires-python = ">=3.13"\n\n' + "\n".join(packages)


def direct() -> list[str]:
    found: list[str] = load_render().dependencies(PROJECT)
    return found


def render(*names: str) -> str:
    lock = tomli.loads(make_lock(*names))
    text = load_render().render_formula(PROJECT, lock, url=URL, sha256=digest_of("us"), homepage=HOMEPAGE)
    return str(text)


@pytest.fixture
def formula() -> str:
    return render(*direct(), *INDIRECT)


def errors(ruby: str) -> list[str]:
    """What a parser of Ruby does not understand."""
    import tree_sitter
    import tree_sitter_ruby

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_ruby.language()))
    found, nodes = [], [parser.parse(ruby.encode()).root_node]
    while nodes:
        node = nodes.pop()
        nodes += node.children
        if node.is_error or node.is_missing:
            found.append(f"line {node.start_point[0] + 1}: {(node.text or b'').decode()}")
    return found


def test_it_is_ruby(formula: str) -> None:
    assert errors(formula) == []


@pytest.mark.parametrize(("good", "bad"), [("  end\n", ""), ('"', ""), ("do\n", "do (\n")])
def test_the_parser_sees_mistakes(formula: str, good: str, bad: str) -> None:
    assert errors(formula.replace(good, bad, 1))


def test_every_dependency_is_in_it_and_pinned(formula: str) -> None:
    resources = dict(re.findall(r'resource "(\S+)" do\n\s+url "\S+"\n\s+sha256 "(\w{64})"', formula))
    assert set(resources) == {*direct(), "bcrypt", "markupsafe", "pynacl"}
    assert all(resources[name] == digest_of(name) for name in resources)
    formulae = re.findall(r'depends_on "([^"]+)"', formula)
    assert formulae == ["rust", "cffi", "cryptography", "libsodium", "libyaml", "python@3.13", "qemu"]


def test_what_homebrew_wants_of_a_description(formula: str) -> None:
    found = re.search(r'desc "(.+)"', formula)
    assert found
    assert len(found[1]) <= 80
    assert not found[1].startswith(("A ", "An ", "The "))


def test_a_lock_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="does not have: typer"):
        render(*(name for name in direct() if name != "typer"))


def test_the_command_line(tmp_path: Path) -> None:
    lock, sdist = tmp_path / "pylock.toml", tmp_path / f"ebpf_dev-{VERSION}.tar.gz"
    lock.write_text(make_lock(*direct(), *INDIRECT))
    sdist.write_bytes(b"an archive")
    argv = [sys.executable, str(RENDER), str(lock), str(sdist), URL, HOMEPAGE]
    env = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=env)
    assert f'url "{URL}"\n  sha256 "{hashlib.sha256(b"an archive").hexdigest()}"' in done.stdout
    assert errors(done.stdout) == []
    argv[4] = URL.replace(VERSION, "0.0.9")
    old = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    assert old.returncode == 1
    assert f"version {VERSION}" in old.stderr
