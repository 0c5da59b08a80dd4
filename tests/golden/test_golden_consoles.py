"""Consoles as raw bytes, with the verdict expected of each in its header and the events in the
file beside it. Those named after a release are real, the others are made after public reports
and after the kernel's sources.

To add one: put its bytes in ``NAME.console``, run ``pytest tests/golden --rewrite-golden`` and
read what it wrote.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import pytest
from corpus import (
    CONSOLES,
    GIVEN,
    HERE,
    NAMES,
    Golden,
    event_fields,
    read_at_once,
    told,
)

from harness.console.events import Backtrace, Event
from harness.console.parser import ConsoleParser

EACH = pytest.mark.parametrize("golden", CONSOLES, ids=NAMES)


def rendered(events: Iterable[Event]) -> str:
    return "".join(f"{line}\n" for event in events for line in rendered_event(event))


def rendered_event(event: Event) -> Iterator[str]:
    if isinstance(event, Backtrace):
        thread = f" thread={event.thread}" if event.thread is not None else ""
        yield f"{event.offset} Backtrace origin={event.origin.value}{thread}"
        for frame in event.frames:
            pointer = f" frame={frame.frame_pointer:#x}" if frame.frame_pointer else ""
            pc = f" pc={frame.pc:#x}" if frame.pc is not None else ""
            entry = f" after {frame.entry}" if frame.entry else ""
            yield f"    {frame.function}+{frame.symbol_offset:#x}{pointer}{pc}{entry}"
        return
    yield f"{event.offset} {type(event).__name__} {event_fields(event)}".rstrip()


@EACH
def test_console_gives_the_expected_events(golden: Golden, rewrite_golden: bool) -> None:
    actual = rendered(read_at_once(golden.data))
    if rewrite_golden:
        golden.events_path.write_text(actual)
    assert actual == golden.events_path.read_text()


@EACH
def test_console_has_the_verdict_of_its_header(golden: Golden, rewrite_golden: bool) -> None:
    verdict = golden.verdict(read_at_once(golden.data))
    if rewrite_golden:
        golden.rewrite(verdict)
        return
    expected = {key: value for key, value in golden.header.items() if key not in GIVEN}
    assert told(verdict) == expected


@EACH
def test_console_cut_in_two_gives_the_same_events(
    golden: Golden, pytestconfig: pytest.Config
) -> None:
    stride = golden.stride(long=pytestconfig.getoption("long"))
    expected = read_at_once(golden.data)
    before = ConsoleParser()
    events_before: list[Event] = []
    for cut in range(0, len(golden.data) + 1, stride):
        after = copy.deepcopy(before)
        events = events_before + after.feed(golden.data[cut:]) + after.close()
        assert events == expected, f"cut at byte {cut}"
        events_before += before.feed(golden.data[cut : cut + stride])


@EACH
def test_start_of_a_console_fed_at_once_or_byte_by_byte_leaves_the_parser_alike(
    golden: Golden,
) -> None:
    """With the test above: it does not matter how the part before the cut came either."""
    data = golden.data
    slow = ConsoleParser()
    events: list[Event] = []
    for cut in range(1, len(data) + 1):
        events += slow.feed(data[cut - 1 : cut])
        if cut % 97 == 0 or cut == len(data):
            fast = ConsoleParser()
            assert fast.feed(data[:cut]) == events, f"up to byte {cut}"
            assert fast.close() == copy.deepcopy(slow).close(), f"up to byte {cut}"


def test_each_golden_console_has_its_events() -> None:
    assert sorted(path.stem for path in HERE.glob("*.events")) == NAMES
    assert len(NAMES) >= 40
