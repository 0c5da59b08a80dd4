"""Limits on the events of a console, which can repeat a failure without end."""

from __future__ import annotations

from collections import Counter

from harness.console.events import (
    Backtrace,
    Event,
    EventsDropped,
    FatalTrap,
    Panic,
    ProbeRecord,
    SanitizerFinding,
)

MAX_EVENTS = 256
"""Maximum number of events of a class, except records of the report, which have four digits."""

MAX_REPEATS = 4096
"""Maximum number of reports with a known title; after that, no report is read."""

BACKTRACES_OF_FAILURE = 16
"""Backtraces that are returned after a panic or trap, even if MAX_EVENTS was reached before."""

_UNLIMITED = frozenset({ProbeRecord, EventsDropped})
_HEAD_OF_TRACES = frozenset({Panic, FatalTrap})


class EventLimits:
    """Counts the events of one console."""

    def __init__(self) -> None:
        self._counts: Counter[type[Event]] = Counter()
        self._titles: set[str] = set()  # of sanitizer reports, at most MAX_EVENTS
        self._repeats = 0

    def is_reached(self, kind: type[Event]) -> bool:
        """Return whether further events of a class are dropped."""
        return self._counts[kind] > MAX_EVENTS

    def counted(self, event: Event) -> list[Event]:
        """Count an event; return what stands for it: itself, a note that events are dropped, or
        nothing.
        """
        kind = type(event)
        if kind not in _UNLIMITED:
            self._counts[kind] += 1
            if self._counts[kind] > MAX_EVENTS:
                first = self._counts[kind] == MAX_EVENTS + 1
                return [EventsDropped(event.offset, kind.__name__)] if first else []
        if kind in _HEAD_OF_TRACES:
            most = MAX_EVENTS - BACKTRACES_OF_FAILURE
            self._counts[Backtrace] = min(self._counts[Backtrace], most)
        return [event]

    def is_repeated(self, finding: SanitizerFinding) -> bool:
        """Return whether a report's title is known, and to be left out; a race repeats its report.

        After MAX_REPEATS, the limit for reports is reached.
        """
        known = finding.title in self._titles
        self._titles.add(finding.title)
        self._repeats += known
        if known and self._repeats > MAX_REPEATS:
            self._counts[SanitizerFinding] = max(self._counts[SanitizerFinding], MAX_EVENTS)
            return False
        return known
