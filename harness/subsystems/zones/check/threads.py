"""Zones in a host program, which can also run threads."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.onhost.interleaving import Interleaving
from harness.subsystems.zones.check.guest import CheckedZones, lines
from harness.subsystems.zones.generatethreads import with_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.check.channel import Channel
    from harness.check.subject import Differs
    from harness.console.report import GuestReport
    from harness.subsystems.zones.trace import Trace


class HuntedZones(CheckedZones):
    """See ``harness.check.subject.HuntedSubject``.

    Args:
        channel, report, domains, done: see ``CheckedZones``.

    Attributes:
        interleaving: runs threads by many schedules; its limit is 0 where random traces have none.
        exact: the last trace with threads, with the schedule that it was run by.
    """

    runs_threads = True

    def __init__(
        self, channel: Channel, report: GuestReport, domains: int, done: Callable[[], None]
    ) -> None:
        super().__init__(channel, report, domains, done)
        self.interleaving = Interleaving()
        self.exact: Trace | None = None

    def random_trace(self, rng: random.Random) -> Trace:
        """See ``Subject``."""
        threads = self.interleaving.limit > 0
        trace = with_threads(rng, self.machine) if threads else self._generated(rng)
        trace = replace(trace, left_out=self.left_out)
        self._make(trace)
        return trace

    def _make(self, trace: Trace) -> None:
        self.exact = trace  # a zone that cannot be made ends the program, too
        super()._make(trace)
        self.exact = None

    def _finished(self, trace: Trace, command: str) -> Differs | None:
        if trace.is_concurrent:
            self._run_threads(trace)
        return self._ended(trace, command)

    def _run_threads(self, trace: Trace) -> None:
        """Run the threads by the trace's schedule; without one, by many schedules in copies of the
        program, then in this program by the one that ended a copy."""
        threads = trace.threads
        for number, operations in threads.items():
            for part in lines(operations):
                self._channel.ask(f"thread number={number} ops={'/'.join(part)}")
        schedule = trace.schedule
        if schedule is None:
            before = self.interleaving.counts.operations
            count = sum(map(len, threads.values()))
            schedule = self.interleaving.search(len(threads), count, str(trace))
            for _ in range(self.interleaving.counts.operations - before):
                self._done()
        if schedule is not None:
            self.exact = replace(trace, schedule=schedule)
            for command in schedule.commands():
                self._channel.ask(command)
