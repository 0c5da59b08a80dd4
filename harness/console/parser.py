"""The parser of the console, which returns events as bytes arrive.

The events do not depend on how the bytes are divided. The parser's memory is bounded: it keeps at
most one line of MAX_LINE bytes, one block of lines and the numbers of the report's records, and
returns at most ``eventlimits.MAX_EVENTS`` events of a class.
"""

from __future__ import annotations

from msgspec.structs import replace

from harness.console.activepatterns import (
    Candidates,
    PatternTable,
    active_patterns,
    first_match,
    last_unknown_lines,
)
from harness.console.blocks import Block, PanicHead
from harness.console.blockstart import block_of
from harness.console.eventlimits import EventLimits
from harness.console.events import (
    Backtrace,
    DebuggerPrompt,
    DebuggerResumed,
    Event,
    FileLoading,
    FirmwareStarted,
    KernelEntered,
    KernelStarted,
    KernelWarning,
    LineCutShort,
    LoaderStarted,
    MessagesBegin,
    Panic,
    ParseFailed,
    ProbeRecord,
    SanitizerFinding,
    SanitizerReport,
)
from harness.console.lines import LINE_END, split_line, without_prefix
from harness.console.pattern import Match, Name, Pattern, Prompt, clip
from harness.console.patterns import PATTERNS, PROMPTS
from harness.console.probe import ReportReader
from harness.console.search import Search
from harness.sanitizers import with_report

MAX_LINE = 64 * 1024
"""Maximum length of a line in bytes; the rest of a longer line is skipped."""

_RECENT = 1024  # bytes kept for the lines before a panic
_KERNEL_OUTPUT = frozenset({MessagesBegin, KernelStarted, ProbeRecord, Panic})
_IN_KERNEL = frozenset({KernelEntered, *_KERNEL_OUTPUT})
_IN_LOADER = frozenset({FirmwareStarted, LoaderStarted, FileLoading})
_NEVER_SPENT = frozenset({*_IN_LOADER, KernelEntered, MessagesBegin, KernelStarted, Backtrace})
_LONGEST_PROMPT = max(len(prompt.text) for prompt in PROMPTS)
_CONTINUE = frozenset({b"c", b"cont", b"continue"})  # sys/ddb/db_command.c, db_cmds[]
_PROMPT_TEXTS = tuple(prompt.text.encode() for prompt in PROMPTS)


class ConsoleParser:
    """Parses the console of one guest, from its first byte.

    Args:
        patterns: the patterns to search for.
    """

    def __init__(self, patterns: tuple[Pattern, ...] = PATTERNS) -> None:
        self._table = PatternTable(patterns)
        self._needles = self._table.needles()
        self._tail = bytearray()  # the unfinished line, up to MAX_LINE
        self._tail_length = 0  # its full length
        self._tail_offset = 0
        self._prompted: Prompt | None = None  # the prompt of the unfinished line, if returned
        self._recent = b""  # the bytes before the lines being read
        self._before: tuple[bytes, int] = (b"", 0)  # the lines, and the start of the current one
        self._before_kernel = True
        self._in_loader = False
        self._block: Block | None = None
        self._block_pattern = Name.PANIC  # the pattern that opened it
        self._before_panic = b""
        self._misses = 0
        self._report = ReportReader()
        self._limits = EventLimits()
        self._spent: frozenset[str] = frozenset()  # patterns whose events are dropped
        self._candidates: Candidates | None = None  # patterns that the current line can match
        self._choose_patterns()
        self._events: list[Event] = []

    def feed(self, data: bytes) -> list[Event]:
        """Return the events of the next bytes: those of complete lines, and of a prompt."""
        for start in range(0, len(data), MAX_LINE):
            self._feed_slice(data[start : start + MAX_LINE])
        return self._take_events()

    def close(self) -> list[Event]:
        """Return the events of an unfinished line and an unfinished block, at the console's end."""
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
        whole = data[start:end]
        self._whole_lines(whole, self._tail_offset)
        self._remember(whole)
        self._tail_offset += end - start
        self._extend_tail(data[end:])

    def _extend_tail(self, data: bytes) -> None:
        self._tail += data[: MAX_LINE - len(self._tail)]
        self._tail_length += len(data)
        if self._tail and self._prompted is None:
            self._prompted = self._prompt_of(bytes(self._tail[:_LONGEST_PROMPT]))
            if self._prompted:
                self._prompt(self._prompted, self._tail_offset)

    def _end_tail(self) -> None:
        length, prompted = self._tail_length, self._prompted
        raw, offset = bytes(self._tail), self._tail_offset
        self._tail.clear()
        self._tail_length, self._tail_offset, self._prompted = 0, offset + length, None
        self._before = b"", 0
        self._line(raw, offset, prompted=prompted)
        self._remember(raw + b"\n")
        if length > len(raw):
            self._emit(LineCutShort(offset, length))

    def _remember(self, data: bytes) -> None:
        self._recent = (self._recent + data[-_RECENT:])[-_RECENT:]

    def _whole_lines(self, data: bytes, base: int) -> None:
        search = Search(data, self._needles)
        position = 0
        while True:
            wanted, every = self._wanted, self._block is not None
            next_line = search.line(position, wanted.behind, every=every)
            if next_line is None:
                return
            position, after, found = next_line
            line = data[position:after]
            candidates = None if found is None else wanted.candidates(found)
            repeats = data.startswith(line, after)
            known = self._known(line, candidates)
            if known == ():
                position = self._past_repeats(data, line, after, base) if repeats else after
                continue
            state = self._state() if repeats else None
            self._before, self._candidates = (data, position), candidates
            self._line(line[:-1], base + position, known=known)
            self._candidates = None
            position = after
            if repeats and self._state() == state:
                position = self._past_repeats(data, line, position, base)

    def _known(
        self, line: bytes, candidates: Candidates | None
    ) -> tuple[Pattern, Match] | tuple[()] | None:
        """Return the pattern of a line, () if no pattern matches, None if that is not decided.

        It is not decided for a line with a prompt, a prefix or control characters, or in a block.
        """
        if self._block is not None or candidates is None or line.startswith(_PROMPT_TEXTS):
            return None
        text = line[:-1].decode("utf-8", "replace")
        return (first_match(text, candidates) or ()) if without_prefix(text) is text else None

    def _past_repeats(self, data: bytes, line: bytes, position: int, base: int) -> int:
        """Return the end of the copies of a line that did not change the parser's state."""
        last = position - len(line)
        while data.startswith(line, position):
            last, position = position, position + len(line)
        if self._block is not None:
            self._block.offset = base + last
        return position

    def _state(self) -> tuple[object, ...]:
        """Return the state that a line can change; unequal to all others while a block is open."""
        block = self._block
        if block is not None and not block.is_empty:
            return (object(),)
        opened = (type(block), getattr(block, "origin", None), getattr(block, "thread", None))
        silent = len(self._events), len(self._spent), self._before_kernel, self._in_loader
        return (*opened, self._misses, *silent)

    def _line(
        self,
        raw: bytes,
        offset: int,
        *,
        prompted: Prompt | None = None,
        known: tuple[Pattern, Match] | tuple[()] | None = None,
    ) -> None:
        """Read a line; an exception becomes an event, and the next line is read."""
        try:
            if known:
                self._found(*known, known[1].string, offset)
            else:
                self._read_line(raw, offset, prompted=prompted)
        except Exception as error:  # the console is untrusted input, and a verdict must not be lost
            self._block = None
            text = clip(raw[:_RECENT].decode("utf-8", "replace"))
            self._emit(ParseFailed(offset, type(error).__name__, text))

    def _read_line(self, raw: bytes, offset: int, *, prompted: Prompt | None) -> None:
        """Read a line, which may have ended a prompt."""
        prompt = prompted or self._prompt_of(raw)
        if prompt:
            if prompted is None:
                self._prompt(prompt, offset)
            raw, offset = raw[len(prompt.text) :], offset + len(prompt.text)
            if prompt.build is DebuggerPrompt and raw.strip() in _CONTINUE:
                self._emit(DebuggerResumed(offset))
        lines = (
            split_line(raw, offset)
            if self._candidates is None
            else ((raw.decode("utf-8", "replace"), offset),)
        )
        for text, start in lines:
            if not text or text.isspace():
                continue
            plain = without_prefix(text)
            if plain is not text:
                plain = self._behind_prompt(plain, start)
            self._text(plain, start)

    def _behind_prompt(self, text: str, offset: int) -> str:
        prompt = self._prompt_of(text[:_LONGEST_PROMPT].encode())
        if not prompt:
            return text
        self._prompt(prompt, offset)
        return text[len(prompt.text) :]

    def _prompt_of(self, raw: bytes) -> Prompt | None:
        if not raw.startswith(_PROMPT_TEXTS):
            return None
        for prompt in PROMPTS:
            due = self._before_kernel or not prompt.before_kernel_only
            if due and raw.startswith(prompt.text.encode()):
                return prompt
        return None

    def _prompt(self, prompt: Prompt, offset: int) -> None:
        self._end_block()
        event = prompt.build(offset)
        self._emit(event)
        if self._limits.is_reached(type(event)) and prompt.text not in self._spent:
            self._spent |= {prompt.text}
            self._choose_patterns()

    # From lines to events

    def _text(self, text: str, offset: int) -> None:
        block = self._block
        if block and block.accept(text, offset):
            self._misses = 0
            if block.done:
                self._end_block()
            return
        known = self._match(text, offset)
        if block and self._block is block:
            if not known:
                block.on_unknown_line(text)
            self._misses += 1
            if self._misses >= block.patience:
                self._end_block(lost_patience=True)

    def _match(self, text: str, offset: int) -> bool:
        candidates = self._wanted.patterns if self._candidates is None else self._candidates
        found = first_match(text, candidates)
        if found is not None:
            self._found(*found, text, offset)
        return found is not None

    def _found(self, pattern: Pattern, found: Match, text: str, offset: int) -> None:
        if pattern.name is Name.PROBE_LINE:
            for event in self._report.read(text, offset):
                self._emit(event)
        elif pattern.build:
            if pattern.ends_failure:
                self._precede(pattern.name)
                self._end_block()
            if pattern.emits and self._limits.is_reached(pattern.emits):
                self._follow(pattern.emits)
                return
            event = pattern.build(offset, found)
            if isinstance(event, SanitizerFinding) and self._limits.is_repeated(event):
                return
            self._emit(event)
            self._spend(pattern.name, event)
        else:
            self._open_block(pattern.name, found, text, offset)

    def _spend(self, name: Name, event: Event) -> None:
        """Stop searching for patterns whose events are dropped, unless they show the boot stage."""
        kind = type(event)
        if self._limits.is_reached(kind) and kind not in _NEVER_SPENT:
            alike = {each.name for each in self._table.patterns if each.emits is kind}
            self._spent |= {name, *alike}
            self._choose_patterns()

    def _open_block(self, name: Name, found: Match, text: str, offset: int) -> None:
        block = self._new_block(name, found, offset)
        if name in _FIRST_LINES and not block.accept(text, offset):
            return  # a mixed line
        self._precede(name)
        self._end_block()
        if name is Name.SANITIZER_REPORT:
            message = clip(found["message"])
            if sanitizer := with_report(message):
                self._emit(SanitizerReport(offset, sanitizer.name, message))
        self._block, self._block_pattern = block, name
        if name is Name.PANIC:
            self._before_panic = self._bytes_before()
        self._misses = 0

    def _new_block(self, name: Name, found: Match, offset: int) -> Block:
        if name is not Name.PANIC:
            return block_of(name, found, offset)
        starts_line = not found.string[: found.start()].strip()
        return PanicHead(offset, clip(found["message"]), starts_line, self._in_loader)

    def _bytes_before(self) -> bytes:
        lines, position = self._before
        return (self._recent + lines[max(0, position - _RECENT) : position])[-_RECENT:]

    def _precede(self, name: Name) -> None:
        if self._block:
            self._block.on_next_pattern(name)

    def _end_block(self, *, lost_patience: bool = False) -> None:
        block, self._block = self._block, None
        event = block.finish(lost_patience=lost_patience) if block else None
        if event is None:
            return
        if isinstance(event, Panic):
            lines = last_unknown_lines(self._before_panic, self._wanted.patterns)
            event = replace(event, before=lines)
        self._emit(event)
        if not isinstance(event, KernelWarning):  # not for a panic that became a warning
            self._spend(self._block_pattern, event)

    def _emit(self, event: Event) -> None:
        self._follow(type(event))
        self._events += self._limits.counted(event)

    def _follow(self, kind: type[Event]) -> None:
        """Track whether the firmware, the loader or the kernel prints."""
        if self._block:
            self._block.on_event(kind)
        was = self._before_kernel
        if kind is FirmwareStarted:
            self._before_kernel = True
        elif kind in _IN_KERNEL:
            self._before_kernel = False
        if kind in _IN_LOADER:
            self._in_loader = self._in_loader or self._before_kernel
        elif kind in _KERNEL_OUTPUT:
            self._in_loader = False
        if was is not self._before_kernel:
            self._choose_patterns()

    def _choose_patterns(self) -> None:
        """Choose the patterns to search for from now on."""
        self._wanted = active_patterns(self._table, self._spent, before_kernel=self._before_kernel)
        self._candidates = None


_FIRST_LINES = frozenset({Name.FRAME, Name.STACK_FRAME, Name.KERNEL_ENTRY})
"""Patterns whose own line is part of the block that they open."""
