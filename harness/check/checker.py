"""A check of a guest with random traces or a given one; differences are shrunk."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.check.channel import Channel, ChannelEnded, GuestGone, GuestRefused, GuestSilent
from harness.check.protocol import Nonsense, read_number
from harness.check.result import CheckResult, Conclusion, Difference
from harness.check.shrink import shrink
from harness.errors import UsageError
from harness.guest.serialtap import Detached
from harness.host.progress import Progress, Recorded

if TYPE_CHECKING:
    from pathlib import Path

    from harness.check.subject import Differs, Specification, Subject, Trace
    from harness.console.report import GuestReport
    from harness.guest.contact import Contact
    from harness.host.clock import Clock

#: Maximum number of shorter traces that are run on the guest.
_SHRINK_ATTEMPTS = 400
#: Operations between updates of the progress.
_PROGRESS_EVERY = 50
#: Commands without an answer: half of them are sent at a time, in one line.
_WINDOW = 60
#: Timeout of an answer on a fast accelerator, in seconds.
_SILENCE = 20.0

#: The guest stays up after its report. Its domains run short of memory, and the page daemon would
#: take free slabs out of the checked zone once in this many seconds (``vm_pageout_lowmem``,
#: vm_pageout.c).
_TUNABLES = {"harness.check": "1", "vm.lowmem_period": "2147483647"}


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """The plan of a check.

    Args:
        specification: the specification.
        operations: the minimum number of operations.
        seed: the seed of the random traces.
        replay: a trace to run instead of random ones.
        first: a trace to run before random ones: what a host program was found to do.
        beside: whether to run checks other than traces, too.
        on_host: whether host programs can be checked like this, too.
        slowness: factor of all timeouts, relative to a fast accelerator.
        fail_on_known: whether findings of named cases count as others do.
        searches: whether random traces are run.
        schedules: the most schedules of a random trace with threads; 0: traces have none.
    """

    specification: Specification
    operations: int
    seed: int
    replay: Trace | None = None
    first: Trace | None = None
    beside: bool = True
    on_host: bool = True
    slowness: float = 1.0
    fail_on_known: bool = False
    searches: bool = True
    schedules: int = 0


class Checker:
    """Checks one guest; a client (``harness.boot.guestclient``).

    Args:
        plan: the plan.
        clock: the clock.

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
        """The subsystem of the check module."""
        return self._plan.specification.subsystem

    @property
    def tunables(self) -> Mapping[str, str]:
        """See ``GuestClient``."""
        return _TUNABLES

    def stop(self) -> None:
        """See ``GuestClient``: a read from the channel raises ``Detached``."""

    @property
    def silence(self) -> tuple[str, str] | None:
        """Title and message if the guest stopped answering; None if it did not."""
        if self.result.conclusion is not Conclusion.SILENT:
            return None
        return "silent during a check", self.result.why

    def into(self, directory: Path) -> Checker:
        """Return itself, as it keeps no files."""
        del directory
        return self

    def again(self, slower: float = 1.0) -> Checker:
        """Return the check for another guest, with timeouts ``slower`` times as long."""
        plan = replace(self._plan, slowness=self._plan.slowness * slower)
        return Checker(plan, self._clock)

    def work(self, contact: Contact, report: GuestReport, progress: Progress, time: Clock) -> None:
        """Check the guest, to the end or to what ends it; ``result`` says what came of it."""
        self._progress = progress
        progress.stage("check")
        started = self._clock.monotonic()
        try:
            silence = _SILENCE * self._plan.slowness
            self._check(Channel(contact.tap, time, silence, _WINDOW, batches=True), report)
        except Detached:
            # The console shows why the guest is ended.
            self._ended(Conclusion.GONE, "the guest was ended during the check")
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
            raise Nonsense(f"the module reports {domains} domains, init {report.domains}")
        subject = self._plan.specification.subject(channel, report, domains, self._count)
        given = self._plan.replay
        difference = self._repeat(subject)
        if difference is None and given is not None:
            difference = self._replay(subject, given)
        elif difference is None and self._plan.searches:
            difference = self._random(subject)
        if difference is not None:
            self._conclude(self._fault, "; ".join(difference.lines), difference)
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
        difference = self._told(trace, found)
        self._counted = difference.first
        return difference

    def _begun(self, trace: Trace, subject: Subject[Any]) -> Trace:
        self._trace, self._counted_before = trace, self._counted
        self.result = replace(self.result, setups=subject.setups)
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

        # Operations of shorter traces are not counted.
        self._shown = (trace, found)
        with_shrinking, self._counted = self._counted, 0
        self._progress.detail("shrinking the trace")
        try:
            shrink(trace, shows, _SHRINK_ATTEMPTS)
        except (GuestGone, GuestSilent, GuestRefused, Nonsense):
            pass  # a shorter trace ended the guest: use the shortest one so far
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
        """Set ``alike`` to a variant of the model that agrees with the guest."""
        if self._shown is None:
            return
        self._progress.detail("searching for a variant that agrees")
        with_traces = self._counted
        try:
            alike = subject.alike(*self._shown, self._plan.seed)
        except (ChannelEnded, Nonsense):
            return  # the difference was found anyway
        finally:
            self._counted = with_traces
        self.result = replace(self.result, alike=alike)

    def _look_beside(self, subject: Subject[Any]) -> None:
        found = subject.beside()
        self.result = replace(
            self.result, notes=found.notes, measured=found.measured, alike=found.alike
        )
        if found.why:
            self._conclude(self._fault, found.why)

    @property
    def _fault(self) -> Conclusion:
        """The conclusion for a guest that did something wrong."""
        modelled = self._plan.specification.is_modelled
        return Conclusion.DIFFERS if modelled else Conclusion.BROKEN

    def _count(self) -> None:
        self._counted += 1
        if self._counted % _PROGRESS_EVERY == 0:
            self._progress.detail(f"{self._counted} of {self._plan.operations}")

    def _conclude(
        self, conclusion: Conclusion, why: str, difference: Difference | None = None
    ) -> None:
        self.result = replace(
            self.result, conclusion=conclusion, why=why, difference=difference, trace=""
        )

    def _ended(self, conclusion: Conclusion, why: str) -> None:
        """Set the conclusion for a guest that ended, and the trace up to the last operation."""
        trace = ""
        if self._trace is not None and len(self._trace):
            trace = str(self._trace.head(self._counted - self._counted_before + 1))
        self.result = replace(self.result, conclusion=conclusion, why=why, trace=trace)
