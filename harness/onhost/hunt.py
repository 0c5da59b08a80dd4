"""A search of a program of the host without a model: for panics, and for invariants that break.

Each random trace depends on the seed and its number alone, and is run in a copy of the program
that has done nothing yet (fork(2)): it comes out the same whatever was found before it. The search
goes on until its operations are done: each kind of finding is shrunk once, and then counted.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from harness.check.channel import Channel, ChannelEnded, GuestGone, GuestSilent
from harness.check.protocol import Nonsense
from harness.check.result import CheckResult, HostRun, SearchFinding
from harness.check.shrink import shrink
from harness.onhost.ending import EndingKind, HostEnding

if TYPE_CHECKING:
    from harness.check.checker import CheckPlan
    from harness.check.subject import HuntedSubject, Trace
    from harness.console.report import GuestReport
    from harness.host.clock import Clock
    from harness.host.progress import Progress
    from harness.onhost.run import HostTap, ProgramRunner

#: How many shorter traces are tried for each finding, in a fresh program each time it has ended.
_SHRINK_ATTEMPTS: Final = 600
#: Endings that take seconds or gigabytes each time: the trace is kept as it was found.
_COSTLY: Final = frozenset({EndingKind.LOOP, EndingKind.MEMORY, EndingKind.EXHAUSTED})
#: Kinds of findings after which a search ends: so much is wrong that more would not help.
_MOST_KINDS: Final = 30
#: Traces that end in a limit of the program, after which a search ends: it may come to nothing.
_MOST_LIMITS: Final = 200
_TELL_EVERY: Final = 2000


@dataclass(slots=True)
class HuntedFinding:
    """What a program was found to do.

    Args:
        ending: how it ended.
        first: operations up to its first occurrence.
        trace: the shortest trace that shows it; None where no trace was begun.
        known: the named case that it is of; empty for a new one.
        alone: whether the trace shows it in a fresh program.
        times: how often it was seen.
    """

    ending: HostEnding
    first: int
    trace: Trace | None
    known: str = ""
    alone: bool = True
    times: int = 1


@dataclass(slots=True)
class Hunt:
    """Searches one program.

    Args:
        plan: what is to be checked; its replay is run in the place of random traces.
        hunted: makes the subject; see ``Specification``.
        runner: starts the program.
        clock: measures time.
        progress: shows the operations done.

    Attributes:
        findings: by title, in the order in which they were found.
    """

    plan: CheckPlan
    hunted: Callable[[Channel, GuestReport, int, Callable[[], None]], HuntedSubject[Any]]
    runner: ProgramRunner
    clock: Clock
    progress: Progress
    findings: dict[str, HuntedFinding] = field(default_factory=dict)
    _counted: int = 0
    _traces: int = 0
    _left_out: tuple[str, ...] = ()
    _closely: bool = True
    _held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _tap: HostTap | None = None
    _subject: HuntedSubject[Any] | None = None

    def run(self) -> CheckResult:
        """Search until the operations are done.

        Raises:
            UsageError: the trace to be replayed cannot be run here.
            InfraError: the host is at fault.
        """
        started = self.clock.monotonic()
        with self._held:
            if self.plan.replay is None:
                self._search()
            else:
                self._replay(self.plan.replay)
        return replace(self._result(), seconds=round(self.clock.monotonic() - started, 3))

    @property
    def shortest(self) -> Trace | None:
        """Of the first new finding."""
        first = self._first()
        return first.trace if first is not None else None

    # --- the search ---------------------------------------------------------------------------

    def _search(self) -> None:
        number = 0
        while (
            self._counted < self.plan.operations
            and len(self.findings) < _MOST_KINDS
            and self._limits() < _MOST_LIMITS
        ):
            self._random(number)
            number += 1

    def _limits(self) -> int:
        """How often the program has reached a limit of its own."""
        return sum(each.times for each in self.findings.values() if not each.ending.is_finding)

    def _random(self, number: int) -> None:
        rng = random.Random(f"{self.plan.seed}/{number}")  # noqa: S311 - to be repeated
        trace = None
        try:
            with self._copied() as subject:
                subject.left_out = self._left_out
                trace = subject.random_trace(rng)
                self._traces += 1
                subject.run(trace)
        except (ChannelEnded, Nonsense) as ended:
            self._note(self._ending(ended), trace)

    def _replay(self, given: Trace) -> None:
        trace = None
        try:
            with self._copied() as subject:
                trace = subject.given_trace(given)
                self._traces += 1
                subject.run_closely(trace)
        except (ChannelEnded, Nonsense) as ended:
            ending = self._ending(ended)
            found = HuntedFinding(ending, self._counted + 1, trace)
            found.known = self._known(found)
            self.findings[ending.title] = found

    def _note(self, ending: HostEnding, trace: Trace | None) -> None:
        """Something was found: again, or for the first time."""
        if ending.title in self.findings:
            self.findings[ending.title].times += 1
            return
        if trace is not None:
            ending = self._cause(ending, trace)
        title = ending.title
        if title in self.findings:
            self.findings[title].times += 1
            return
        found = HuntedFinding(ending, self._counted, trace)
        self.findings[title] = found
        if trace is not None and ending.kind not in _COSTLY:
            self.progress.detail(f"shrinks {title[:60]}")
            self._shrink(found, trace)
        found.known = self._known(found)
        name = ending.text.partition(":")[0]
        if ending.kind is EndingKind.INVARIANT and name in self.plan.specification.harmless:
            self._left_out = (*self._left_out, name)

    def _known(self, found: HuntedFinding) -> str:
        trace = "" if found.trace is None else str(found.trace)
        return self.plan.specification.known(found.ending.title, trace)

    def _cause(self, ending: HostEnding, trace: Trace) -> HostEnding:
        """What a fresh program ends with, that looks at all invariants after each operation: what
        is wrong may show late, and in many ways.
        """
        counted = self._counted
        again = self._again(trace)
        self._counted = counted
        return again if again is not None and again.is_finding else ending

    # --- shrinking ----------------------------------------------------------------------------

    def _shrink(self, found: HuntedFinding, trace: Trace) -> None:
        """The shortest trace that shows it in a fresh program."""
        counted = self._counted

        def shows(candidate: Trace) -> bool:
            again = self._again(candidate)
            if again is None or again.title != found.ending.title:
                return False
            found.trace, found.ending = candidate, again
            return True

        found.alone = shows(trace)
        if not found.alone:  # what is looked at in between may hide it
            self._closely = False
            found.alone = shows(trace)
        before = None
        while found.alone and before != found.trace:
            before = found.trace
            if found.trace is not None:
                shrink(found.trace, shows, _SHRINK_ATTEMPTS)
            self._simplify(found, shows)
        self._counted, self._closely = counted, True

    def _simplify(self, found: HuntedFinding, shows: Callable[[Trace], bool]) -> None:
        """Steps that leave as many operations, as long as one shows it."""
        attempts = 0
        progress = True
        while progress and found.trace is not None:
            progress = False
            for candidate in self._program_subject().simpler(found.trace):
                attempts += 1
                if attempts > _SHRINK_ATTEMPTS:
                    return
                if shows(candidate):
                    progress = True
                    break

    def _again(self, candidate: Trace) -> HostEnding | None:
        """What a trace ends the program with; None for nothing."""
        try:
            with self._copied() as subject:
                subject.run_again(candidate, closely=self._closely)
        except (ChannelEnded, Nonsense) as ended:
            return self._ending(ended)
        return None

    # --- programs -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _copied(self) -> Iterator[HuntedSubject[Any]]:
        """The subject in a copy of the program, which has done nothing yet."""
        subject = self._program_subject()
        tap = self._tap
        if tap is None:
            raise GuestGone("the program has ended")
        tap.fork()
        yield subject
        tap.join()

    def _program_subject(self) -> HuntedSubject[Any]:
        """The subject in the program that runs, or in one that is started."""
        if self._tap is None:
            self._tap = self._held.enter_context(self.runner.started())
        if self._subject is None:
            channel = Channel(self._tap, self.clock, self.runner.limits.silence)
            channel.open()
            layout = self.runner.layout
            self._subject = self.hunted(channel, layout.report(), layout.domains, self._count)
        return self._subject

    def _ending(self, ended: Exception) -> HostEnding:
        """How the copy has ended, or is ended for what it says or does not say."""
        tap = self._tap
        if tap is None:
            return HostEnding(EndingKind.EXITED)
        if isinstance(ended, GuestSilent):
            tap.end(EndingKind.LOOP, f"the host program has not answered: {ended}")
        elif not isinstance(ended, GuestGone):
            tap.end(EndingKind.EXITED, f"the host program answers nonsense: {ended}")
        ending = tap.ending or HostEnding(EndingKind.EXITED)
        self._subject = None  # with the commands that it has sent
        if not tap.resume():
            self._held.close()
            self._tap = None
        return ending

    def _count(self) -> None:
        self._counted += 1
        if self._counted % _TELL_EVERY == 0:
            self.progress.detail(f"{self._counted} of {self.plan.operations}")

    # --- the result ---------------------------------------------------------------------------

    def _first(self) -> HuntedFinding | None:
        """The first new one; else the first that is a limit of the program."""
        found = [each for each in self.findings.values()
                 if not each.known or self.plan.fail_on_known]  # fmt: skip
        counted = [each for each in found if each.ending.is_finding]
        limits = [each for each in found if not each.ending.is_finding]
        return next(iter((*counted, *limits)), None)

    def _result(self) -> CheckResult:
        held = self.plan.specification
        identity = self.runner.program.identity
        run = HostRun(
            identity.key, identity.sources, identity.compiler, identity.optimisation,
            identity.shimmed,
        )  # fmt: skip
        result = CheckResult(
            held.subsystem, held.name, held.title, held.proof, self.plan.seed,
            operations=self._counted, setups=self._traces, asked=held.asked, chosen=held.why,
            changed=held.changed, diff=held.diff, host=run, findings=tuple(self._findings()),
        )  # fmt: skip
        first = self._first()
        if first is None:
            return result
        ending = first.ending
        run = replace(run, kind=str(ending.kind), text=ending.text, frames=ending.frames,
                      is_finding=ending.is_finding)  # fmt: skip
        return replace(
            result, conclusion=ending.conclusion, why=ending.in_words(), host=run,
            trace="" if first.trace is None else str(first.trace),
        )  # fmt: skip

    def _findings(self) -> Iterator[SearchFinding]:
        for title, found in self.findings.items():
            trace = "" if found.trace is None else str(found.trace)
            yield SearchFinding(
                title, found.ending.in_words(), found.known, found.ending.is_finding, found.times,
                found.first, trace, found.alone,
            )  # fmt: skip
