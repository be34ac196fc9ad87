from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from provisioner.bpf.examples import Example, find_example, find_missing, load_examples, output_lines
from provisioner.core.errors import UsageError
from provisioner.core.resources import data_dir

NAMES = [
    "execsnoop",
    "hello",
    "killsnoop",
    "lsm-audit",
    "openlatency",
    "tc-flow",
    "xdp-counter",
    "xdp-loadbalancer",
]
SECTIONS = ["## Run it", "## What you see", "## How it works", "## Try next"]
VALID = {"file": "x.bpf.c", "title": "'X'", "seconds": "5", "expect": "['hello \\d+']"}


def shipped(name: str) -> Example:
    example = find_example(name)
    assert example is not None
    return example


def write_example(folder: Path, **keys: str | None) -> Path:
    """An example called ``x`` with ``VALID`` keys, some replaced, some left out (None)."""
    directory = folder / "x"
    directory.mkdir()
    (directory / "x.bpf.c").write_text("int x;\n")
    lines = [f"{key}: {value}" for key, value in {**VALID, **keys}.items() if value is not None]
    (directory / "example.yaml").write_text("\n".join(lines))
    return folder


def test_every_example_is_there_and_in_order() -> None:
    assert list(load_examples()) == NAMES


def test_the_overview_lists_every_example_with_its_title() -> None:
    overview = (data_dir("examples") / "README.md").read_text()
    for example in load_examples().values():
        assert f"[{example.name}]({example.name}/README.md)" in overview
        assert example.title in overview


@pytest.mark.parametrize("name", NAMES)
class TestEachExample:
    def test_readme_teaches_and_names_the_command(self, name: str) -> None:
        readme = (shipped(name).directory / "README.md").read_text()
        assert f"    ebpf-dev run {name}\n" in readme
        assert [line for line in readme.splitlines() if line.startswith("## ")] == SECTIONS

    def test_code_that_the_readme_quotes_is_in_the_sources(self, name: str) -> None:
        directory = shipped(name).directory
        sources = "\n".join(path.read_text() for path in sorted(directory.glob("*.[ch]")))
        readme = (directory / "README.md").read_text()
        for block in re.findall(r"```c\n(.*?)```", readme.partition("## Try next")[0], re.DOTALL):
            for line in filter(str.strip, block.splitlines()):
                assert " ".join(line.split()) in " ".join(sources.split())

    def test_sample_output_meets_the_expectations_on_text(self, name: str) -> None:
        lines = (shipped(name).directory / "README.md").read_text().splitlines()
        for pattern in shipped(name).expect:
            pattern = pattern.removeprefix("^")
            assert '"' in pattern or any(re.search(pattern, line) for line in lines), pattern

    def test_kernel_side_has_a_license_and_the_modern_includes(self, name: str) -> None:
        source = shipped(name).source.read_text()
        assert 'char LICENSE[] SEC("license") = "GPL";' in source
        assert '#include "vmlinux.h"' in source
        assert "#include <linux/" not in source  # clashes with vmlinux.h

    def test_every_source_says_its_license(self, name: str) -> None:
        for path in shipped(name).directory.glob("*.[ch]"):
            assert "SPDX-License-Identifier: " in path.read_text().splitlines()[0], path

    def test_lines_fit_a_screen(self, name: str) -> None:
        for path in shipped(name).directory.glob("*.[ch]"):
            wide = [line for line in path.read_text().expandtabs(8).splitlines() if len(line) > 110]
            assert wide == [], path


def test_a_companion_includes_its_skeleton_and_the_shared_header() -> None:
    companion = (shipped("execsnoop").directory / "execsnoop.c").read_text()
    assert '#include "execsnoop.skel.h"' in companion
    assert '#include "execsnoop.h"' in companion


@pytest.mark.parametrize(
    "name", ["nonesuch", "", ".", "..", "../examples/hello", "hello/", "/", "Hello", "\0", "x" * 300]
)
def test_a_name_that_is_none_finds_nothing(name: str) -> None:
    assert find_example(name) is None


def test_a_folder_without_a_record_is_no_example(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "quickstart").write_text("")
    assert load_examples(tmp_path) == {}
    assert load_examples(tmp_path / "missing") == {}


def test_values_of_a_record(tmp_path: Path) -> None:
    example = load_examples(write_example(tmp_path, trigger="['ls']"))["x"]
    assert example == Example("x", "X", tmp_path / "x", tmp_path / "x" / "x.bpf.c", ("ls",), 5.0, ("hello \\d+",))
    assert find_example("x", tmp_path) == example


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ({"file": None}, "file: missing"),
        ({"file": "../x.c"}, "file: must be"),
        ({"file": "absent.bpf.c"}, "file: absent.bpf.c is not in"),
        ({"file": "[x.bpf.c]"}, "file: must be"),
        ({"title": '"two\\nlines"'}, "title: must be"),
        ({"trigger": "ls"}, "trigger: must be"),
        ({"trigger": "[1]"}, "trigger: must be"),
        ({"seconds": "0"}, "seconds: must be"),
        ({"seconds": ".inf"}, "seconds: must be"),
        ({"seconds": "true"}, "seconds: must be"),
        ({"expect": "[]"}, "expect: must be"),
        ({"expect": "['(']"}, "expect: must be"),
        ({"expects": "['x']"}, "expects: unknown key"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, keys: dict[str, str | None], mistake: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_examples(write_example(tmp_path, **keys))
    assert caught.value.code == "example-invalid"
    assert mistake in caught.value.details
    assert "x" in caught.value.brief


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_examples(write_example(tmp_path, title=None, seconds="-1", colour="red"))
    assert [line.split(":")[0] for line in caught.value.details.splitlines()] == [
        "colour",
        "title",
        "seconds",
    ]


@pytest.mark.parametrize("text", ["", "- a list", "file: [", "\x00", "!!python/object:os.system {}"])
def test_a_record_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    (write_example(tmp_path) / "x" / "example.yaml").write_text(text)
    with pytest.raises(UsageError):
        load_examples(tmp_path)


def test_expectations_look_at_text_events_and_maps() -> None:
    report: dict[str, Any] = {
        "output": {
            "printk": ["hello 12"],
            "companion": ["PID COMM"],
            "events": [{"map": "rb", "type": "struct event", "fields": {"pid": 1}}],
        },
        "maps": [{"name": "slots", "type": "array", "entries": [{"key": 3, "value": 9}]}],
    }
    assert output_lines(report) == [
        "hello 12",
        "PID COMM",
        '{"map": "rb", "type": "struct event", "fields": {"pid": 1}}',
        '{"name": "slots", "type": "array", "entries": [{"key": 3, "value": 9}]}',
    ]


def test_missing_expectations_are_listed(tmp_path: Path) -> None:
    example = load_examples(write_example(tmp_path, expect="['hello \\d+', 'PID']"))["x"]
    assert find_missing(example, {"output": {"printk": ["hello 12"]}}) == ["PID"]
    assert find_missing(example, {}) == ["hello \\d+", "PID"]
