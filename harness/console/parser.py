"""Console bytes to events, while they arrive.

The events are the same however the bytes are cut. Whatever arrives, the parser keeps at most one
line of MAX_LINE bytes, one block of lines and the numbers of the report's records, and lets at
most MAX_EVENTS of a kind through.
"""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heapreplace

from harness.console.blocks import Block, LockOrder, PanicHead, Trace, TrapTable, Version
from harness.console.events import (
    Event,
    EventsDropped,
    FatalTrap,
    FirmwareStarted,
    KernelEntered,
    KernelStarted,
    LineCutShort,
    MessagesBegin,
    Panic,
    ProbeRecord,
    SanitizerReport,
)
from harness.console.lines import CONTROL, LINE_END, split_line
from harness.console.pattern import Match, Name, Pattern, Prompt, clip, detector_of
from harness.console.patterns import PATTERNS, PROMPTS
from harness.console.probe import ReportReader

MAX_LINE = 64 * 1024
"""Bytes kept of a line; the rest of a longer one is skipped."""

MAX_EVENTS = 256
"""Events of one kind; the report's records have their own bound, their four-digit number."""

DOUBLE_FAULT = 23
"""T_DOUBLEFLT of sys/x86/include/trap.h; its message does not give the number."""

_IN_KERNEL = (KernelEntered, MessagesBegin, KernelStarted, ProbeRecord, Panic)
_UNLIMITED = (ProbeRecord, EventsDropped)
_LONGEST_PROMPT = max(len(prompt.text) for prompt in PROMPTS)


def _needles(*, before_kernel: bool) -> tuple[bytes, ...]:
    patterns = {p.needle for p in PATTERNS if before_kernel or not p.before_kernel_only}
    prompts = {p.text for p in PROMPTS if before_kernel or not p.before_kernel_only}
    return tuple(sorted(needle.encode() for needle in patterns | prompts))


_NEEDLES_BEFORE_KERNEL = _needles(before_kernel=True)
_NEEDLES_IN_KERNEL = _needles(before_kernel=False)


class ConsoleParser:
    """Reads one guest's console from its first byte on."""

    def __init__(self) -> None:
        self._tail = bytearray()  # the unfinished line, as far as it is kept
        self._tail_length = 0  # and its whole length
        self._tail_offset = 0
        self._prompted = False  # the unfinished line's prompt has been told
        self._before_kernel = True
        self._block: Block | None = None
        self._misses = 0
        self._report = ReportReader()
        self._told: Counter[str] = Counter()
        self._events: list[Event] = []

    def feed(self, data: bytes) -> list[Event]:
        """Takes the next bytes; the events of the lines they end, and of a prompt they show."""
        for start in range(0, len(data), MAX_LINE):
            self._feed_slice(data[start : start + MAX_LINE])
        return self._take_events()

    def close(self) -> list[Event]:
        """The console has ended: the events of an unfinished line and of an unfinished block."""
        self._end_tail()
        self._end_block()
        return self._take_events()

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # From bytes to lines

    def _feed_slice(self, data: bytes) -> None:
        first = LINE_END.search(data)
        if first is None:
            self._extend_tail(data)
            return
        start = 0
        if self._tail_length:
            self._extend_tail(data[: first.start()])
            self._end_tail()
            self._tail_offset += 1
            start = first.end()
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        self._whole_lines(data[start:end], self._tail_offset)
        self._tail_offset += end - start
        self._extend_tail(data[end:])

    def _extend_tail(self, data: bytes) -> None:
        self._tail += data[: MAX_LINE - len(self._tail)]
        self._tail_length += len(data)
        if self._tail and not self._prompted:
            prompt = self._prompt_of(bytes(self._tail[:_LONGEST_PROMPT]))
            if prompt:
                self._prompted = True
                self._prompt(prompt, self._tail_offset)

    def _end_tail(self) -> None:
        length, prompted = self._tail_length, self._prompted
        raw, offset = bytes(self._tail), self._tail_offset
        self._tail.clear()
        self._tail_length, self._tail_offset, self._prompted = 0, offset + length, False
        self._line(raw, offset, prompted=prompted)
        if length > len(raw):
            self._emit(LineCutShort(offset, length))

    def _whole_lines(self, data: bytes, base: int) -> None:
        search = _Search(data)
        position = 0
        while position < len(data):
            if self._block is None:
                needles = _NEEDLES_BEFORE_KERNEL if self._before_kernel else _NEEDLES_IN_KERNEL
                position = search.next_line(position, needles)
            end = LINE_END.search(data, position)
            if end is None:
                return
            self._line(data[position : end.start()], base + position, prompted=False)
            position = end.end()

    def _line(self, raw: bytes, offset: int, *, prompted: bool) -> None:
        prompt = self._prompt_of(raw)
        if prompt:
            if not prompted:
                self._prompt(prompt, offset)
            raw, offset = raw[len(prompt.text) :], offset + len(prompt.text)
        for text, start in split_line(raw, offset):
            if text and not text.isspace():
                self._text(text, start)

    def _prompt_of(self, raw: bytes) -> Prompt | None:
        for prompt in PROMPTS:
            due = self._before_kernel or not prompt.before_kernel_only
            if due and raw.startswith(prompt.text.encode()):
                return prompt
        return None

    def _prompt(self, prompt: Prompt, offset: int) -> None:
        self._end_block()
        self._emit(prompt.build(offset))

    # From lines to events

    def _text(self, text: str, offset: int) -> None:
        block = self._block
        if block and block.take(text, offset):
            self._misses = 0
            if block.done:
                self._end_block()
            return
        self._match(text, offset)
        if block and self._block is block:
            self._misses += 1
            if self._misses >= block.patience:
                self._end_block(lost_patience=True)

    def _match(self, text: str, offset: int) -> None:
        for pattern in PATTERNS:
            if pattern.needle not in text or (
                pattern.before_kernel_only and not self._before_kernel
            ):
                continue
            found = pattern.regex.search(text)
            if found:
                self._found(pattern, found, text, offset)
                return

    def _found(self, pattern: Pattern, found: Match, text: str, offset: int) -> None:
        if pattern.name is Name.PROBE_LINE:
            for event in self._report.read(text, offset):
                self._emit(event)
        elif pattern.build:
            if pattern.ends_trouble:
                self._end_block()
            self._emit(pattern.build(offset, found))
        else:
            self._open_block(pattern.name, found, offset)

    def _open_block(self, name: Name, found: Match, offset: int) -> None:
        self._end_block()
        if name is Name.SANITIZER_REPORT:
            message = clip(found["message"])
            detector = detector_of(message)
            if detector:
                self._emit(SanitizerReport(offset, detector, message))
        self._block = _block(name, found, offset)
        self._misses = 0

    def _end_block(self, *, lost_patience: bool = False) -> None:
        block, self._block = self._block, None
        event = block.finish(lost_patience=lost_patience) if block else None
        if event:
            self._emit(event)

    def _emit(self, event: Event) -> None:
        if self._block:
            self._block.hear(event)
        if isinstance(event, FirmwareStarted):
            self._before_kernel = True
        elif isinstance(event, _IN_KERNEL):
            self._before_kernel = False
        kind = type(event).__name__
        if not isinstance(event, _UNLIMITED):
            self._told[kind] += 1
            if self._told[kind] > MAX_EVENTS:
                if self._told[kind] == MAX_EVENTS + 1:
                    self._events.append(EventsDropped(event.offset, kind))
                return
        self._events.append(event)


def _block(name: Name, found: Match, offset: int) -> Block:
    match name:
        case Name.PANIC:
            return PanicHead(offset, clip(found["message"]))
        case Name.FATAL_TRAP:
            trap = FatalTrap(offset, int(found["number"]), found["name"], found["mode"])
            return TrapTable(offset, trap)
        case Name.FATAL_DOUBLE_FAULT:
            return TrapTable(offset, FatalTrap(offset, DOUBLE_FAULT, "double fault", "kernel"))
        case Name.LOCK_ORDER_REVERSAL:
            return LockOrder(offset, clip(found["text"]))
        case Name.KERNEL_STARTED:
            return Version(offset, found["release"], clip(found["version"]))
        case _:
            return Trace(offset)


class _Search:
    """Finds the lines worth reading in ``data``; looks for each needle once over all of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._control = -1
        self._needles: tuple[bytes, ...] = ()
        self._next: list[tuple[int, bytes]] = []  # a heap: where each needle stands next

    def next_line(self, position: int, needles: tuple[bytes, ...]) -> int:
        """Where the next line begins, at or after ``position``, that holds a needle or a control
        character; the length of the data if there is none. ``position`` begins a line.
        """
        hit = min(self._next_control(position), self._next_needle(position, needles))
        if hit == len(self._data):
            return hit
        before = self._data.rfind(b"\n", position, hit), self._data.rfind(b"\r", position, hit)
        return max(position, *(end + 1 for end in before))

    def _next_needle(self, position: int, needles: tuple[bytes, ...]) -> int:
        if needles is not self._needles:
            self._needles, self._next = needles, [(-1, needle) for needle in needles]
        while self._next and self._next[0][0] < position:
            needle = self._next[0][1]
            at = self._data.find(needle, position)
            if at < 0:
                heappop(self._next)
            else:
                heapreplace(self._next, (at, needle))
        return self._next[0][0] if self._next else len(self._data)

    def _next_control(self, position: int) -> int:
        if self._control < position:
            found = CONTROL.search(self._data, position)
            self._control = found.start() if found else len(self._data)
        return self._control
