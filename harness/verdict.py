"""What became of a boot: a value, made from the console's events and how the guest ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.console import events as e
from harness.console.pattern import detector_of
from harness.console.stages import Stage, stage_after
from harness.console.titles import (
    FunctionAt,
    sanitizer_title,
    scrub,
    trapped_in,
    warning_text,
)
from harness.outcome import Ending, Outcome, Until
from harness.watch import reached

if TYPE_CHECKING:
    from harness.console.symbolize import SymbolizedFrame

MAX_WARNINGS = 64


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
        """Whether it says nothing about the kernel: the host's failure, or a boot without proof."""
        if self.outcome is Outcome.UNVERIFIED:
            return True
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
