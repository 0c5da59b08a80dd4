"""What holds of the parser for any bytes at all."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.console.events import Event
from harness.console.parser import MAX_LINE, ConsoleParser
from harness.console.pattern import Pattern
from harness.console.patterns import PATTERNS, PROMPTS

FRAGMENTS = [
    *(pattern.needle.encode() for pattern in PATTERNS),
    *(prompt.text.encode() for prompt in PROMPTS),
    b"panic: x\n",
    b"cpuid = 0\n",
    b"time = 1\n",
    b"KDB: stack backtrace:\n",
    b"a() at a+0x1/frame 0x2\n",
    b"--- trap 0xc, rip = 0x1, rsp = 0x2, rbp = 0x3 ---\n",
    b"Fatal trap 12: page fault while in kernel mode\n",
    b"trap number\t\t= 12\n",
    b"FreeBSD 13.2-RELEASE #1 x\n",
    b"    root@h:/obj/sys/GENERIC amd64\n",
    b"lock order reversal:\n",
    b" 1st 0x1 a (a, b) @ c:1\n",
    b"BdsDxe: loading Boot0001\n",
    b"---<<BOOT>>---\n",
    b"Uptime: 1s\n",
    b"\x1b[2J",
    b"\x1b[0",
    b"\x1b",
    b"\x08",
    b"\r",
    b"\n",
    b"\r\n",
    b"\xff\xfe",
    b"x" * 300,
]

consoles = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=12), max_size=60).map(b"".join)


def read(pieces: list[bytes]) -> list[Event]:
    parser = ConsoleParser()
    return [event for piece in pieces for event in parser.feed(piece)] + parser.close()


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@given(consoles)
@example(b"db> \x08\x08\x08\x08Rebooting...\n")
@example(b"OK \r\n\x1b[01;01HOK \n")
def test_events_are_the_same_byte_by_byte(data: bytes) -> None:
    assert read(bytewise(data)) == read([data])


@given(consoles, st.lists(st.integers(0, 2000), max_size=8))
def test_events_are_the_same_however_the_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert read(pieces) == read([data])


@given(consoles, st.integers(0, 2 * MAX_LINE))
def test_events_are_the_same_behind_a_line_of_any_length(data: bytes, length: int) -> None:
    long = b"x" * length + data
    half = len(long) // 2
    assert read([long[:half], long[half:]]) == read([long])


@given(st.binary(max_size=5000))
def test_noise_never_raises_and_is_kept_within_bounds(data: bytes) -> None:
    parser = ConsoleParser()
    for event in parser.feed(data) + parser.close():
        assert 0 <= event.offset <= len(data)
    assert len(parser._tail) <= MAX_LINE


@given(consoles)
def test_each_event_stands_on_a_byte_of_the_console(data: bytes) -> None:
    assert all(0 <= event.offset <= len(data) for event in read([data]))


@given(consoles)
def test_closing_twice_adds_nothing(data: bytes) -> None:
    parser = ConsoleParser()
    parser.feed(data)
    parser.close()
    assert parser.close() == []


@pytest.mark.parametrize("pattern", PATTERNS, ids=[pattern.name for pattern in PATTERNS])
@settings(max_examples=settings().max_examples // 3)
@given(st.data())
def test_whatever_a_pattern_matches_holds_its_needle(pattern: Pattern, data: st.DataObject) -> None:
    """The parser looks at no line without a needle."""
    assert pattern.needle in data.draw(st.from_regex(pattern.regex))
