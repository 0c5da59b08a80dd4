"""A check of one guest: random traces or a given one, the differences shrunk."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.check.channel import Channel, ChannelEnded, GuestGone, GuestRefused, GuestSilent
from harness.check.protocol import Nonsense, read_number
from harness.check.result import CheckResult, Conclusion, Difference
from harness.check.shrink import shrink
from harness.errors import UsageError
from harness.guest.tap import Detached, Tap
from harness.host.progress import Progress, Recorded

if TYPE_CHECKING:
    from harness.check.subject import Differs, Specification, Subject, Trace
    from harness.console.report import GuestReport
    from harness.host.clock import Clock

#: How many shorter traces are tried on the guest.
_SHRINK_ATTEMPTS = 400
#: Operations after which the progress is told.
_TELL_EVERY = 50
#: Seconds that an answer may take on a fast accelerator.
_SILENCE = 20.0


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What is to be checked.

    Args:
        specification: what the code should do.
        operations: how many, at least.
        seed: of the random traces.
        replay: a trace to run instead of random ones.
        first: a trace to run before random ones: what a program of the host was found to do.
        beside: look at what is no trace, too.
        slowness: how much longer everything may take than on a fast accelerator.
    """

    specification: Specification
    operations: int
    seed: int
    replay: Trace | None = None
    first: Trace | None = None
    beside: bool = True
    slowness: float = 1.0


class Checker:
    """Checks one guest; a companion (``harness.boot.companion``).

    Args:
        plan: what is to be checked.
        clock: tells time.

    Attributes:
        result: what has come of it so far; the check is over when ``work`` is.
    """

    def __init__(self, plan: CheckPlan, clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._trace: Trace | None = None
        self._counted = 0
        self._counted_before = 0
        self._progress: Progress = Recorded()
        self._shown: tuple[Trace, Differs] | None = None
        held = plan.specification
        self.result = CheckResult(
            held.subsystem, held.name, held.title, held.proof, plan.seed,
            conclusion=Conclusion.GONE, why="the guest did not get that far",
            asked=held.asked, chosen=held.why, changed=held.changed, diff=held.diff,
        )  # fmt: skip

    @property
    def module(self) -> str:
        """The subsystem whose check module it talks to."""
        return self._plan.specification.subsystem

    def again(self, slower: float = 1.0) -> Checker:
        """The same check of another guest, which may take ``slower`` times as long."""
        plan = replace(self._plan, slowness=self._plan.slowness * slower)
        return Checker(plan, self._clock)

    def work(self, channel: Tap, report: GuestReport, progress: Progress, time: Clock) -> None:
        """Check the guest, to the end or to what ends it; ``result`` says what came of it."""
        self._progress = progress
        started = self._clock.monotonic()
        try:
            self._check(Channel(channel, time, _SILENCE * self._plan.slowness), report)
        except Detached:
            # The console has told why the guest is to be ended.
            self._ended(Conclusion.GONE, "the guest was ended in the middle")
        except GuestGone as ended:
            self._ended(Conclusion.GONE, str(ended))
        except GuestSilent as ended:
            self._ended(Conclusion.SILENT, str(ended))
        except Nonsense as ended:
            self._ended(Conclusion.NONSENSE, str(ended))
        except ChannelEnded as ended:
            self._ended(Conclusion.REFUSED, str(ended))
        seconds = round(self._clock.monotonic() - started, 3)
        self.result = replace(self.result, operations=self._counted, seconds=seconds)

    def _check(self, channel: Channel, report: GuestReport) -> None:
        domains = read_number(channel.open(), "domains")
        if domains != report.domains:
            raise Nonsense(f"{domains} domains, and its init said {report.domains}")
        subject = self._plan.specification.subject(channel, report, domains, self._count)
        given = self._plan.replay
        difference = self._repeat(subject)
        if difference is None:
            difference = self._random(subject) if given is None else self._replay(subject, given)
        if difference is not None:
            self._conclude(Conclusion.DIFFERS, "; ".join(difference.lines), difference)
            self._tell_alike(subject)
        else:
            self._conclude(Conclusion.AGREED, "")
            if self._plan.beside and given is None:
                self._look_beside(subject)

    def _repeat(self, subject: Subject[Any]) -> Difference | None:
        """What was found elsewhere, if this guest can be told it."""
        if self._plan.first is None:
            return None
        try:
            difference = self._replay(subject, self._plan.first)
        except UsageError:
            return None
        if difference is None:
            subject.discard()
        return difference

    def _random(self, subject: Subject[Any]) -> Difference | None:
        rng = random.Random(self._plan.seed)  # noqa: S311 - to be repeated, not to be secret
        while self._counted < self._plan.operations:
            trace = self._begun(subject.random_trace(rng), subject)
            found = subject.run(trace)
            if found is not None:
                return self._shrunk(subject, trace, found)
            subject.discard()
        return None

    def _replay(self, subject: Subject[Any], given: Trace) -> Difference | None:
        trace = self._begun(subject.given_trace(given), subject)
        found = subject.run(trace)
        if found is None:
            return None
        self._shown = (trace.head(found.place + 1), found)
        return self._told(trace, found)

    def _begun(self, trace: Trace, subject: Subject[Any]) -> Trace:
        self._trace, self._counted_before = trace, self._counted
        self.result = replace(self.result, zones=subject.setups)
        return trace

    def _shrunk(self, subject: Subject[Any], trace: Trace, found: Differs) -> Difference:
        first = self._counted + 1
        self._counted = first
        trace = trace.head(found.place + 1)
        shortest = [(trace, found)]

        def shows(candidate: Trace) -> bool:
            again = subject.run_again(candidate)
            if again is not None:
                shortest.append((candidate.head(again.place + 1), again))
            return again is not None

        # What counts is said of the traces as they were found, not of those tried on the way.
        self._shown = (trace, found)
        with_shrinking, self._counted = self._counted, 0
        self._progress.detail("shrinks what differs")
        try:
            shrink(trace, shows, _SHRINK_ATTEMPTS)
        except (GuestGone, GuestSilent, GuestRefused, Nonsense):
            pass  # a shorter one is worse for the guest: the shortest so far is good enough
        finally:
            self._counted = with_shrinking
        best, how = min(shortest, key=lambda each: len(each[0]))
        return replace(self._told(best, how), first=first)

    def _told(self, trace: Trace, found: Differs) -> Difference:
        return Difference(
            trace=str(trace),
            length=len(trace),
            step=found.place + 1,
            operation=found.operation,
            lines=found.lines,
            first=self._counted + 1,
        )

    def _tell_alike(self, subject: Subject[Any]) -> None:
        """Name what does what the guest did, if the model knows it."""
        if self._shown is None:
            return
        self._progress.detail("looks for a variant that does the same")
        with_traces = self._counted
        try:
            alike = subject.alike(*self._shown, self._plan.seed)
        except (ChannelEnded, Nonsense):
            return  # the difference is found all the same
        finally:
            self._counted = with_traces
        self.result = replace(self.result, alike=alike)

    def _look_beside(self, subject: Subject[Any]) -> None:
        found = subject.beside()
        self.result = replace(
            self.result, notes=found.notes, measured=found.measured, alike=found.alike
        )
        if found.why:
            self._conclude(Conclusion.DIFFERS, found.why)

    def _count(self) -> None:
        self._counted += 1
        if self._counted % _TELL_EVERY == 0:
            self._progress.detail(f"{self._counted} of {self._plan.operations}")

    def _conclude(
        self, conclusion: Conclusion, why: str, difference: Difference | None = None
    ) -> None:
        self.result = replace(
            self.result, conclusion=conclusion, why=why, difference=difference, trace=""
        )

    def _ended(self, conclusion: Conclusion, why: str) -> None:
        """The guest is lost: the trace up to the operation that has no answer."""
        trace = ""
        if self._trace is not None and len(self._trace):
            trace = str(self._trace.head(self._counted - self._counted_before + 1))
        self.result = replace(self.result, conclusion=conclusion, why=why, trace=trace)
