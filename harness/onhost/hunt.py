"""Searches a host program without a model, for panics and broken invariants.

Each random trace depends on the seed and its number alone, and runs in a fresh copy of the program
(fork(2)), so its result does not depend on earlier traces. The search continues until its
operations are done: each kind of finding is shrunk once, and then counted. Two causes may have one
title, so now and then an occurrence is shrunk again: if its trace is of another shape or another
named case, it is a finding of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from harness.check.channel import ChannelEnded
from harness.check.protocol import Nonsense
from harness.check.result import CheckResult, HostRun, SearchFinding
from harness.check.shrink import shrink
from harness.check.subject import PlacedTrace
from harness.onhost.casejudge import CaseJudge
from harness.onhost.ending import COSTLY, EndingKind, HostEnding
from harness.onhost.interleaving import USUAL_SCHEDULES
from harness.onhost.layout import layout_for

if TYPE_CHECKING:
    from harness.check.checker import CheckPlan
    from harness.check.subject import Trace
    from harness.host.clock import Clock
    from harness.host.progress import Progress
    from harness.onhost.huntedprogram import HuntedProgram
    from harness.onhost.layout import HostLayout

#: Occurrences of a known case that are compared with the code below the changes.
_MOST_COMPARED: Final = 50
#: Occurrences of a new finding after which a search ends: it hides all else.
_MOST_TIMES: Final = 50
#: Occurrences of a title that are shrunk again, and maximum number of findings of one title.
_SHRUNK_AGAIN: Final = frozenset({2, 4, 8, 16, 32, 64, 128, 256})
_MOST_ALIKE: Final = 4
#: How often a random trace looks at one of the harmless invariants that were found broken.
_LOOKS_AGAIN: Final = 0.3
#: How often a random trace is for another machine than the program's.
_ELSEWHERE: Final = 0.35
#: Maximum number of shorter traces that are tried for each finding.
_SHRINK_ATTEMPTS: Final = 600
#: The same where each is run by many schedules, how many these are, and those of all traces.
_SHRINK_INTERLEAVED: Final = 80
_SHRINK_SCHEDULES: Final = 400
_SHRINK_ALL_SCHEDULES: Final = 6000
#: Maximum number of kinds of findings, after which a search ends.
_MOST_KINDS: Final = 30
#: Maximum number of traces that end in a limit of the program, after which a search ends.
_MOST_LIMITS: Final = 200
_TELL_EVERY: Final = 2000


@dataclass(slots=True)
class HuntedFinding:
    """A kind of finding.

    Args:
        ending: the program's ending.
        first: operations up to its first occurrence.
        trace: the shortest trace that shows it; None if no trace was running.
        known: its named case; empty for a new finding.
        alone: whether the trace shows it in a fresh program.
        times: the number of occurrences.
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
        plan: the check; its replay, if any, runs instead of random traces.
        program: the program; its ``counted`` is set here.
        base: see ``CaseJudge``.
        fixed: see ``CaseJudge``.
        clock: measures time.
        progress: shows the operations done.
        others: other machines that random traces are for, too.
        changed: see ``CaseJudge``.

    Attributes:
        findings: in order of their first occurrence.
    """

    plan: CheckPlan
    program: HuntedProgram
    base: Callable[[], HuntedProgram | None]
    fixed: Callable[[str], HuntedProgram | None]
    clock: Clock
    progress: Progress
    others: Sequence[HostLayout] = ()
    changed: Callable[[str], HuntedProgram | None] = lambda _: None
    findings: list[HuntedFinding] = field(default_factory=list)
    _judge: CaseJudge = field(init=False)
    _counted: int = 0
    _traces: int = 0
    _left_out: tuple[str, ...] = ()
    _closely: bool = True

    def __post_init__(self) -> None:
        held, base = self.plan.specification, self.base
        self._judge = CaseJudge(held, self.program, base, self.fixed, self.changed)

    def run(self) -> CheckResult:
        """Search until the operations are done.

        Raises:
            UsageError: the trace to replay cannot be run here.
            InfraError: the host failed.
        """
        started = self.clock.monotonic()
        self.program.counted = self._count
        self.program.interleaving.limit = self.plan.schedules
        with self.program:
            if self.plan.replay is None:
                self._search()
            else:
                self._replay(self.plan.replay)
        return replace(self._result(), seconds=round(self.clock.monotonic() - started, 3))

    @property
    def shortest(self) -> Trace | None:
        """The trace of the first new finding."""
        first = self._first()
        return first.trace if first is not None else None

    # --- the search ---------------------------------------------------------------------------

    def _search(self) -> None:
        number = 0
        while (
            self._counted < self.plan.operations
            and len(self.findings) < _MOST_KINDS
            and self._limits() < _MOST_LIMITS
            and all(self._times_of_new(each.ending.title) < _MOST_TIMES for each in self.findings)
        ):
            self._random(number)
            number += 1

    def _limits(self) -> int:
        """Return how often the program reached a limit of its own."""
        return sum(each.times for each in self.findings if not each.ending.is_finding)

    def _random(self, number: int) -> None:
        rng = random.Random(f"{self.plan.seed}/{number}")  # noqa: S311 - to be repeated
        trace = None
        self.program.layout = self._machine(rng)
        try:
            with self.program.copied() as subject:
                subject.left_out = self._looked_over(rng)
                trace = subject.random_trace(rng)
                self._traces += 1
                subject.run(trace)
        except (ChannelEnded, Nonsense) as ended:
            ending = self.program.ending(ended)
            if self.program.is_intended(ending):
                self._random(number)  # all the same, up to there
            else:
                self._note(ending, self.program.exact(trace))

    def _machine(self, rng: random.Random) -> HostLayout:
        """Return the machine of a random trace."""
        elsewhere = bool(self.others) and rng.random() < _ELSEWHERE
        return rng.choice(self.others) if elsewhere else self.program.runner.layout

    def _looked_over(self, rng: random.Random) -> tuple[str, ...]:
        """Return the invariants that are not looked at: what is behind them is looked for, too."""
        names = self._left_out
        if not names or rng.random() >= _LOOKS_AGAIN:
            return names
        looked_at = rng.choice(names)
        return tuple(name for name in names if name != looked_at)

    def _replay(self, given: Trace) -> None:
        trace = None
        if self.others and isinstance(given, PlacedTrace):
            self.program.layout = layout_for(given.machine, self.program.layout)
        self.program.interleaving.limit = self.plan.schedules or USUAL_SCHEDULES
        try:
            with self.program.copied() as subject:
                trace = subject.given_trace(given)
                self._traces += 1
                subject.run_closely(trace)
        except (ChannelEnded, Nonsense) as ended:
            ending = self.program.ending(ended)
            if self.program.is_intended(ending):
                self._replay(given)
                return
            trace = self.program.exact(trace)
            found = HuntedFinding(ending, self._counted + 1, trace)
            found.known = self._known(found)
            self.findings.append(found)

    def _note(self, ending: HostEnding, trace: Trace | None) -> None:
        """Record a finding, or another occurrence of it."""
        if self._counts(ending.title, trace) or self._is_of_base(ending, trace):
            return
        if trace is not None:
            cause = self._cause(ending, trace)
            if cause.title != ending.title and self._counts(cause.title, trace):
                return
            ending = cause
        new = trace is not None and self._judge.is_new(ending.title, trace)
        found = HuntedFinding(ending, self._counted, trace)
        if trace is not None and ending.kind not in COSTLY:
            self.progress.detail(f"shrinks {ending.title[:60]}")
            self._shrink(found, trace, new=new)
        found.known = self._known(found)
        self._add(found)

    def _times_of_new(self, title: str) -> int:
        return sum(each.times for each in self._of(title) if not each.known)

    def _of(self, title: str) -> list[HuntedFinding]:
        return [each for each in self.findings if each.ending.title == title]

    def _is_same(self, one: HuntedFinding, other: HuntedFinding) -> bool:
        """Return whether two findings of one title have one cause, as far as can be told."""
        if one.known or other.known:
            return one.known == other.known
        many = len(self._of(one.ending.title)) > _MOST_ALIKE
        if many or one.trace is None or other.trace is None:
            return True
        shape = self.program.subject().shape
        return shape(one.trace) == shape(other.trace)

    def _counts(self, title: str, trace: Trace | None) -> bool:
        """Count another occurrence; return False for one that may be another finding.

        A known case must not hide a change that breaks the same thing, so the first of its traces
        are also run in the code below the changes.
        """
        alike = self._of(title)
        if not alike:
            return False
        times = sum(each.times for each in alike) + 1
        if trace is not None and times in _SHRUNK_AGAIN and alike[0].ending.kind not in COSTLY:
            return False
        known = next((each for each in alike if each.known), None)
        new = next((each for each in alike if not each.known), None)
        shown = trace is None or times > _MOST_COMPARED or self._judge.base_shows(title, trace)
        if known is None or shown:
            (known or alike[0]).times += 1
            return True
        if new is not None:
            new.times += 1
        return new is not None

    def _is_of_base(self, ending: HostEnding, trace: Trace | None) -> bool:
        """Record a finding of a named case that the code below the changes shows as well.

        It is not shrunk: its trace says nothing about the changes.
        """
        judge = self._judge
        if trace is None or not judge.has_base or not judge.base_shows(ending.title, trace):
            return False
        if known := judge.case_of(ending.title, trace):
            self._add(HuntedFinding(ending, self._counted, None, known))
        return bool(known)

    def _add(self, found: HuntedFinding) -> None:
        """Add a finding, or another occurrence of one; look less at an invariant it breaks."""
        alike, ending = self._of(found.ending.title), found.ending
        same = next((each for each in alike if self._is_same(each, found)), None)
        if same is None:
            self.findings.append(found)
        else:
            same.times += 1
        name = ending.text.partition(":")[0]
        harmless = self.plan.specification.harmless
        if ending.kind is EndingKind.INVARIANT and name in harmless - set(self._left_out):
            self._left_out = (*self._left_out, name)

    def _known(self, found: HuntedFinding) -> str:
        """Return the named case that a finding is of; empty for a new finding."""
        title, trace = found.ending.title, found.trace
        if trace is not None and self._judge.is_new(title, trace):
            return ""
        return self._judge.case_of(title, trace)

    def _cause(self, ending: HostEnding, trace: Trace) -> HostEnding:
        """Return the ending of a copy that checks all invariants after each operation.

        A fault may show late, and in many ways.
        """
        counted = self._counted
        again = self.program.again(trace, closely=self._closely)
        self._counted = counted
        return again if again is not None and again.is_finding else ending

    # --- shrinking ----------------------------------------------------------------------------

    def _shrink(self, found: HuntedFinding, trace: Trace, *, new: bool) -> None:
        """Search the shortest trace that shows it; if ``new``, one that the base does not show."""
        counted = self._counted
        interleaving = self.program.interleaving
        limit, counts = interleaving.limit, replace(interleaving.counts)
        interleaving.limit = min(limit, _SHRINK_SCHEDULES, 100 + 2 * interleaving.needed)

        def shows(candidate: Trace) -> bool:
            if interleaving.counts.schedules - counts.schedules > _SHRINK_ALL_SCHEDULES:
                return False
            again = self.program.again(candidate, closely=self._closely)
            if again is None or again.title != found.ending.title:
                return False
            if new and self._judge.base_shows(again.title, candidate):
                return False
            found.trace, found.ending = self.program.exact(candidate), again
            return True

        found.alone = shows(trace)
        if not found.alone:  # what is looked at in between may hide it
            self._closely = False
            found.alone = shows(trace)
        before = None
        while found.alone and before != found.trace:
            before = found.trace
            if found.trace is not None:
                shrink(found.trace, shows, self._attempts)
            self._simplify(found, shows)
        self._counted, self._closely = counted, True
        interleaving.limit, interleaving.counts = limit, counts

    @property
    def _attempts(self) -> int:
        return _SHRINK_INTERLEAVED if self.plan.schedules else _SHRINK_ATTEMPTS

    def _simplify(self, found: HuntedFinding, shows: Callable[[Trace], bool]) -> None:
        """Steps that leave as many operations, as long as one shows it."""
        attempts = 0
        progress = True
        while progress and found.trace is not None:
            progress = False
            for candidate in self.program.subject().simpler(found.trace):
                attempts += 1
                if attempts > self._attempts:
                    return
                if shows(candidate):
                    progress = True
                    break

    def _count(self) -> None:
        self._counted += 1
        if self._counted % _TELL_EVERY == 0:
            self.progress.detail(f"{self._counted} of {self.plan.operations}")

    # --- the result ---------------------------------------------------------------------------

    def _first(self) -> HuntedFinding | None:
        """The first new one; else the first that is a limit of the program."""
        found = [each for each in self.findings
                 if not each.known or self.plan.fail_on_known]  # fmt: skip
        counted = [each for each in found if each.ending.is_finding]
        limits = [each for each in found if not each.ending.is_finding]
        return next(iter((*counted, *limits)), None)

    def _result(self) -> CheckResult:
        held = self.plan.specification
        identity = self.program.runner.program.identity
        run = HostRun(
            identity.key, identity.sources, identity.compiler, identity.optimisation,
            identity.shimmed, identity.sanitizers,
        )  # fmt: skip
        result = CheckResult(
            held.subsystem, held.name, held.title, held.proof, self.plan.seed,
            operations=self._counted, setups=self._traces, asked=held.asked, chosen=held.why,
            changed=held.changed, diff=held.diff, host=run, findings=tuple(self._findings()),
            interleavings=self._interleavings(),
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

    def _interleavings(self) -> Mapping[str, int]:
        counts = self.program.interleaving.counts
        return counts.document() if counts.programs else {}

    def _findings(self) -> Iterator[SearchFinding]:
        for found in self.findings:
            trace = "" if found.trace is None else str(found.trace)
            yield SearchFinding(
                found.ending.title, found.ending.in_words(), found.known,
                found.ending.is_finding, found.times,
                found.first, trace, found.alone,
            )  # fmt: skip
