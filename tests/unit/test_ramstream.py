"""A saved machine's stream without the pages that a file has."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import pytest

from provisioner.backends.qemu.ramstream import PAGE, KnownMemory, NewMemory, StreamError, copy_without
from tests.unit.fake_qemu import saved_stream

SIZE = 256 * PAGE
DEVICES = b"devices"
ONE, TWO = b"1" * PAGE, b"2" * PAGE
PAGES = {3 * PAGE: ONE, 4 * PAGE: TWO, 7 * PAGE: ONE}


class Slow(io.BytesIO):
    """Gives a few bytes at a time, as a socket may."""

    def read(self, count: int | None = -1) -> bytes:
        return super().read(min(1000, count or 1000))


def memory_file(path: Path, pages: dict[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(SIZE)
        for place, page in pages.items():
            file.seek(place)
            file.write(page)
    return path


def divided(stream: bytes, memory: KnownMemory | NewMemory) -> bytes:
    target = io.BytesIO()
    copy_without(Slow(stream).read, target, memory, SIZE)
    return target.getvalue()


def opened(path: Path) -> BinaryIO:
    return path.open("r+b")


def test_what_a_file_has_is_left_out_and_the_rest_is_untouched(tmp_path: Path) -> None:
    base = memory_file(tmp_path / "base", PAGES)
    rest = divided(saved_stream(PAGES, SIZE, DEVICES), KnownMemory(opened(base)))
    assert ONE not in rest
    assert TWO not in rest
    assert b"B" * PAGE in rest  # of another block
    assert rest.endswith(b"\x04" + DEVICES)
    assert len(rest) < 2 * PAGE


def test_changed_pages_stay_also_those_that_are_empty_now(tmp_path: Path) -> None:
    base = memory_file(tmp_path / "base", {3 * PAGE: TWO, 4 * PAGE: TWO, 9 * PAGE: ONE})
    rest = divided(saved_stream(PAGES, SIZE, DEVICES), KnownMemory(opened(base)))
    assert rest.count(ONE) == 2
    assert TWO not in rest
    # What is left applies to the base: the changes alone make a new file that has it all.
    again = divided(rest, NewMemory(opened(base)))
    assert ONE not in again
    assert base.read_bytes() == memory_file(tmp_path / "wanted", PAGES).read_bytes()


def test_a_new_file_takes_everything(tmp_path: Path) -> None:
    new = memory_file(tmp_path / "new", {})
    rest = divided(saved_stream(PAGES, SIZE, DEVICES), NewMemory(opened(new)))
    assert ONE not in rest
    assert new.read_bytes() == memory_file(tmp_path / "wanted", PAGES).read_bytes()
    assert divided(saved_stream(PAGES, SIZE, DEVICES), KnownMemory(opened(new))) == rest


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"QEVM" * 2000,
        saved_stream(PAGES, SIZE, DEVICES)[:9000],
        saved_stream(PAGES, SIZE // 2, DEVICES),
        saved_stream(PAGES, SIZE, DEVICES).replace(b"\x28" + ONE, b"\x68" + ONE),
        saved_stream(PAGES, SIZE, DEVICES).replace(b"\x7e", b"\x7f"),
    ],
    ids=["nothing", "something else", "cut short", "another size", "another kind of record", "another end"],
)
def test_what_is_not_known_is_refused(tmp_path: Path, stream: bytes) -> None:
    with pytest.raises(StreamError):
        divided(stream, KnownMemory(opened(memory_file(tmp_path / "base", {}))))
