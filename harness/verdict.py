"""What became of a boot: a value, made from the console's events and how the guest ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.console import events as e
from harness.console.pattern import detector_of
from harness.console.stages import Stage, stage_after
from harness.console.symbolize import SymbolizedFrame
from harness.console.titles import (
    FunctionAt,
    sanitizer_title,
    scrub,
    trapped_in,
    warning_text,
)

MAX_WARNINGS = 64


class Outcome(StrEnum):
    """What a boot came to."""

    BOOTED = "booted"
    PANIC = "panic"
    TRAP = "trap"
    KASAN = "kasan"
    KMSAN = "kmsan"
    HANG = "hang"
    DEBUGGER = "debugger"
    RESET = "reset"
    ENDED = "ended"
    LOADER = "loader"
    FIRMWARE = "firmware"


class Until(StrEnum):
    """How far a boot must come to count as booted."""

    INIT = "init"
    MOUNTROOT = "mountroot"


class Ending(StrEnum):
    """How the guest ended."""

    EXITED = "exited"
    """by itself: powered off, or its QEMU died"""
    RESET = "reset"
    """by itself: asked for a reset, or faulted three times over"""
    STOPPED = "stopped"
    """by us: it had said all there was to wait for"""
    SILENCE = "silence"
    """by us: it said nothing for too long"""
    DEADLINE = "deadline"
    """by us: a stage took too long"""
    INTERRUPTED = "interrupted"
    """by the user"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one boot.

    ``title`` is fit for comparing, ``message`` is the guest's own wording. ``offset`` is the byte
    of the console at which the cause stands; ``seconds`` is the time from start to end. ``titles``
    are those of all panics, traps and sanitizers' reports, in the order in which they were told.
    """

    outcome: Outcome
    title: str
    stage: Stage
    kernel_entered: bool
    message: str = ""
    frames: tuple[e.Frame, ...] = ()
    symbolized: tuple[SymbolizedFrame, ...] = ()
    offset: int | None = None
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()

    @property
    def blames_host(self) -> bool:
        """Whether the kernel had no part in it."""
        return self.outcome in (Outcome.LOADER, Outcome.FIRMWARE) and not self.kernel_entered


@dataclass(frozen=True, slots=True)
class _Cause:
    outcome: Outcome
    title: str
    message: str = ""
    frames: tuple[e.Frame, ...] = ()
    offset: int | None = None


def judge(
    events: Sequence[e.Event],
    ending: Ending,
    until: Until,
    *,
    seconds: float = 0.0,
    first_stage: Stage = Stage.FIRMWARE,
    function_at: FunctionAt = lambda _: None,
) -> Verdict:
    """The verdict on a boot that has ended.

    A panic is never a pass: not after the goal was reached either.

    Args:
        events: all of the console's.
        ending: how the guest ended.
        until: how far it had to come.
        seconds: how long it took.
        first_stage: where the guest starts; ``Stage.KERNEL`` if nothing comes before it.
        function_at: names the kernel function at an address, for titles that hold one.
    """
    stages = [first_stage]
    for event in events:
        stages.append(stage_after(stages[-1], event))
    entered = any(stage.in_kernel for stage in stages)
    last = max(stages, key=tuple(Stage).index)
    cause = (
        _trouble(events, function_at)
        or _firmware_exception(events)
        or _goal(events, until)
        or _debugger(events)
        or (_kernel_end if entered else _early_end)(events, ending, last)
    )
    return Verdict(
        outcome=cause.outcome,
        title=cause.title,
        stage=_stage_at(events, stages, cause.offset) or last,
        kernel_entered=entered,
        message=cause.message,
        frames=cause.frames,
        offset=cause.offset,
        seconds=seconds,
        warnings=_warnings(events, cause.offset),
        titles=_titles(events, function_at),
    )


def _stage_at(
    events: Sequence[e.Event], stages: Sequence[Stage], offset: int | None
) -> Stage | None:
    """The stage after the event that the console tells at ``offset``."""
    after = zip(events, stages[1:], strict=True)
    return next((stage for event, stage in after if event.offset == offset), None)


def reached(event: e.Event, until: Until) -> bool:
    """Whether ``event`` is what ``until`` waits for."""
    if until is Until.INIT:
        return isinstance(event, e.ReportComplete)
    return isinstance(event, e.MountRoot | e.MountRootPrompt | e.ReportComplete)


def _trouble(events: Sequence[e.Event], function_at: FunctionAt) -> _Cause | None:
    """The first panic or trap; a sanitizer's report that the kernel survived only without one."""
    for kinds in ((e.Panic, e.FatalTrap), (e.SanitizerReport,)):
        for index, event in enumerate(events):
            if isinstance(event, kinds):
                frames = _backtrace_after(events, index)
                return _trouble_cause(event, frames, function_at)
    return None


def _titles(events: Sequence[e.Event], function_at: FunctionAt) -> tuple[str, ...]:
    causes = (
        _trouble_cause(event, _backtrace_after(events, index), function_at)
        for index, event in enumerate(events)
        if isinstance(event, e.Panic | e.FatalTrap | e.SanitizerReport)
    )
    return tuple(dict.fromkeys(cause.title for cause in causes if cause))[:MAX_WARNINGS]


def _backtrace_after(events: Sequence[e.Event], index: int) -> tuple[e.Frame, ...]:
    return next((event.frames for event in events[index:] if isinstance(event, e.Backtrace)), ())


def _trouble_cause(
    event: e.Event, frames: tuple[e.Frame, ...], function_at: FunctionAt
) -> _Cause | None:
    match event:
        case e.FatalTrap(name=name, instruction_pointer=pointer):
            where = (function_at(pointer) if pointer else None) or trapped_in(frames)
            title = f"{name} in {where}" if where else name
            message = f"Fatal trap {event.number}: {name} while in {event.mode} mode"
            return _Cause(Outcome.TRAP, title, message, frames, event.offset)
        case e.Panic(message=message) | e.SanitizerReport(message=message):
            detector = detector_of(message)
            if detector is None:
                return _Cause(Outcome.PANIC, scrub(message), message, frames, event.offset)
            title = sanitizer_title(message, frames, function_at)
            return _Cause(Outcome(detector.value), title, message, frames, event.offset)
        case _:
            return None


def _firmware_exception(events: Sequence[e.Event]) -> _Cause | None:
    for event in events:
        if isinstance(event, e.FirmwareException):
            title = f"exception {event.name or event.vector} caught by the firmware"
            return _Cause(Outcome.FIRMWARE, title, offset=event.offset)
    return None


def _goal(events: Sequence[e.Event], until: Until) -> _Cause | None:
    for event in events:
        if reached(event, until):
            return _Cause(Outcome.BOOTED, f"booted to {until}", offset=event.offset)
    return None


def _debugger(events: Sequence[e.Event]) -> _Cause | None:
    for event in events:
        if isinstance(event, e.DebuggerEntered):
            return _Cause(
                Outcome.DEBUGGER,
                f"debugger: {scrub(event.reason)}",
                event.reason,
                offset=event.offset,
            )
        if isinstance(event, e.DebuggerPrompt):
            return _Cause(Outcome.DEBUGGER, "debugger", offset=event.offset)
    return None


def _kernel_end(events: Sequence[e.Event], ending: Ending, last: Stage) -> _Cause:
    """Of a guest whose kernel had been entered."""
    rebooted = any(
        isinstance(event, e.Shutdown) and event.step is e.ShutdownStep.REBOOTING for event in events
    )
    again = _reset_at(events)
    if (ending is Ending.RESET or again is not None) and not rebooted:
        return _Cause(Outcome.RESET, f"reset in the {last} stage", offset=again)
    for event in events:
        if isinstance(event, e.MountRootPrompt):
            failed = [x for x in events if isinstance(x, e.MountRootFailed)]
            why = f"{failed[-1].source} failed with error {failed[-1].error}" if failed else "none"
            return _Cause(Outcome.HANG, "no root was mounted", why, offset=event.offset)
    match ending:
        case Ending.SILENCE:
            return _Cause(Outcome.HANG, f"silent in the {last} stage")
        case Ending.DEADLINE:
            return _Cause(Outcome.HANG, f"the {last} stage took too long")
        case Ending.INTERRUPTED:
            return _Cause(Outcome.ENDED, f"interrupted in the {last} stage")
        case _:
            return _Cause(Outcome.ENDED, f"ended in the {last} stage without a report")


def _reset_at(events: Sequence[e.Event]) -> int | None:
    entered = False
    for event in events:
        if entered and isinstance(event, e.FirmwareStarted):
            return event.offset
        entered = entered or stage_after(Stage.FIRMWARE, event).in_kernel
    return None


def _early_end(events: Sequence[e.Event], ending: Ending, last: Stage) -> _Cause:
    """Of a guest that never came to its kernel."""
    outcome = Outcome.LOADER if last is Stage.LOADER else Outcome.FIRMWARE
    kinds = e.LoaderFailed if last is Stage.LOADER else e.FirmwareFailed
    for event in reversed(events):
        if isinstance(event, kinds):
            return _Cause(outcome, scrub(event.text), event.text, offset=event.offset)
    if any(isinstance(event, e.LoaderPrompt) for event in events):
        return _Cause(outcome, "the loader waits at its prompt")
    return _Cause(outcome, f"{outcome}: {ending} before the kernel was entered")


def _warnings(events: Sequence[e.Event], cause_offset: int | None) -> tuple[str, ...]:
    told = (warning_text(event) for event in events if event.offset != cause_offset)
    return tuple(dict.fromkeys(text for text in told if text))[:MAX_WARNINGS]


# While the guest runs


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a guest may take, in seconds, on a fast accelerator.

    Each is multiplied by ``factor``. ``silence`` is the longest pause in the console; ``grace`` is
    what a guest in trouble gets to say the rest, ``farewell`` what one that has reached its goal
    gets to end by itself.
    """

    firmware: float = 60.0
    loader: float = 60.0
    kernel: float = 120.0
    cpus: float = 120.0
    devices: float = 180.0
    root: float = 60.0
    init: float = 60.0
    shutdown: float = 60.0
    silence: float = 60.0
    grace: float = 10.0
    farewell: float = 5.0
    factor: float = 1.0

    def of(self, stage: Stage) -> float:
        """The longest that ``stage`` may take, in seconds."""
        limits = {
            Stage.FIRMWARE: self.firmware,
            Stage.LOADER: self.loader,
            Stage.KERNEL: self.kernel,
            Stage.CPUS: self.cpus,
            Stage.DEVICES: self.devices,
            Stage.ROOT: self.root,
            Stage.INIT: self.init,
            Stage.SHUTDOWN: self.shutdown,
        }
        return limits[stage] * self.factor


@dataclass(frozen=True, slots=True)
class Stop:
    """The guest is to be ended; ``ending`` is what ``judge`` wants to hear of it."""

    ending: Ending
    why: str


class Watch:
    """Says, while a guest runs, until when to wait for it.

    Times are monotonic seconds, given by the caller; ``started`` is when the guest was started.
    """

    def __init__(
        self,
        limits: Limits,
        until: Until,
        started: float,
        first_stage: Stage = Stage.FIRMWARE,
    ) -> None:
        self.stage = first_stage
        self._limits = limits
        self._until = until
        self._stage_since = started
        self._heard = started
        self._in_trouble = False
        self._arrived = False
        self._entered = first_stage.in_kernel
        self._parting: float | None = None
        self._stop: Stop | None = None

    @property
    def arrived(self) -> bool:
        """Whether the guest has come as far as it had to, and is in no trouble."""
        return self._arrived and not self._in_trouble and self._stop is None

    def observe(self, events: Iterable[e.Event], now: float) -> None:
        """Bytes came at ``now``, and with them these events, which may be none."""
        self._heard = now
        for event in events:
            self._observe(event, now)

    def deadline(self) -> float:
        """The next moment at which ``decision`` may change without further bytes."""
        if self._stop:
            return self._heard
        instants = [self._silent_at(), self._stage_over_at()]
        return min([*instants, self._parting] if self._parting is not None else instants)

    def decision(self, now: float) -> Stop | None:
        """Whether to end the guest at ``now``; None means to go on."""
        if self._stop:
            return self._stop
        if self._parting is not None and now >= self._parting:
            return Stop(Ending.STOPPED, "it had said what there was to wait for")
        if now >= self._silent_at():
            return Stop(Ending.SILENCE, f"silent in the {self.stage} stage")
        if now >= self._stage_over_at():
            return Stop(Ending.DEADLINE, f"the {self.stage} stage took too long")
        return None

    def _silent_at(self) -> float:
        return self._heard + self._limits.silence * self._limits.factor

    def _stage_over_at(self) -> float:
        return self._stage_since + self._limits.of(self.stage)

    def _observe(self, event: e.Event, now: float) -> None:
        self._advance(event, now)
        if isinstance(event, e.Panic | e.FatalTrap | e.FirmwareException):
            if not self._in_trouble:
                self._parting = now + self._limits.grace * self._limits.factor
            self._in_trouble = True
        elif self._in_trouble and isinstance(event, e.Shutdown | e.DebuggerEntered):
            self._end("it has told its trouble")
        elif isinstance(event, e.DebuggerPrompt | e.LoaderPrompt | e.FirmwareFailed):
            self._end("it waits for a human")
        elif reached(event, self._until):
            self._reached(now)
        elif isinstance(event, e.MountRootPrompt):
            self._end("it waits for a human")

    def _advance(self, event: e.Event, now: float) -> None:
        stage = stage_after(self.stage, event)
        if stage is not self.stage:
            self.stage, self._stage_since = stage, now
        if self._entered and isinstance(event, e.FirmwareStarted):
            self._end("it was reset", Ending.RESET)
        self._entered = self._entered or stage.in_kernel

    def _reached(self, now: float) -> None:
        if self._in_trouble:
            return
        self._arrived = True
        if self._until is Until.MOUNTROOT:
            self._end("the root is being mounted")
        elif self._parting is None:
            self._parting = now + self._limits.farewell * self._limits.factor

    def _end(self, why: str, ending: Ending = Ending.STOPPED) -> None:
        self._stop = self._stop or Stop(ending, why)
