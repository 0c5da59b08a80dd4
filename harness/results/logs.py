"""Verdicts on console logs, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.outcome import Outcome
from harness.printable import printable
from harness.results.record import backtrace_lines

if TYPE_CHECKING:
    from harness.verdict import Verdict

SCHEMA = 1
"""The schema version of the JSON document; it is raised when the meaning of a key changes."""

_NOT_KERNEL_FAILURES = frozenset(
    {Outcome.ENDED, Outcome.LOADER, Outcome.FIRMWARE, Outcome.UNVERIFIED}
)
_MAX_FRAMES = 24
_MAX_WARNINGS = 5


@dataclass(frozen=True, slots=True)
class JudgedLog:
    """A log file, as named by the user, and its verdict."""

    file: str
    verdict: Verdict

    @property
    def exit_code(self) -> int:
        """0: booted; 1: the kernel failed; 3: the log shows neither."""
        if self.verdict.outcome is Outcome.BOOTED:
            return 0
        return 3 if self.verdict.outcome in _NOT_KERNEL_FAILURES else 1


def worst_exit_code(logs: Iterable[JudgedLog]) -> int:
    """Return the exit code of several logs: 1 takes precedence over 3, and 3 over 0."""
    codes = {log.exit_code for log in logs}
    return next(code for code in (1, 3, 0) if code in codes)


def to_log_document(logs: Iterable[JudgedLog]) -> dict[str, Any]:
    """Return the verdicts as a JSON document."""
    return {"schema": SCHEMA, "verdicts": [_entry(log) for log in logs]}


def _entry(log: JudgedLog) -> dict[str, Any]:
    verdict = log.verdict
    frames = [
        {
            "function": source.function,
            "offset": frame.symbol_offset,
            "pc": frame.pc,
            "entry": frame.entry,
            "file": source.file,
            "line": source.line,
            "inlined": [asdict(caller) for caller in source.inlined],
        }
        for frame, source in zip(verdict.frames, verdict.symbolized, strict=True)
    ]
    return {
        "file": log.file,
        "verified": False,
        "outcome": verdict.outcome.value,
        "title": verdict.title,
        "titles": list(verdict.titles),
        "reports": list(verdict.reports),
        "message": verdict.message,
        "frames": frames,
        "warnings": list(verdict.warnings),
        "stage": verdict.stage.value,
        "kernel_entered": verdict.kernel_entered,
    }


def log_lines(log: JudgedLog) -> list[str]:
    """Return the verdict, and the failure's message and backtrace, as lines of text."""
    verdict = log.verdict
    lines = [f"{log.file}: {verdict.outcome}: {verdict.title}"]
    if verdict.outcome is not Outcome.BOOTED:
        lines += [f"  {line}" for line in _details(verdict)]
    lines += [f"  also: {title}" for title in verdict.titles if title != verdict.title]
    lines += [f"  report: {title}" for title in verdict.reports]
    warnings = verdict.warnings
    lines += [f"  warning: {warning}" for warning in warnings[:_MAX_WARNINGS]]
    if len(warnings) > _MAX_WARNINGS:
        lines.append(f"  … and {len(warnings) - _MAX_WARNINGS} more warnings")
    return [printable(line) for line in lines]


def _details(verdict: Verdict) -> list[str]:
    message = [line for line in verdict.message.splitlines() if line != verdict.title]
    frames = _backtrace(verdict)
    more = len(frames) - _MAX_FRAMES
    return [
        *message,
        *frames[:_MAX_FRAMES],
        *([f"… and {more} more frames"] if more > 0 else []),
    ]


def _backtrace(verdict: Verdict) -> list[str]:
    if any(frame.file for frame in verdict.symbolized):
        return backtrace_lines([asdict(frame) for frame in verdict.symbolized])
    return [
        f"#{number:<3}{frame.function}+{frame.symbol_offset:#x}"
        for number, frame in enumerate(verdict.frames)
    ]
