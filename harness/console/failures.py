"""Failures on a console: which backtrace belongs to which, and which of them is the cause.

A console contains backtraces of warnings, panics and traps, of other threads and of commands to the
debugger. A backtrace belongs to the last failure or warning before the line that announces it,
unless its functions or its thread show otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.arch import GUEST, TABLE
from harness.console import events as e
from harness.console.eventkinds import TraceOrigin
from harness.console.events import Frame
from harness.console.machinery import is_machinery, shows_panic, shows_trap, shows_warning

Reported = e.Panic | e.FatalTrap | e.SanitizerReport

_WARNINGS_WITH_FRAMES = (e.SanitizerReport, e.LockOrderReversal, e.KernelWarning)

TRAPS = frozenset(
    name for row in TABLE for name in (*row.console.trap_names.values(), *row.console.other_traps)
)
"""Panic messages of trap_fatal()."""


@dataclass(slots=True, eq=False)
class ConsoleFailure:
    """A panic, a trap or a sanitizer's report, with what belongs to it on the console.

    ``event`` is None for a panic of which the console shows only the backtrace. ``panic`` is the
    panic that a fatal trap led to.
    """

    event: Reported | None
    offset: int
    panic: e.Panic | None = None
    frames: tuple[Frame, ...] = ()
    thread: int | None = None
    stopped: e.DebuggerStopped | None = None

    @property
    def is_fatal(self) -> bool:
        """Whether the kernel cannot continue after it."""
        return not isinstance(self.event, e.SanitizerReport)

    @property
    def is_trap(self) -> bool:
        """Whether it is a trap, even if its table is lost."""
        if isinstance(self.event, e.FatalTrap):
            return True
        return shows_trap(self.frames) and (self.event is None or _message(self.event) in TRAPS)

    @property
    def cpu(self) -> int | None:
        """The CPU that failed, if the console names it."""
        named = [x.cpu for x in (self.event, self.panic) if isinstance(x, e.Panic | e.FatalTrap)]
        return next((cpu for cpu in named if cpu is not None), None)

    @property
    def place(self) -> tuple[Frame, ...]:
        """Its frames; without any, the function at which DDB stopped."""
        stopped = self.stopped
        if self.frames or stopped is None or is_machinery(stopped.function):
            return self.frames
        return (Frame(stopped.function, stopped.symbol_offset, entry="trap"),)


@dataclass(slots=True, eq=False)
class _Warning:
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class ConsoleFailures:
    """All failures of a console, in order, and the backtraces that belong to none of them."""

    found: tuple[ConsoleFailure, ...]
    others: tuple[e.Backtrace, ...]

    @property
    def cause(self) -> ConsoleFailure | None:
        """The first fatal failure with frames; if none has frames, the first fatal one.

        A later failure of the same CPU is not preferred for its frames: it is a consequence of the
        first. A report that did not panic counts if there is no fatal failure.
        """
        fatal = [failure for failure in self.found if failure.is_fatal]
        if not fatal:
            return self.found[0] if self.found else None
        first = fatal[0]
        shown = next((failure for failure in fatal if failure.place), first)
        consequence = shown is not first and first.cpu is not None and first.cpu == shown.cpu
        return first if consequence else shown


def find_failures(events: Iterable[e.Event]) -> ConsoleFailures:
    """Return the failures among a console's events."""
    reader = _Reader()
    for event in sorted(events, key=_position):
        reader.read(event)
    return ConsoleFailures(tuple(reader.failures), tuple(reader.others))


def _position(event: e.Event) -> int:
    announced = event.announced if isinstance(event, e.Backtrace) else None
    return event.offset if announced is None else announced


class _Reader:
    def __init__(self) -> None:
        self.failures: list[ConsoleFailure] = []
        self.others: list[e.Backtrace] = []
        self._last: ConsoleFailure | _Warning | None = None

    def read(self, event: e.Event) -> None:
        match event:
            case e.Panic() if (trap := self._trap_of(event)) is not None:
                trap.panic = event
                self._last = trap
            case e.Panic() | e.FatalTrap() | e.SanitizerReport():
                self._last = ConsoleFailure(event, event.offset)
                self.failures.append(self._last)
            case e.LockOrderReversal() | e.KernelWarning() | e.SanitizerFinding():
                self._last = _Warning()
            case e.DebuggerThread(thread=thread):
                if (fatal := self._fatal()) is not None:
                    fatal.thread = thread if fatal.thread is None else fatal.thread
            case e.DebuggerStopped():
                if (fatal := self._fatal()) is not None:
                    fatal.stopped = fatal.stopped or event
            case e.Backtrace():
                self._backtrace(event)

    def _trap_of(self, panic: e.Panic) -> ConsoleFailure | None:
        """Return the trap whose handler printed the panic, on the same CPU if both are known."""
        for failure in reversed(self.failures):
            trap = failure.event
            if isinstance(trap, e.FatalTrap) and failure.panic is None and not failure.frames:
                same = None in (trap.cpu, panic.cpu) or trap.cpu == panic.cpu
                if same and panic.message == trap.name:
                    return failure
        return None

    def _fatal(self) -> ConsoleFailure | None:
        return next((failure for failure in reversed(self.failures) if failure.is_fatal), None)

    def _backtrace(self, trace: e.Backtrace) -> None:
        holder = self._holder(trace)
        if holder is None:
            self.others.append(trace)
        elif not holder.frames:
            holder.frames = trace.frames
            if isinstance(holder, ConsoleFailure) and holder.thread is None:
                holder.thread = trace.thread

    def _holder(self, trace: e.Backtrace) -> ConsoleFailure | _Warning | None:
        if trace.origin is TraceOrigin.THREAD:
            return self._of_thread(trace.thread)
        if trace.origin is TraceOrigin.DEBUGGER:
            fatal = self._fatal()
            if fatal is None:
                return self._panicked(trace) if shows_panic(trace.frames) else None
            known = fatal.thread
            return fatal if None in (known, trace.thread) or known == trace.thread else None
        if shows_panic(trace.frames):
            return self._panicked(trace)
        if shows_warning(trace.frames) and isinstance(self._last, ConsoleFailure):
            return None
        return self._last

    def _of_thread(self, thread: int | None) -> ConsoleFailure | _Warning | None:
        if isinstance(self._last, _Warning):
            return self._last
        known = (t for t in self.failures if t.is_fatal and t.thread == thread is not None)
        return next(known, None)

    def _panicked(self, trace: e.Backtrace) -> ConsoleFailure | None:
        """Return the last fatal failure for a panic's backtrace; without one, an unnamed panic."""
        fatal = self._fatal()
        if fatal is None:
            fatal = ConsoleFailure(None, trace.offset)
            self.failures.append(fatal)
        self._last = fatal
        return fatal


def _message(event: Reported) -> str:
    return event.message if isinstance(event, e.Panic | e.SanitizerReport) else event.name


def frames_of_debugger(others: Sequence[e.Backtrace], entered: int) -> tuple[Frame, ...]:
    """Return the last frames printed before DDB was entered at offset ``entered``.

    If there are none, return those of the first backtrace command.
    """
    before = [trace.frames for trace in others if trace.offset < entered]
    asked = [trace.frames for trace in others if trace.origin is TraceOrigin.DEBUGGER]
    return before[-1] if before else asked[0] if asked else ()


def trap_name(frames: Sequence[Frame]) -> str:
    """Return the name of the first trap in a backtrace in DDB's format, else ``fatal trap``."""
    for frame in frames:
        kind, _, number = frame.entry.partition(" ")
        if kind == "trap" and number:
            value = int(number, 16 if number.startswith("0x") else 10)
            return GUEST.console.trap_names.get(value, "fatal trap")
    return "fatal trap"
