"""Maps, histograms and decoded values."""

from __future__ import annotations

import io
import re

import pytest

from provisioner.ui import RunDisplay
from provisioner.ui.charts import bar, log2_rows
from provisioner.ui.values import value_text


def test_bars() -> None:
    assert bar(8, 8, 4, fine=True) == "████"
    assert bar(1, 1000, 4, fine=True) == "▏"
    assert bar(0, 8, 4, fine=True) == ""
    assert bar(3, 4, 4, fine=True) == "███"
    assert bar(1, 1000, 4, fine=False) == "#"
    assert bar(5, 0, 4, fine=False) == ""


def test_log2_rows() -> None:
    assert log2_rows([0] * 10) == []
    assert log2_rows([5]) == [("[0, 2)", 5)]
    assert log2_rows([0, 0, 0, 1, 0, 7, 0]) == [("[ 8, 16)", 1), ("[16, 32)", 0), ("[32, 64)", 7)]
    assert log2_rows([0] * 9 + [1, 2]) == [("[512, 1K)", 1), ("[ 1K, 2K)", 2)]
    assert log2_rows([1] * 64)[-1][1] == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (None, "null"),
        (True, "true"),
        ("a\x1b", "a\\x1b"),
        ({"a": 1, "b": {"c": [1, 2]}}, "a=1 b={c=[1, 2]}"),
    ],
)
def test_values_in_one_line(value: object, text: str) -> None:
    assert value_text(value) == text


def finished(**report: object) -> str:
    stream = io.StringIO()
    RunDisplay(stream).finish(report)
    return stream.getvalue()


def array(name: str, counts: dict[int, int], **more: object) -> dict[str, object]:
    entries = [{"key": key, "value": value} for key, value in counts.items()]
    return {"name": name, "type": "array", "entries": entries, **more}


def test_a_histogram_by_its_name_with_zeros_left_out() -> None:
    text = finished(maps=[array("latency_us", {3: 4, 5: 8})])
    assert re.search(r"\[ 8, 16\)  4  .+\n  \[16, 32\)  0\n  \[32, 64\)  8  ", text)


def test_other_arrays_are_tables_and_keep_their_order() -> None:
    text = finished(maps=[array("counts", {0: 1, 1: 900}, zeros=3)])
    assert re.search(r"counts  array, 5 entries\n  KEY  VALUE\n +0 +1\n +1 +900\n  3 more that are zero", text)


def test_a_hash_shows_its_largest_counters() -> None:
    entries = [{"key": f"k{at}", "value": at} for at in range(25)]
    text = finished(maps=[{"name": "calls", "type": "hash", "entries": entries, "truncated": 2}])
    assert re.search(r"KEY +VALUE\n  k24 +24\n", text)
    assert "k14" not in text
    assert "15 more with --json\n  2 more that were not read" in text


def test_structs_are_columns_unless_they_are_too_many() -> None:
    flow = {"key": {"saddr": "10.0.0.1", "port": 80}, "value": {"packets": 7}}
    text = finished(maps=[{"name": "flows", "type": "hash", "entries": [flow]}])
    assert re.search(r"SADDR +PORT +PACKETS\n  10\.0\.0\.1 +80 +7", text)
    wide = {"key": 1, "value": {name: 0 for name in "abcdefgh"}}
    assert "a=0 b=0" in finished(maps=[{"name": "wide", "type": "hash", "entries": [wide]}])


def test_histograms_inside_values_and_globals() -> None:
    text = finished(
        maps=[
            {
                "name": "hists",
                "type": "hash",
                "entries": [{"key": "ls", "value": {"slots": [0, 3], "sum": 9}}],
            },
            {
                "name": ".bss",
                "type": "array",
                "entries": [{"key": "hist", "value": [1, 2]}, {"key": "n", "value": 5}],
            },
        ]
    )
    assert re.search(r"  ls  sum=9\n  \[2, 4\)  3", text)
    assert re.search(r"global variables  \.bss\n  hist\n  \[0, 2\)  1", text)
    assert re.search(r"VARIABLE +VALUE\n  n +5", text)


def test_constants_and_maps_that_cannot_be_listed_are_left_out() -> None:
    assert finished(maps=[array(".rodata", {0: 1}), {"name": "rb", "type": "ringbuf", "entries": []}]) == ""


def test_readings_in_tables() -> None:
    flow = {"key": {"saddr": 16908480, "port": 47873}, "value": 7,
            "shown": {"key.saddr": "192.0.2.1", "key.port": "443"}}  # fmt: skip
    text = finished(maps=[{"name": "flows", "type": "hash", "entries": [flow]}])
    assert re.search(r"SADDR +PORT +VALUE\n  192\.0\.2\.1 +443 +7", text)
    route = {"key": {"prefixlen": 24, "bytes": [192, 0, 2, 0]}, "value": 1, "shown": {"key": "192.0.2.0/24"}}
    text = finished(maps=[{"name": "routes", "type": "lpm_trie", "entries": [route]}])
    assert re.search(r"KEY +VALUE\n  192\.0\.2\.0/24 +1", text)
    text = finished(maps=[{"name": ".bss", "type": "array", "entries": [
        {"key": "delta_ns", "value": 1500, "shown": {"value": "1.50 us"}}]}])  # fmt: skip
    assert re.search(r"delta_ns +1\.50 us", text)


STACK = {"key": 12, "value": ["0xffffffff81000010"], "shown": {"value": ["vfs_read+0x10"]}}
STACKS = {"name": "stacks", "type": "stack_trace", "entries": [STACK]}


def test_stacks_are_below_their_counts() -> None:
    entry = {"key": {"pid": 7, "stack_id": 12}, "value": 3, "shown": {"key.stack_id": ["vfs_read+0x10", "f+0x2"]}}
    text = finished(maps=[STACKS, {"name": "samples", "type": "hash", "entries": [entry]}])
    assert "  3  pid=7 stack_id=2 frames\n      stack_id  vfs_read+0x10\n                f+0x2\n" in text
    assert "stack_trace" not in text


def test_a_map_of_stacks_is_shown_when_nothing_else_shows_them() -> None:
    assert "      value  vfs_read+0x10\n" in finished(maps=[STACKS])
