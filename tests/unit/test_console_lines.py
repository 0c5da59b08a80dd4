"""Consoles on pages: bounded, printable, with the place of the failure and what is different."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.pages.consolelines import difference, excerpt_of, whole_text
from harness.runs.nights.results import kept_console

GOOD = b"".join(b"probe %d at 0x%x\r\n" % (number, number * 4096) for number in range(100))


def test_the_line_of_the_failure_is_marked() -> None:
    bad = GOOD + b"panic: no ideas left\r\ncpuid = 1\r\n"
    found = excerpt_of(bad, bad.index(b"no ideas"))
    assert [line.text for line in found.lines if line.marked] == ["panic: no ideas left"]
    assert found.before
    assert not found.after
    assert found.lines[-1].text == "cpuid = 1"


def test_without_a_place_the_last_lines_are_shown() -> None:
    found = excerpt_of(GOOD, None)
    assert not any(line.marked for line in found.lines)
    assert found.lines[-1].text == "probe 99 at 0x63000"


def test_only_what_is_different_is_shown_and_numbers_are_not_compared() -> None:
    other = GOOD.replace(b"0x", b"0xff")
    bad = other[: other.index(b"probe 70")] + b"panic: no ideas left\r\n"
    lines = difference(GOOD, bad, bad.index(b"panic"))
    assert [line.text for line in lines if line.sign == "+"] == ["panic: no ideas left"]
    assert next(line.text for line in lines if line.sign == "-") == "probe 70 at 0x46000"
    assert [line.text for line in lines if line.sign == " "] == [
        "probe 67 at 0xff43000", "probe 68 at 0xff44000", "probe 69 at 0xff45000",
    ]  # fmt: skip
    assert len(lines) < 30
    assert difference(GOOD, other, None) == ()


@given(st.binary(max_size=2000), st.binary(max_size=2000), st.none() | st.integers(-5, 3000))
def test_any_bytes_give_printable_lines(good: bytes, bad: bytes, offset: int | None) -> None:
    texts = [line.text for line in excerpt_of(bad, offset).lines]
    texts += [line.text for line in difference(good, bad, offset)]
    texts += whole_text(bad).split("\n")
    assert all(text.isprintable() and len(text) <= 400 for text in texts)
    assert sum(line.marked for line in excerpt_of(bad, offset).lines) <= 1


@pytest.mark.parametrize("line", [b"x", b"\x1b[31m", b"\x1b]0;", b"a\n" * 7])
def test_a_hostile_console_takes_neither_long_nor_much(line: bytes) -> None:
    huge = line * ((10 << 20) // len(line))
    assert len(excerpt_of(huge, 5 << 20).lines) <= 100
    assert len(difference(huge, huge[::-1], 9 << 20)) < 2000


@given(st.integers(0, 3 << 20), st.data())
def test_a_place_stays_where_it_is_when_the_middle_of_a_console_is_left_out(
    size: int, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(0, size))
    console = bytearray(size + 1)
    console[offset] = 1
    kept, place = kept_console(bytes(console), offset)
    assert len(kept) <= (1 << 20) + 10
    assert place is None or kept[place] == 1
    assert place is not None or (1 << 19) <= offset <= size + 1 - (1 << 19)
