"""The block of lines that a pattern starts."""

from __future__ import annotations

from harness.arch import GUEST
from harness.console.blocks import Block, LockOrder, TrapTable, Version
from harness.console.eventkinds import TraceOrigin
from harness.console.events import FatalTrap
from harness.console.frames import FrameList
from harness.console.pattern import Match, Name, clip


def block_of(name: Name, found: Match, offset: int) -> Block:
    """Return the block that starts with a line, by the name of the pattern that matched it."""
    match name:
        case Name.FATAL_TRAP:
            trap = FatalTrap(offset, int(found["number"]), found["name"], found["mode"])
            return TrapTable(offset, trap)
        case Name.FATAL_DOUBLE_FAULT:
            number = GUEST.console.double_fault
            return TrapTable(offset, FatalTrap(offset, number, "double fault", "kernel"))
        case Name.LOCK_ORDER_REVERSAL:
            return LockOrder(offset, clip(found["text"]))
        case Name.KERNEL_STARTED:
            return Version(offset, found["release"], clip(found["version"]))
        case _:
            return _trace(name, found, offset)


def _trace(name: Name, found: Match, offset: int) -> FrameList:
    match name:
        case Name.BACKTRACE:
            return FrameList(offset, TraceOrigin.KDB if found["kdb"] else TraceOrigin.WITNESS)
        case Name.THREAD_BACKTRACE | Name.COMMAND_BACKTRACE:
            return FrameList(offset, TraceOrigin.THREAD, int(found["thread"]))
        case Name.DEBUGGER_BACKTRACE:
            return FrameList(offset, TraceOrigin.DEBUGGER, int(found["thread"]))
        case _:
            return FrameList(offset)
