"""The verdict on a boot, from the console's events and how the guest ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.console import events as e
from harness.console.eventkinds import LoaderFault, ShutdownStep
from harness.console.failures import (
    ConsoleFailure,
    ConsoleFailures,
    find_failures,
    frames_of_debugger,
    trap_name,
)
from harness.console.machinery import culprit, plain
from harness.console.stages import Stage, stage_after
from harness.console.titles import (
    FunctionAt,
    debugger_title,
    explanation,
    panic_title,
    sanitizer_title,
    scrub,
    trap_title,
    warning_text,
)
from harness.outcome import Ending, Outcome, Until
from harness.sanitizers import with_report
from harness.watch import reached

if TYPE_CHECKING:
    from harness.console.symbolize import SymbolizedFrame

MAX_WARNINGS = 64

_BY_DEBUGGER = (e.DebuggerEntered, e.DebuggerThread, e.DebuggerStopped, e.DebuggerScript)
_ENTERS_DEBUGGER = (e.DebuggerEntered, e.DebuggerStopped, e.DebuggerScript, e.DebuggerPrompt)
_IN_DEBUGGER = (*_BY_DEBUGGER, e.DebuggerPrompt, e.Backtrace, e.EventsDropped)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a boot.

    ``title`` contains nothing that differs between boots; ``message`` is the text on the console.
    ``offset`` is the cause's position on the console, in bytes; ``seconds`` is the time from start
    to end. ``titles`` are those of all panics, traps and sanitizer reports, in order. ``reports``
    are the titles of sanitizer reports after which the kernel continued.
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
    reports: tuple[str, ...] = ()

    @property
    def blames_host(self) -> bool:
        """Whether it says nothing about the kernel: a host failure, or an unverified boot."""
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
    login_suffices: bool = False,
) -> Verdict:
    """Return the verdict on a boot that has ended.

    A panic is a failure even after the goal was reached.

    Args:
        events: all events of the console.
        ending: how the guest ended.
        until: the goal.
        seconds: the time from start to end.
        first_stage: the guest's first stage; ``Stage.KERNEL`` without firmware and loader.
        function_at: returns the kernel function at an address, for titles.
        login_suffices: whether a ``login:`` prompt counts as the goal, too.
    """
    failures = find_failures(events)
    stages = [first_stage]
    for event in events:
        stages.append(stage_after(stages[-1], event))
    entered = any(stage.in_kernel for stage in stages) or bool(failures.found)
    last = max(stages, key=tuple(Stage).index)
    if _loader_returned(events):
        entered, last = False, Stage.LOADER
    cause = (
        _failure(failures, function_at)
        or _firmware_exception(events)
        or _flood(ending, last, entered=entered)
        or _debugger(_stopped_for_good(events), failures)
        or _goal(events, until, login_suffices=login_suffices)
        or _debugger(events, failures)
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
        warnings=_warnings(events, cause.offset, failures),
        titles=_titles(failures, function_at),
        reports=tuple(x.title for x in events if isinstance(x, e.SanitizerFinding)),
    )


def _stage_at(
    events: Sequence[e.Event], stages: Sequence[Stage], offset: int | None
) -> Stage | None:
    """Return the stage after the event at ``offset``."""
    after = zip(events, stages[1:], strict=True)
    return next((stage for event, stage in after if event.offset == offset), None)


def _failure(failures: ConsoleFailures, function_at: FunctionAt) -> _Cause | None:
    cause = failures.cause
    return _failure_cause(cause, function_at) if cause else None


def _titles(failures: ConsoleFailures, function_at: FunctionAt) -> tuple[str, ...]:
    causes = (_failure_cause(failure, function_at) for failure in failures.found)
    return tuple(dict.fromkeys(cause.title for cause in causes))[:MAX_WARNINGS]


def _failure_cause(failure: ConsoleFailure, function_at: FunctionAt) -> _Cause:
    event, frames = failure.event, failure.place
    message = event.message if isinstance(event, e.Panic | e.SanitizerReport) else ""
    if failure.is_trap:
        title, message = _trap(failure, function_at)
        return _Cause(Outcome.TRAP, title, message, frames, failure.offset)
    sanitizer = with_report(message)
    if sanitizer is not None and sanitizer.outcome is not None:
        title = sanitizer_title(sanitizer, message, frames, function_at)
        return _Cause(sanitizer.outcome, title, message, frames, failure.offset)
    if not isinstance(event, e.Panic):
        where = culprit(frames)
        title = f"panic in {where}" if where else "panic"
        return _Cause(Outcome.PANIC, title, title, frames, failure.offset)
    before = explanation(message, event.before, frames)
    title = panic_title(message, event.before, frames)
    return _Cause(Outcome.PANIC, title, "\n".join((*before, message)), frames, failure.offset)


def _trap(failure: ConsoleFailure, function_at: FunctionAt) -> tuple[str, str]:
    """Return the title of a trap, and its text on the console."""
    match failure.event:
        case e.FatalTrap(name=name, instruction_pointer=pointer) as trap:
            title = trap_title(name, pointer, failure.place, function_at)
            return title, f"Fatal trap {trap.number}: {name} while in {trap.mode} mode"
        case e.Panic(message=message):
            return trap_title(message, None, failure.place, function_at), f"panic: {message}"
        case _:
            title = trap_title(trap_name(failure.place), None, failure.place, function_at)
            return title, title


def _firmware_exception(events: Sequence[e.Event]) -> _Cause | None:
    for event in events:
        if isinstance(event, e.FirmwareException):
            title = f"exception {event.name or event.vector} caught by the firmware"
            return _Cause(Outcome.FIRMWARE, title, offset=event.offset)
    return None


def _flood(ending: Ending, last: Stage, *, entered: bool) -> _Cause | None:
    """Return the cause for a guest that was ended because it printed too much."""
    if ending is not Ending.FLOOD:
        return None
    return _Cause(Outcome.HANG if entered else _early_outcome(last), "console flood")


def _goal(events: Sequence[e.Event], until: Until, *, login_suffices: bool) -> _Cause | None:
    for event in events:
        if login_suffices and isinstance(event, e.LoginPrompt):
            return _Cause(Outcome.BOOTED, "booted to login", offset=event.offset)
        if reached(event, until):
            return _Cause(Outcome.BOOTED, f"booted to {until}", offset=event.offset)
    return None


def _stopped_for_good(events: Sequence[e.Event]) -> Sequence[e.Event]:
    """Return the last events of DDB, if the console ends in it.

    A prompt alone does not count, because other programs print similar ones.
    """
    first = len(events)
    while first and isinstance(events[first - 1], _IN_DEBUGGER):
        first -= 1
    last = events[first:]
    return last if any(isinstance(event, _BY_DEBUGGER) for event in last) else ()


def _debugger(events: Sequence[e.Event], failures: ConsoleFailures) -> _Cause | None:
    """Return the cause for a kernel that entered DDB without a panic."""
    first = next((event for event in events if isinstance(event, _ENTERS_DEBUGGER)), None)
    if first is None:
        return None
    stopped = next((x for x in events if isinstance(x, e.DebuggerStopped)), None)
    frames = frames_of_debugger(failures.others, first.offset)
    reason = ""
    if isinstance(first, e.DebuggerEntered):
        reason = first.reason
    elif isinstance(first, e.DebuggerScript):
        reason = first.script.removeprefix("kdb.enter.")
    elif stopped is not None:
        reason = f"stopped in {plain(stopped.function)}"
        frames = frames or (e.Frame(stopped.function, stopped.symbol_offset, entry="trap"),)
    return _Cause(Outcome.DEBUGGER, debugger_title(reason, frames), reason, frames, first.offset)


def _kernel_end(events: Sequence[e.Event], ending: Ending, last: Stage) -> _Cause:
    """Return the cause for a guest that ended after the kernel was entered."""
    rebooted = any(
        isinstance(event, e.Shutdown) and event.step is ShutdownStep.REBOOTING for event in events
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
        case Ending.DEADLINE | Ending.TIMEOUT:
            own = ending is Ending.TIMEOUT
            what = (
                f"--timeout expired in the {last} stage"
                if own
                else f"the {last} stage took too long"
            )
            return _Cause(Outcome.HANG, what)
        case Ending.INTERRUPTED:
            return _Cause(Outcome.ENDED, f"interrupted in the {last} stage")
        case _:
            silent = _Cause(Outcome.ENDED, f"ended in the {last} stage without a report")
            return _stopped(events, last) or silent


def _stopped(events: Sequence[e.Event], last: Stage) -> _Cause | None:
    """Return the cause for a guest that its hypervisor stopped.

    A triple fault is the kernel's, as a reset is; what the hypervisor cannot do is the host's.
    """
    for event in events:
        if isinstance(event, e.GuestStopped):
            faulted = event.reason == "triple fault"
            outcome = Outcome.RESET if faulted else Outcome.ENDED
            return _Cause(outcome, f"{event.reason} in the {last} stage", offset=event.offset)
    return None


def _reset_at(events: Sequence[e.Event]) -> int | None:
    entered = False
    for event in events:
        if entered and isinstance(event, e.FirmwareStarted):
            return event.offset
        entered = entered or stage_after(Stage.FIRMWARE, event).in_kernel
    return None


def _early_end(events: Sequence[e.Event], ending: Ending, last: Stage) -> _Cause:
    """Return the cause for a guest that ended before the kernel was entered."""
    outcome = _early_outcome(last)
    failed: e.LoaderFailed | e.FirmwareFailed | None = _loader_failure(events)
    if failed is None and last is Stage.FIRMWARE:
        failed = next((x for x in reversed(events) if isinstance(x, e.FirmwareFailed)), None)
    if failed is not None:
        return _Cause(outcome, scrub(failed.text), failed.text, offset=failed.offset)
    if any(isinstance(event, e.LoaderPrompt) for event in events):
        return _Cause(outcome, "the loader waits at its prompt")
    if ending is Ending.TIMEOUT:
        return _Cause(outcome, f"{outcome}: --timeout expired before the kernel was entered")
    return _Cause(outcome, f"{outcome}: {ending} before the kernel was entered")


def _early_outcome(last: Stage) -> Outcome:
    return Outcome.LOADER if last is Stage.LOADER else Outcome.FIRMWARE


def _loader_returned(events: Sequence[e.Event]) -> bool:
    """Return whether the loader failed after its last line, and no kernel printed anything."""
    kernels = [x for x in events if stage_after(Stage.FIRMWARE, x).in_kernel]
    if not kernels or not all(isinstance(x, e.KernelEntered) for x in kernels):
        return False
    last = kernels[-1].offset
    failed = (x for x in events if isinstance(x, e.LoaderFailed) and x.offset > last)
    return any(x.fault is LoaderFault.FATAL for x in failed)


def _loader_failure(events: Sequence[e.Event]) -> e.LoaderFailed | None:
    """Return the loader's error that explains most; of several, the first.

    Missing files that loader.conf lists are ignored, as they are optional.
    """
    listed = min((x.offset for x in events if isinstance(x, e.ModulesLoading)), default=None)
    failed = [event for event in events if isinstance(event, e.LoaderFailed)]
    needed = [
        event
        for event in failed
        if listed is None or event.offset < listed or event.fault is not LoaderFault.REFUSED
    ]
    failed = needed or failed
    highest = max((event.fault for event in failed), default=None)
    return next((event for event in failed if event.fault is highest), None)


def _warnings(
    events: Sequence[e.Event], cause_offset: int | None, failures: ConsoleFailures
) -> tuple[str, ...]:
    reported = {failure.panic for failure in failures.found if failure.panic is not None}
    texts = (
        warning_text(event)
        for event in events
        if event.offset != cause_offset and not (isinstance(event, e.Panic) and event in reported)
    )
    return tuple(dict.fromkeys(text for text in texts if text))[:MAX_WARNINGS]
