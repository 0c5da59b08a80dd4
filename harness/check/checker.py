"""A check of one guest: random traces or a given one, the differences shrunk."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.check.channel import Channel, ChannelEnded, GuestGone, GuestRefused, GuestSilent
from harness.check.protocol import Nonsense, read_number
from harness.check.result import CheckResult, Conclusion, Difference
from harness.check.shrink import Operations, shrink
from harness.errors import UsageError
from harness.guest.tap import Detached, Tap
from harness.host.progress import Progress, Recorded
from harness.subsystems.uma.check.generate import random_trace, zone_plan
from harness.subsystems.uma.check.guest import CheckedGuest, Differs, explains, is_taken, plan_of
from harness.subsystems.uma.model.trace import Trace

if TYPE_CHECKING:
    from harness.console.report import GuestReport
    from harness.host.clock import Clock
    from harness.subsystems.uma.model.specification import Specification
    from harness.subsystems.uma.model.variants import Variant
    from harness.subsystems.uma.model.zone import Shape

#: Operations of one random trace, each on a zone of its own.
TRACE_LENGTH = 60
#: How many shorter traces are tried on the guest.
_SHRINK_ATTEMPTS = 400
#: Operations after which the progress is told.
_TELL_EVERY = 50
#: Random traces in which a variant must agree with a guest that differs from its specification.
_CONFIRMING_TRACES = 4
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
        starve: look at how a thread waits for memory, too.
        slowness: how much longer everything may take than on a fast accelerator.
    """

    specification: Specification
    operations: int
    seed: int
    replay: Trace | None = None
    starve: bool = True
    slowness: float = 1.0

    @property
    def variant(self) -> Variant:
        """The model's variant that the code is held to."""
        return self.specification.variant


class Checker:
    """Checks one guest; a companion (``harness.pipeline.companion``).

    Args:
        plan: what is to be checked.
        clock: tells time.

    Attributes:
        result: what has come of it so far; the check is over when ``work`` is.
    """

    def __init__(self, plan: CheckPlan, clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._operations: Operations = ()
        self._shape: Shape | None = None
        self._counted = 0
        self._counted_before = 0
        self._progress: Progress = Recorded()
        self._shown: tuple[Shape, Operations, Differs] | None = None
        held = plan.specification
        self.result = CheckResult(
            plan.variant.name, plan.variant.proof, plan.seed,
            conclusion=Conclusion.GONE, why="the guest did not get that far",
            asked=held.asked, chosen=held.why, changed=held.changed, diff=held.diff,
        )  # fmt: skip

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
        guest = CheckedGuest(channel, report, domains, self._plan.variant, self._count)
        trace = self._plan.replay
        difference = self._random(guest) if trace is None else self._replay(guest, trace)
        if difference is not None:
            lines = "; ".join(difference.lines)
            self._conclude(Conclusion.DIFFERS, lines, difference)
            self._tell_alike(channel, report, domains)
        else:
            self._conclude(Conclusion.AGREED, "")
            if self._plan.starve and self._plan.replay is None:
                self._starve(guest)

    def _random(self, guest: CheckedGuest) -> Difference | None:
        rng = random.Random(self._plan.seed)  # noqa: S311 - to be repeated, not to be secret
        hashes = guest.hashes()
        while self._counted < self._plan.operations:
            self._shape = guest.zone(zone_plan(rng, guest.zones, hashed=hashes))
            self._operations = random_trace(rng, self._plan.variant, self._shape, TRACE_LENGTH)
            self._counted_before = self._counted
            self.result = replace(self.result, zones=self.result.zones + 1)
            found = guest.run(self._shape, self._operations)
            if found is not None:
                return self._shrunk(guest, self._shape, found)
            guest.discard()
        return None

    def _replay(self, guest: CheckedGuest, trace: Trace) -> Difference | None:
        self._shape = guest.zone(plan_of(trace.shape))
        if self._shape.domains < trace.shape.domains:
            raise UsageError(
                f"the trace is for {trace.shape.domains} domains, the guest has "
                f"{self._shape.domains}",
                remedy=f"name --numa {trace.shape.domains}",
            )
        self.result = replace(self.result, zones=1)
        self._operations = trace.operations
        if not is_taken(self._plan.variant, self._shape, self._operations):
            raise UsageError(
                "the trace has an operation that the kernel asserts against, or that never ends",
                remedy="see what harness model trace says of it",
            )
        found = guest.run(self._shape, self._operations)
        if found is None:
            return None
        self._shown = (self._shape, self._operations[: found.place + 1], found)
        return self._told(self._shape, self._operations, found)

    def _shrunk(self, guest: CheckedGuest, shape: Shape, found: Differs) -> Difference:
        first = self._counted + 1
        self._counted = first
        operations = self._operations[: found.place + 1]
        shortest = [(operations, found)]

        def shows(candidate: Operations) -> bool:
            again = guest.differs(shape, candidate)
            if again is not None:
                shortest.append((candidate[: again.place + 1], again))
            return again is not None

        # What counts is said of the traces as they were found, not of those tried on the way.
        self._shown = (shape, operations, found)
        with_shrinking, self._counted = self._counted, 0
        self._progress.detail("shrinks what differs")
        try:
            shrink(operations, shows, _SHRINK_ATTEMPTS)
        except (GuestGone, GuestSilent, GuestRefused, Nonsense):
            pass  # a shorter one is worse for the guest: the shortest so far is good enough
        finally:
            self._counted = with_shrinking
        best, how = min(shortest, key=lambda each: len(each[0]))
        return replace(self._told(shape, best, how), first=first)

    def _told(self, shape: Shape, operations: Operations, found: Differs) -> Difference:
        trace = Trace(self._plan.variant, shape, operations)
        return Difference(
            trace=str(trace),
            length=len(operations),
            step=found.place + 1,
            operation=str(found.operation),
            lines=found.lines,
            first=self._counted + 1,
        )

    def _tell_alike(self, channel: Channel, report: GuestReport, domains: int) -> None:
        """Name the variant that does what the guest did, if one does.

        One that explains the trace by chance does not agree with the guest for long, so it is
        held to random traces as well.
        """
        if self._shown is None:
            return
        shape, operations, found = self._shown
        variants = (
            variant
            for variant in self._plan.variant.neighbours()
            if explains(variant, shape, operations, found.seen)
        )
        self._progress.detail("looks for a variant that does the same")
        for variant in variants:
            guest = CheckedGuest(channel, report, domains, variant, lambda: None)
            try:
                agrees = self._agrees(guest, variant)
            except (ChannelEnded, Nonsense):
                return  # the difference is found all the same
            if agrees:
                self._name_alike(variant)
                return

    def _name_alike(self, variant: Variant) -> None:
        alike = f"the variant {' and '.join(variant.unlike(self._plan.variant))}"
        self.result = replace(self.result, alike=alike)

    def _agrees(self, guest: CheckedGuest, variant: Variant) -> bool:
        """Whether a guest does what a variant does, in random traces."""
        rng = random.Random(self._plan.seed)  # noqa: S311 - to be repeated, not to be secret
        hashes = guest.hashes()
        for _ in range(_CONFIRMING_TRACES):
            shape = guest.zone(zone_plan(rng, guest.zones, hashed=hashes))
            if guest.run(shape, random_trace(rng, variant, shape, TRACE_LENGTH)) is not None:
                return False
            guest.discard()
        return True

    def _starve(self, guest: CheckedGuest) -> None:
        domain = guest.starvable()
        if domain is None:
            return
        try:
            starved = guest.starve(domain)
        except GuestRefused:
            return  # the built-in guest has one thread
        sleeps = self._plan.variant.domain_wait
        self.result = replace(self.result, starved=starved, sleeps=sleeps)
        if starved.asleep != sleeps:
            does = "sleeps" if starved.asleep else "spins"
            self._conclude(
                Conclusion.DIFFERS,
                f"a thread that waits for memory of domain {domain} {does}: "
                f"{starved.calls_per_second:.0f} calls of the slab allocator a second",
            )
            other = replace(self._plan.variant, domain_wait=starved.asleep)
            self._name_alike(other)

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
        if self._shape is not None and self._operations:
            asked = self._operations[: self._counted - self._counted_before + 1]
            trace = str(Trace(self._plan.variant, self._shape, asked))
        self.result = replace(self.result, conclusion=conclusion, why=why, trace=trace)
