"""Real consoles, as raw bytes, with the events expected of each in the file beside it.

To add one: put its bytes in ``NAME.console``, run ``pytest tests/golden --rewrite-golden``, read
``NAME.events`` and add the verdict to the table below.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from harness.console.events import Backtrace, Event
from harness.console.parser import ConsoleParser
from harness.outcome import Ending, Outcome, Until
from harness.verdict import judge

HERE = Path(__file__).parent
CONSOLES = sorted(HERE.glob("*.console"))
NAMES = [path.stem for path in CONSOLES]

VERDICTS = {
    "13.2-kasan-numa2-before.panic": (
        Until.INIT,
        Ending.RESET,
        Outcome.PANIC,
        "vm_map_entry_create: kernel resources exhausted",
    ),
    "13.2-kasan-numa4-before.panic": (
        Until.INIT,
        Ending.RESET,
        Outcome.PANIC,
        "vm_map_entry_create: kernel resources exhausted",
    ),
    "13.2-kasan-numa2-after.init": (
        Until.MOUNTROOT,
        Ending.EXITED,
        Outcome.BOOTED,
        "booted to mountroot",
    ),
    "13.2-kasan-numa2-after.verbose-mountroot": (
        Until.INIT,
        Ending.STOPPED,
        Outcome.HANG,
        "no root was mounted",
    ),
    "13.2-kasan-numa4-after.mountroot": (
        Until.INIT,
        Ending.STOPPED,
        Outcome.HANG,
        "no root was mounted",
    ),
    "15.1-kmsan-numa2-after.cut-short": (
        Until.INIT,
        Ending.SILENCE,
        Outcome.HANG,
        "silent in the devices stage",
    ),
    "15.1-kmsan-numa2.msan-panic": (
        Until.INIT,
        Ending.RESET,
        Outcome.KMSAN,
        "MSan: uninitialized variable in statclock",
    ),
}


def read_at_once(data: bytes) -> list[Event]:
    parser = ConsoleParser()
    return parser.feed(data) + parser.close()


def rendered(events: Iterable[Event]) -> str:
    return "".join(f"{line}\n" for event in events for line in rendered_event(event))


def rendered_event(event: Event) -> Iterator[str]:
    if isinstance(event, Backtrace):
        yield f"{event.offset} Backtrace"
        for frame in event.frames:
            pointer = f" frame={frame.frame_pointer:#x}" if frame.frame_pointer else ""
            pc = f" pc={frame.pc:#x}" if frame.pc is not None else ""
            entry = f" after {frame.entry}" if frame.entry else ""
            yield f"    {frame.function}+{frame.symbol_offset:#x}{pointer}{pc}{entry}"
        return
    fields = (f for f in dataclasses.fields(event) if f.name != "offset")
    values = " ".join(f"{field.name}={getattr(event, field.name)!r}" for field in fields)
    yield f"{event.offset} {type(event).__name__} {values}".rstrip()


@pytest.mark.parametrize("path", CONSOLES, ids=NAMES)
def test_console_gives_the_expected_events(path: Path, rewrite_golden: bool) -> None:
    expected = path.with_suffix(".events")
    actual = rendered(read_at_once(path.read_bytes()))
    if rewrite_golden:
        expected.write_text(actual)
    assert actual == expected.read_text()


@pytest.mark.parametrize("path", CONSOLES, ids=NAMES)
def test_console_cut_in_two_at_any_byte_gives_the_same_events(path: Path) -> None:
    data = path.read_bytes()
    expected = read_at_once(data)
    before = ConsoleParser()
    events_before: list[Event] = []
    for cut in range(len(data) + 1):
        after = copy.deepcopy(before)
        events = events_before + after.feed(data[cut:]) + after.close()
        assert events == expected, f"cut at byte {cut}"
        events_before += before.feed(data[cut : cut + 1])


@pytest.mark.parametrize("path", CONSOLES, ids=NAMES)
def test_start_of_a_console_fed_at_once_or_byte_by_byte_leaves_the_parser_alike(
    path: Path,
) -> None:
    """With the test above: it does not matter how the part before the cut came either."""
    data = path.read_bytes()
    slow = ConsoleParser()
    events: list[Event] = []
    for cut in range(1, len(data) + 1):
        events += slow.feed(data[cut - 1 : cut])
        if cut % 97 == 0 or cut == len(data):
            fast = ConsoleParser()
            assert fast.feed(data[:cut]) == events, f"up to byte {cut}"
            assert fast.close() == copy.deepcopy(slow).close(), f"up to byte {cut}"


@pytest.mark.parametrize("path", CONSOLES, ids=NAMES)
def test_console_has_the_expected_verdict(path: Path) -> None:
    until, ending, outcome, title = VERDICTS[path.stem]
    verdict = judge(read_at_once(path.read_bytes()), ending, until)
    assert (verdict.outcome, verdict.title) == (outcome, title)
    assert verdict.kernel_entered
    assert not verdict.blames_host


def test_each_golden_console_has_its_events_and_its_verdict() -> None:
    assert sorted(VERDICTS) == NAMES
    assert sorted(path.stem for path in HERE.glob("*.events")) == NAMES
