"""The README repeats what the code says; this compares them."""

import re
from pathlib import Path

import pytest

from provisioner.cli.app import HOMES
from provisioner.core.settings import SETTINGS
from provisioner.images.catalogue import load_catalogue
from tests.unit.commands import command_names, help_text

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def test_every_command_is_described_and_exists() -> None:
    described = set(re.findall(r"^\| `ebpf-dev ([a-z-]+)", README, re.MULTILINE))
    assert described == command_names()


def test_every_command_is_found_in_its_home() -> None:
    assert command_names() == set(HOMES)


def test_commands_named_anywhere_exist() -> None:
    assert set(re.findall(r"`ebpf-dev ([a-z][a-z-]*)", README)) <= command_names()


def test_settings_shown_exist() -> None:
    block = README.split("# ebpf-dev.yaml\n")[1].split("```")[0]
    assert set(re.findall(r"^(\w+):", block, re.MULTILINE)) <= set(SETTINGS)


def test_images_are_named() -> None:
    for name in load_catalogue():
        assert name.replace("-", " ") in README.lower()


@pytest.mark.parametrize("name", sorted(command_names()))
def test_every_command_has_help_with_an_example(name: str) -> None:
    text = help_text(name)
    assert "Example: ebpf-dev" in " ".join(text.split())
    assert "--verbose" in text
