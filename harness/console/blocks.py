"""Events of several lines: the head of a panic, the table of a trap, locks, a version.

A pattern opens a block, which is offered each line that follows. Lines that it does not accept are
other output in between; after ``patience`` such lines in a row, the block ends.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from msgspec.structs import replace

from harness.arch import TABLE
from harness.console.eventkinds import LoaderFault, WarningKind
from harness.console.events import (
    CpusLaunched,
    DeviceScan,
    Event,
    FatalTrap,
    InitStarted,
    KernelStarted,
    KernelWarning,
    LoaderFailed,
    LockOrderReversal,
    LoginPrompt,
    MountRoot,
    Panic,
    ProbeRecord,
)
from harness.console.pattern import Name, clip

MAX_MESSAGE_LINES = 4
"""Lines of a panic's message after the first."""

# printed after a panic and a trap; the trap's line continues after it
_CPU_ID = re.compile(r"cpuid = (?P<cpu>\d{1,5})", re.ASCII)
# sys/kern/kern_shutdown.c, vpanic(), after every panic
_PANIC_TIME = re.compile(r"^time = \d+\s*$", re.ASCII)
# stand/libsa/panic.c, panic_action()
_LOADER_WAITS = re.compile(r"^--> Press a key on the console")
# kgdb's, between the header of a crash summary (usr.sbin/crashinfo) and the console's last lines
_MESSAGE_BUFFER = "Unread portion of the kernel message buffer:"
# a driver's line, which may be mixed into a panic's lines if other CPUs did not stop
_DRIVER_LINE = re.compile(r"[a-z_]{2,16}\d{1,4}: |<\d", re.ASCII)
# sys/conf/newvers.sh: the second line of a version, or the end of a reproducible build's only line
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

_BOOT_CONTINUES = frozenset(
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
    """Lines of one event; ``offset`` is that of the first line."""

    patience: ClassVar[int]

    offset: int
    done: bool = field(default=False, init=False)

    @abstractmethod
    def accept(self, text: str, offset: int) -> bool:
        """Return whether the line belongs to the block; set ``done`` if it is the last one."""

    def on_event(self, kind: type[Event]) -> None:  # noqa: B027
        """Called for an event that occurred in between."""

    def on_unknown_line(self, text: str) -> None:  # noqa: B027
        """Called for a line in between that matches no pattern."""

    def on_next_pattern(self, name: Name) -> None:  # noqa: B027
        """Called with the pattern that ends the block."""

    @property
    def is_empty(self) -> bool:
        """Whether the block would return no event if it ended now."""
        return False

    @abstractmethod
    def finish(self, *, lost_patience: bool) -> Event | None:
        """Return the event of the accepted lines, or None."""


@dataclass(slots=True)
class PanicHead(Block):
    """``panic:``, ``cpuid =``, ``time =``.

    The kernel stops the other CPUs, then prints these lines. A message may have several lines. The
    loader and any program can print ``panic:``, too; without the other lines it is the kernel's
    only if the console ends there.

    Args:
        message: the message's first line.
        starts_line: whether ``panic:`` is at the start of its line.
        in_loader: whether the loader is running, as far as the console shows.
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

    def accept(self, text: str, offset: int) -> bool:
        """Accept the CPU's number, the time, and the loader's prompt."""
        if found := _CPU_ID.match(text):
            self.cpu = int(found["cpu"])
            self._proven = True
            return True
        if _LOADER_WAITS.match(text):
            self._by_loader = self.done = True
        elif _PANIC_TIME.match(text):
            self._proven = self.done = True
        return self.done

    def on_event(self, kind: type[Event]) -> None:
        """Note that the boot continues, which it does not after vpanic()."""
        self._alive = self._alive or kind in _BOOT_CONTINUES

    def on_unknown_line(self, text: str) -> None:
        """Add a line between ``panic:`` and ``cpuid =`` to the message."""
        if not self._proven and text != _MESSAGE_BUFFER:
            self._more.append(clip(text))

    def on_next_pattern(self, name: Name) -> None:
        """Note output that follows a kernel's panic only."""
        self._proven = self._proven or (name in _AFTER_PANIC and not self._alive)

    def finish(self, *, lost_patience: bool) -> Event:
        """Return the panic, a failure of the loader, or a warning if it was not a panic."""
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
            if _DRIVER_LINE.match(line):
                break
            lines.append(line if line[:1] in ":,;.)" else f" {line}")
        return clip("".join(lines))


@dataclass(slots=True)
class TrapTable(Block):
    """``Fatal trap`` and the table of ``key = value`` under it."""

    patience: ClassVar[int] = 16

    trap: FatalTrap

    def accept(self, text: str, offset: int) -> bool:
        """Accept lines of the table and of the registers."""
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
        """Return the trap with the fields that were printed."""
        return self.trap


@dataclass(slots=True)
class LockOrder(Block):
    """The two or three locks that WITNESS prints."""

    patience: ClassVar[int] = 4

    detail: str
    locks: list[str] = field(default_factory=list, init=False)

    def accept(self, text: str, offset: int) -> bool:
        """Accept the line of a lock."""
        found = _LOCK.match(text)
        if found and len(self.locks) < 3:
            self.locks.append(clip(found["lock"]))
        return bool(found)

    def finish(self, *, lost_patience: bool) -> Event:
        """Return the lock order reversal."""
        return LockOrderReversal(self.offset, tuple(self.locks), self.detail)


@dataclass(slots=True)
class Version(Block):
    """A kernel's version and, on the next line, its builder, directory and configuration."""

    patience: ClassVar[int] = 1

    release: str
    version: str
    ident: str = field(default="", init=False)
    machine: str = field(default="", init=False)

    def __post_init__(self) -> None:
        found = _REPRODUCIBLE.match(self.version)
        if found:
            self.ident, self.machine = found["ident"], found["machine"]

    def accept(self, text: str, offset: int) -> bool:
        """Accept the version's second line."""
        found = _BUILDER.match(text)
        if found:
            self.ident, self.machine = found["ident"], found["machine"]
            self.done = True
        return self.done

    def finish(self, *, lost_patience: bool) -> Event:
        """Return the kernel's version."""
        return KernelStarted(self.offset, self.release, self.ident, self.machine, self.version)


def _hex(text: str) -> int | None:
    try:
        return int(text.strip()[:18], 16)
    except ValueError:
        return None


def first_match(patterns: Iterable[re.Pattern[str]], text: str) -> re.Match[str] | None:
    """Return the first match of the patterns at the beginning of a line."""
    return next((found for each in patterns if (found := each.match(text))), None)
