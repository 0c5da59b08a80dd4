"""Backtraces, in DDB's format and in stack(9)'s.

A frame is a whole line. Lines that are mixed with another CPU's output are ignored, as are frames
whose two names differ (``vpanic() at panic+0x1``), which are two mixed lines. Arm's are an
exception: the second name is the caller's, and a line of registers follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import ClassVar

from harness.arch import TABLE
from harness.console.blocks import Block, first_match
from harness.console.eventkinds import TraceOrigin
from harness.console.events import UNKNOWN_FUNCTION, Backtrace, Event, Frame

MAX_FRAMES = 256
"""The innermost frames that a backtrace keeps; the kernel prints up to 65535."""

_FUNCTION = r"[A-Za-z_.$][\w.$]{0,254}"
# sys/*/*/db_trace.c, db_print_stack_entry(); i386 prints arguments
_FRAME = re.compile(
    rf"^(?P<name>{_FUNCTION}|\?\?)\([0-9a-f,]{{0,255}}\) at "
    rf"(?:0x(?P<pc>[0-9a-f]{{1,16}})|(?P<zero>0)"
    rf"|(?P<function>{_FUNCTION})(?:\+{{1,2}}0x(?P<offset>[0-9a-f]{{1,16}}))?)"
    r"(?: \[[^\]]{0,255}\])?(?:/frame 0x(?P<frame>[0-9a-f]{1,16}))?\s*$",
    re.ASCII,
)
# sys/kern/subr_stack.c, stack_print_ddb()
_STACK_FRAME = re.compile(
    rf"^#(?P<depth>\d{{1,4}}) 0x(?P<pc>[0-9a-f]{{16}}|[0-9a-f]{{8}}) at "
    rf"(?P<function>{_FUNCTION}|\?\?)\+(?P<offset>0x[0-9a-f]{{1,16}}|0)\s*$",
    re.ASCII,
)
# sys/powerpc/powerpc/db_trace.c, db_backtrace(): the stack pointer, and the caller or the trap
_POWERPC_FRAME = re.compile(
    r"^0x(?P<frame>[0-9a-f]{16}|[0-9a-f]{8}): "
    r"(?:at |(?P<entry>(?:kernel|user) [^:]{0,16}trap[^:]{0,64}?) (?:by )?)"
    rf"(?:(?P<function>{_FUNCTION})(?:\+0x(?P<offset>[0-9a-f]{{1,16}}))?|-?0x(?P<pc>[0-9a-f]{{1,16}}))"
    r"(?:\([^)]{0,255}\))?(?:: srr1=0x[0-9a-f]{1,16})?\s*$",
    re.ASCII,
)
# sys/arm64/arm64/db_trace.c and sys/arm/arm/db_trace.c of 13: lines of registers after the frame's
_ARM_REGISTERS = re.compile(
    r"^\s{1,12}(?:pc = 0x(?P<pc>[0-9a-f]{1,16})  lr = 0x|(?:sp = 0x|r\d{1,2} = 0x))", re.ASCII
)
_POWERPC_REGISTERS = re.compile(r"^ {2,12}r1=0x[0-9a-f]{1,16} cr=", re.ASCII)
_KERNEL_ENTRIES = tuple(re.compile(row.console.entry, re.ASCII) for row in TABLE)
_FIRST = frozenset({"db_trace_self", "db_trace_self_wrapper", "kdb_backtrace"})
"""The innermost functions of a backtrace that its own thread prints."""


@dataclass(frozen=True, slots=True)
class _ArmFrame:
    """A line that is a frame if registers follow; ``caller`` is the second name, and its offset."""

    name: str
    caller: tuple[str, int]
    offset: int


@dataclass(slots=True)
class FrameList(Block):
    """The frames of a backtrace; ``offset`` is that of the line that announces them."""

    patience: ClassVar[int] = 32

    origin: TraceOrigin = TraceOrigin.NONE
    thread: int | None = None
    frames: list[Frame] = field(default_factory=list, init=False)
    _first: int = field(default=0, init=False)
    _entry: str = field(default="", init=False)
    _entry_pc: int | None = field(default=None, init=False)
    _unproven: _ArmFrame | None = field(default=None, init=False)
    _caller: tuple[str, int] = field(default=("", 0), init=False)  # the next frame's place, on Arm

    def accept(self, text: str, offset: int) -> bool:
        """Accept frames, and lines that show how the kernel was entered."""
        if " at " not in text and not text.startswith(("---", "0x")):
            return self._registers(text, offset)
        if found := first_match(_KERNEL_ENTRIES, text):
            self._entry, self._entry_pc = found["entry"], int(found["pc"], 16)
            # a system call or the start of a thread is the outermost frame of the kernel
            started = self._entry_pc == 0 and int(found["sp"], 16) == 0
            self.done = started or self._entry.startswith("syscall")
            return True
        frame = parse_frame(text)
        if frame is None:
            self._unproven = _arm_frame(text, offset)
            return False
        if self._starts_another(text, frame):
            return False
        self._add(frame, offset)
        return True

    def _registers(self, text: str, offset: int) -> bool:
        """Accept a line of registers, which proves that Arm's frame before it is one."""
        if _POWERPC_REGISTERS.match(text):
            return True
        found = _ARM_REGISTERS.match(text)
        unproven, self._unproven = self._unproven, None
        if found is None or not (unproven or self.frames):
            return False
        if unproven and found["pc"]:
            name, place = self._caller
            inside = place if name == unproven.name else 0
            frame = Frame(unproven.name, inside, None, int(found["pc"], 16))
            self._add(frame, unproven.offset)
            self._caller = unproven.caller
        return True

    def _add(self, frame: Frame, offset: int) -> None:
        if not self.frames:
            self._first = offset
        if len(self.frames) < MAX_FRAMES:
            pc = frame.pc if self._entry_pc is None else self._entry_pc
            self.frames.append(replace(frame, entry=self._entry, pc=pc))
        self._entry, self._entry_pc = "", None

    def _starts_another(self, text: str, frame: Frame) -> bool:
        """Return whether a frame starts another backtrace, whose first line is lost."""
        return bool(self.frames) and (text.startswith("#0 ") or _begins(self.frames[-1], frame))

    @property
    def is_empty(self) -> bool:
        """Whether there are no frames, nor a line that shows how the kernel was entered."""
        return not self.frames and self._entry_pc is None and self._unproven is None

    def finish(self, *, lost_patience: bool) -> Event | None:
        """Return the backtrace, or None without frames."""
        if not self.frames:
            return None
        return Backtrace(
            self._first, tuple(self.frames), self.origin, self.thread, announced=self.offset
        )


def _arm_frame(text: str, offset: int) -> _ArmFrame | None:
    found = _FRAME.match(text)
    if found is None:
        return None
    return _ArmFrame(found["name"], (found["function"], int(found["offset"], 16)), offset)


def _begins(last: Frame, frame: Frame) -> bool:
    return frame.function in _FIRST and last.function not in _FIRST


def parse_frame(text: str) -> Frame | None:
    """Return a frame in DDB's formats or in stack(9)'s; None if the line is not exactly a frame."""
    if found := _FRAME.match(text):
        function = found["function"]
        if function is None:
            pc = int(found["pc"] or "0", 16)
            return Frame(found["name"], 0, _number(found["frame"]), pc)
        if function != found["name"] and found["offset"]:
            return None
        return Frame(function, _number(found["offset"]) or 0, _number(found["frame"]))
    if found := _STACK_FRAME.match(text):
        return Frame(found["function"], int(found["offset"], 16), None, int(found["pc"], 16))
    if found := _POWERPC_FRAME.match(text):
        return _powerpc_frame(found)
    return None


def _powerpc_frame(found: re.Match[str]) -> Frame:
    pointer, entry = int(found["frame"], 16), found["entry"] or ""
    if found["function"] is None:
        return Frame(UNKNOWN_FUNCTION, 0, pointer, _number(found["pc"]), entry)
    return Frame(found["function"], _number(found["offset"]) or 0, pointer, None, entry)


def _number(digits: str | None) -> int | None:
    return int(digits, 16) if digits else None
