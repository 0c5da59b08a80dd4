"""What goes over several lines: a panic's head, a trap's table, a backtrace and the like.

A block is opened by a pattern and offered each line that follows. Lines it does not take are
other output in between; after as many of them in a row as it has ``patience`` for, it is over.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar

from harness.console.events import (
    UNKNOWN_FUNCTION,
    Backtrace,
    CpusLaunched,
    DeviceScan,
    Event,
    FatalTrap,
    Frame,
    InitStarted,
    KernelStarted,
    KernelWarning,
    LockOrderReversal,
    MountRoot,
    Panic,
    ProbeRecord,
    WarningKind,
)
from harness.console.pattern import clip

MAX_FRAMES = 256
"""A backtrace keeps its innermost frames; the kernel prints up to 65535."""

# of a panic and of a trap; the trap's has "; apic id = 00" after it
_CPU_ID = re.compile(r"cpuid = (?P<cpu>\d{1,5})", re.ASCII)
# sys/kern/kern_shutdown.c vpanic() prints it after every panic
_PANIC_TIME = re.compile(r"^time = \d+\s*$", re.ASCII)
# sys/conf/newvers.sh: the second line of a version, or the end of a reproducible build's only one
_BUILDER = re.compile(
    r"^ +[^@\s]{1,64}@[^:\s]{0,255}:\S{0,1024}/(?P<ident>[\w.-]{1,64}) (?P<machine>\w{1,16})\s*$",
    re.ASCII,
)
_REPRODUCIBLE = re.compile(
    r"^(?!#)(?:.* )?(?P<ident>[\w.-]{1,64}) (?P<machine>\w{1,16})$", re.ASCII
)
# sys/amd64/amd64/trap.c, trap_fatal() and dblfault_handler()
_TRAP_FIELD = re.compile(
    r"^(?P<key>fault virtual address|fault code|instruction pointer|stack pointer|frame pointer"
    r"|code segment|processor eflags|current process|trap number)\s*= (?P<value>.*)$",
    re.ASCII,
)
_TRAP_REGISTERS = re.compile(
    r"^\s*= DPL \d|^(?:rdi|rcx|rax|r10|r13): [0-9a-f]{16} |^r(?:ip|ax|cx|8|11|14) 0x[0-9a-f]+ r",
    re.ASCII,
)
_RIP = re.compile(r"^rip 0x(?P<pc>[0-9a-f]{1,16}) ", re.ASCII)
# sys/kern/subr_witness.c, witness_checkorder()
_LOCK = re.compile(r"^ (?:1st|2nd|3rd) (?:0x[0-9a-f]+ )?(?P<lock>.*)$", re.ASCII)
# sys/amd64/amd64/db_trace.c db_print_stack_entry(), after the "name() at "
_FRAME_PLACE = re.compile(
    r"(?:0x(?P<pc>[0-9a-f]{1,16})"
    r"|(?P<function>[^\s+/\[]{1,255})(?:\+{1,2}0x(?P<offset>[0-9a-f]{1,16}))?)"
    r"(?: \[[^\]]{0,255}\])?(?:/frame 0x(?P<frame>[0-9a-f]{1,16}))?\s*$",
    re.ASCII,
)
_FRAME_MARK = "() at "
# sys/kern/subr_stack.c, stack_print_ddb()
_STACK_FRAME = re.compile(
    r"#(?P<depth>\d{1,4}) 0x(?P<pc>[0-9a-f]{1,16}) at (?P<function>[^\s+]{1,255})"
    r"\+(?:0x)?(?P<offset>[0-9a-f]{1,16})",
    re.ASCII,
)
# sys/amd64/amd64/db_trace.c, db_nextframe()
_KERNEL_ENTRY = re.compile(
    r"--- (?P<entry>trap (?:0x)?[0-9a-f]{1,4}|interrupt|syscall(?: \([^()]{0,80}\))?),"
    r" rip = (?:0x)?(?P<pc>[0-9a-f]{1,16}), rsp",
    re.ASCII,
)


_SIGNS_OF_LIFE = (CpusLaunched, DeviceScan, MountRoot, InitStarted, ProbeRecord)


@dataclass(slots=True)
class Block(ABC):
    """Lines that make one event; ``offset`` is the first one's."""

    patience: ClassVar[int]

    offset: int
    done: bool = field(default=False, init=False)

    @abstractmethod
    def take(self, text: str, offset: int) -> bool:
        """Whether the line belongs here; sets ``done`` when it is the last one."""

    def hear(self, event: Event) -> None:  # noqa: B027
        """Another event came in between."""

    @abstractmethod
    def finish(self, *, lost_patience: bool) -> Event | None:
        """The event, from what came."""


@dataclass(slots=True)
class PanicHead(Block):
    """``panic:``, ``cpuid =``, ``time =``. Any program can print the word panic: without the
    rest, and with the boot going on, it was not the kernel's.
    """

    patience: ClassVar[int] = 16

    message: str
    cpu: int | None = None
    _alive: bool = field(default=False, init=False)

    def take(self, text: str, offset: int) -> bool:
        """See Block."""
        if found := _CPU_ID.match(text):
            self.cpu = int(found["cpu"])
            return True
        self.done = bool(_PANIC_TIME.match(text))
        return self.done

    def hear(self, event: Event) -> None:
        """See Block: vpanic() stops the other CPUs first, so no boot goes on after it."""
        self._alive = self._alive or isinstance(event, _SIGNS_OF_LIFE)

    def finish(self, *, lost_patience: bool) -> Event:
        """See Block."""
        proven = self.done or self.cpu is not None
        if not proven and (lost_patience or self._alive):
            text = f"panic: {self.message}"
            return KernelWarning(self.offset, WarningKind.UNPROVEN_PANIC, text)
        return Panic(self.offset, self.message, self.cpu)


@dataclass(slots=True)
class TrapTable(Block):
    """``Fatal trap`` and the table of ``key = value`` under it."""

    patience: ClassVar[int] = 16

    trap: FatalTrap

    def take(self, text: str, offset: int) -> bool:
        """See Block."""
        if found := _TRAP_FIELD.match(text):
            self._field(found["key"], found["value"])
        elif found := _CPU_ID.match(text):
            self.trap = replace(self.trap, cpu=int(found["cpu"]))
        elif found := _RIP.match(text):
            self.trap = replace(self.trap, instruction_pointer=int(found["pc"], 16))
        else:
            return bool(_TRAP_REGISTERS.match(text))
        return True

    def _field(self, key: str, value: str) -> None:
        match key:
            case "fault virtual address":
                self.trap = replace(self.trap, fault_address=_hex(value))
            case "fault code":
                self.trap = replace(self.trap, fault_code=clip(value))
            case "instruction pointer":
                pointer = _hex(value.partition(":")[2])
                self.trap = replace(self.trap, instruction_pointer=pointer)
            case "current process":
                self.trap = replace(self.trap, process=clip(value))
            case "trap number":
                self.done = True

    def finish(self, *, lost_patience: bool) -> Event:
        """See Block."""
        return self.trap


@dataclass(slots=True)
class Trace(Block):
    """The frames of a backtrace, in either of the kernel's two formats."""

    patience: ClassVar[int] = 32

    frames: list[Frame] = field(default_factory=list, init=False)
    entry: str = field(default="", init=False)
    entry_pc: int | None = field(default=None, init=False)

    def take(self, text: str, offset: int) -> bool:
        """See Block."""
        if found := _KERNEL_ENTRY.search(text):
            self.entry, self.entry_pc = found["entry"], int(found["pc"], 16)
            # nothing of the kernel lies beyond a system call or the start of a thread
            self.done = self.entry_pc == 0 or self.entry.startswith("syscall")
            return True
        frame = parse_frame(text)
        if frame is None:
            return False
        if not self.frames:
            self.offset = offset
        if len(self.frames) < MAX_FRAMES:
            pc = frame.pc if self.entry_pc is None else self.entry_pc
            self.frames.append(replace(frame, entry=self.entry, pc=pc))
        self.entry, self.entry_pc = "", None
        return True

    def finish(self, *, lost_patience: bool) -> Event | None:
        """See Block; nothing where no frame came."""
        return Backtrace(self.offset, tuple(self.frames)) if self.frames else None


@dataclass(slots=True)
class LockOrder(Block):
    """WITNESS' two or three locks."""

    patience: ClassVar[int] = 4

    detail: str
    locks: list[str] = field(default_factory=list, init=False)

    def take(self, text: str, offset: int) -> bool:
        """See Block."""
        found = _LOCK.match(text)
        if found and len(self.locks) < 3:
            self.locks.append(clip(found["lock"]))
        return bool(found)

    def finish(self, *, lost_patience: bool) -> Event:
        """See Block."""
        return LockOrderReversal(self.offset, tuple(self.locks), self.detail)


@dataclass(slots=True)
class Version(Block):
    """A kernel's version and, on the line after it, who built which configuration where."""

    patience: ClassVar[int] = 1

    release: str
    version: str
    ident: str = field(default="", init=False)
    machine: str = field(default="", init=False)

    def __post_init__(self) -> None:
        found = _REPRODUCIBLE.match(self.version)
        if found:
            self.ident, self.machine = found["ident"], found["machine"]

    def take(self, text: str, offset: int) -> bool:
        """See Block."""
        found = _BUILDER.match(text)
        if found:
            self.ident, self.machine = found["ident"], found["machine"]
            self.done = True
        return self.done

    def finish(self, *, lost_patience: bool) -> Event:
        """See Block."""
        return KernelStarted(self.offset, self.release, self.ident, self.machine, self.version)


def parse_frame(text: str) -> Frame | None:
    """A frame in DDB's format or in stack(9)'s, other output before it allowed."""
    head, mark, place = text.partition(_FRAME_MARK)
    if mark and (found := _FRAME_PLACE.match(place)):
        name = head.rsplit(maxsplit=1)[-1][-255:] if head.strip() else UNKNOWN_FUNCTION
        return Frame(
            function=found["function"] or name,
            symbol_offset=int(found["offset"] or "0", 16),
            frame_pointer=int(found["frame"], 16) if found["frame"] else None,
            pc=int(found["pc"], 16) if found["pc"] else None,
        )
    if found := _STACK_FRAME.search(text):
        return Frame(found["function"], int(found["offset"], 16), None, int(found["pc"], 16))
    return None


def _hex(text: str) -> int | None:
    try:
        return int(text.strip()[:18], 16)
    except ValueError:
        return None
