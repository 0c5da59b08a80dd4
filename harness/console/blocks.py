"""What goes over several lines: a panic's head, a trap's table and the like; see also frames.

A block is opened by a pattern and offered each line that follows. Lines it does not take are
other output in between; after as many of them in a row as it has ``patience`` for, it is over.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from harness.arch import TABLE
from harness.console.events import (
    CpusLaunched,
    DeviceScan,
    Event,
    FatalTrap,
    InitStarted,
    KernelStarted,
    KernelWarning,
    LoaderFailed,
    LoaderFault,
    LockOrderReversal,
    LoginPrompt,
    MountRoot,
    Panic,
    ProbeRecord,
    WarningKind,
)
from harness.console.pattern import Name, clip

MAX_MESSAGE_LINES = 4
"""Lines of a panic's message after its first."""

# of a panic and of a trap; the trap's has more after it
_CPU_ID = re.compile(r"cpuid = (?P<cpu>\d{1,5})", re.ASCII)
# sys/kern/kern_shutdown.c vpanic() prints it after every panic
_PANIC_TIME = re.compile(r"^time = \d+\s*$", re.ASCII)
# stand/libsa/panic.c, panic_action()
_LOADER_WAITS = re.compile(r"^--> Press a key on the console")
# a driver's line, which may come between two lines of a panic if other CPUs did not stop
_OTHERS_LINE = re.compile(r"[a-z_]{2,16}\d{1,4}: |<\d", re.ASCII)
# sys/conf/newvers.sh: the second line of a version, or the end of a reproducible build's only one
_BUILDER = re.compile(
    r"^ +[^@\s]{1,64}@[^:\s]{0,255}:\S{0,1024}/(?P<ident>[\w.-]{1,64}) (?P<machine>\w{1,16})\s*$",
    re.ASCII,
)
_REPRODUCIBLE = re.compile(
    r"^(?!#)(?:.* )?(?P<ident>[\w.-]{1,64}) (?P<machine>\w{1,16})$", re.ASCII
)
# sys/*/*/trap.c, trap_fatal() and dblfault_handler()
_TRAP_FIELD = re.compile(
    r"^(?P<key>fault virtual address|fault code|instruction pointer|stack pointer|frame pointer"
    r"|code segment|processor eflags|current process|trap number)\s*= (?P<value>.*)$",
    re.ASCII,
)
_TRAP_REGISTERS = tuple(re.compile(row.console.registers, re.ASCII) for row in TABLE)
_PC_LINES = tuple(re.compile(row.console.pc_line, re.ASCII) for row in TABLE)
# sys/kern/subr_witness.c, witness_checkorder()
_LOCK = re.compile(r"^ (?:1st|2nd|3rd) (?:0x[0-9a-f]+ )?(?P<lock>.*)$", re.ASCII)

_SIGNS_OF_LIFE = frozenset(
    {CpusLaunched, DeviceScan, MountRoot, InitStarted, LoginPrompt, ProbeRecord}
)
_AFTER_PANIC = frozenset(
    {
        Name.BACKTRACE, Name.DEBUGGER_ENTERED, Name.DEBUGGER_THREAD, Name.DEBUGGER_SCRIPT,
        Name.UPTIME, Name.AUTOMATIC_REBOOT, Name.FRAME, Name.STACK_FRAME,
    }
)  # fmt: skip


@dataclass(slots=True)
class Block(ABC):
    """Lines that make one event; ``offset`` is the first one's."""

    patience: ClassVar[int]

    offset: int
    done: bool = field(default=False, init=False)

    @abstractmethod
    def take(self, text: str, offset: int) -> bool:
        """Whether the line belongs here; sets ``done`` when it is the last one."""

    def hear(self, kind: type[Event]) -> None:  # noqa: B027
        """An event of another kind came in between."""

    def miss(self, text: str) -> None:  # noqa: B027
        """A line came in between that no pattern knows."""

    def precede(self, name: Name) -> None:  # noqa: B027
        """The pattern of that name begins right after it."""

    @property
    def is_empty(self) -> bool:
        """Whether ending it now would give no event."""
        return False

    @abstractmethod
    def finish(self, *, lost_patience: bool) -> Event | None:
        """The event, from what came."""


@dataclass(slots=True)
class PanicHead(Block):
    """``panic:``, ``cpuid =``, ``time =``.

    The kernel prints all of it at once, and stops the other CPUs before. A message may have
    several lines. Any program can print the word panic, and so does the loader: without the rest
    it was the kernel's only if the console ends there.

    Args:
        message: the first line's.
        starts_line: whether nothing stood before it on its line.
        in_loader: whether the loader runs, as far as the console shows.
    """

    patience: ClassVar[int] = 16

    message: str
    starts_line: bool = True
    in_loader: bool = False
    cpu: int | None = field(default=None, init=False)
    _proven: bool = field(default=False, init=False)
    _alive: bool = field(default=False, init=False)
    _by_loader: bool = field(default=False, init=False)
    _more: list[str] = field(default_factory=list, init=False)

    def take(self, text: str, offset: int) -> bool:
        """See Block."""
        if found := _CPU_ID.match(text):
            self.cpu = int(found["cpu"])
            self._proven = True
            return True
        if _LOADER_WAITS.match(text):
            self._by_loader = self.done = True
        elif _PANIC_TIME.match(text):
            self._proven = self.done = True
        return self.done

    def hear(self, kind: type[Event]) -> None:
        """See Block: vpanic() stops the other CPUs first, so no boot goes on after it."""
        self._alive = self._alive or kind in _SIGNS_OF_LIFE

    def miss(self, text: str) -> None:
        """See Block: a line of the message, if it stands between ``panic:`` and ``cpuid =``."""
        if not self._proven:
            self._more.append(clip(text))

    def precede(self, name: Name) -> None:
        """See Block."""
        self._proven = self._proven or (name in _AFTER_PANIC and not self._alive)

    def finish(self, *, lost_patience: bool) -> Event:
        """See Block."""
        if self._by_loader or (self.in_loader and not self._proven):
            return LoaderFailed(self.offset, self.message, LoaderFault.FATAL)
        if not self._proven and (
            lost_patience or self._alive or self._more or not self.starts_line
        ):
            text = f"panic: {self.message}"
            return KernelWarning(self.offset, WarningKind.UNPROVEN_PANIC, text)
        return Panic(self.offset, self._whole_message(), self.cpu)

    def _whole_message(self) -> str:
        lines = [self.message]
        for line in self._more[:MAX_MESSAGE_LINES]:
            if _OTHERS_LINE.match(line):
                break
            lines.append(line if line[:1] in ":,;.)" else f" {line}")
        return clip("".join(lines))


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
        elif found := first_match(_PC_LINES, text):
            self.trap = replace(self.trap, instruction_pointer=int(found["pc"], 16))
        else:
            return first_match(_TRAP_REGISTERS, text) is not None
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


def _hex(text: str) -> int | None:
    try:
        return int(text.strip()[:18], 16)
    except ValueError:
        return None


def first_match(patterns: Iterable[re.Pattern[str]], text: str) -> re.Match[str] | None:
    """What the first pattern that matches the line's beginning finds there."""
    return next((found for each in patterns if (found := each.match(text))), None)
