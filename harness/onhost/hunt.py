"""Searches a host program without a model, for panics and broken invariants.

Each random trace depends on the seed and its number alone, and runs in a fresh copy of the program
(fork(2)), so its result does not depend on earlier traces. The search continues until its
operations are done: each kind of finding is shrunk once, and then counted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from harness.check.channel import ChannelEnded
from harness.check.protocol import Nonsense
from harness.check.result import CheckResult, HostRun, SearchFinding
from harness.check.shrink import shrink
from harness.onhost.ending import COSTLY, EndingKind, HostEnding
from harness.onhost.interleaving import USUAL_SCHEDULES

if TYPE_CHECKING:
    from harness.check.checker import CheckPlan
    from harness.check.subject import Trace
    from harness.host.clock import Clock
    from harness.host.progress import Progress
    from harness.onhost.huntedprogram import HuntedProgram

#: Occurrences of a known case that are compared with the code below the changes.
_MOST_COMPARED: Final = 50
#: Occurrences of a new finding after which a search ends: it hides all else.
_MOST_TIMES: Final = 50
#: Added to the title of a finding that the code below the changes shows only by other traces.
_NOT_BELOW: Final = ", by what the code below the changes does right"
#: Maximum number of shorter traces that are tried for each finding.
_SHRINK_ATTEMPTS: Final = 600
#: The same where each is run by many schedules, and how many these are.
_SHRINK_INTERLEAVED: Final = 80
_SHRINK_SCHEDULES: Final = 400
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
        base: returns the program of the code below the changes, always the same one; None if
            nothing is changed.
        clock: measures time.
        progress: shows the operations done.

    Attributes:
        findings: the findings by title, in order of their first occurrence.
    """

    plan: CheckPlan
    program: HuntedProgram
    base: Callable[[], HuntedProgram | None]
    clock: Clock
    progress: Progress
    findings: dict[str, HuntedFinding] = field(default_factory=dict)
    _counted: int = 0
    _traces: int = 0
    _left_out: tuple[str, ...] = ()
    _closely: bool = True

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
            and all(each.known or each.times < _MOST_TIMES for each in self.findings.values())
        ):
            self._random(number)
            number += 1

    def _limits(self) -> int:
        """Return how often the program reached a limit of its own."""
        return sum(each.times for each in self.findings.values() if not each.ending.is_finding)

    def _random(self, number: int) -> None:
        rng = random.Random(f"{self.plan.seed}/{number}")  # noqa: S311 - to be repeated
        trace = None
        try:
            with self.program.copied() as subject:
                subject.left_out = self._left_out
                trace = subject.random_trace(rng)
                self._traces += 1
                subject.run(trace)
        except (ChannelEnded, Nonsense) as ended:
            ending = self.program.ending(ended)
            self._note(ending, None if trace is None else self.program.exact(trace))

    def _replay(self, given: Trace) -> None:
        trace = None
        self.program.interleaving.limit = self.plan.schedules or USUAL_SCHEDULES
        try:
            with self.program.copied() as subject:
                trace = subject.given_trace(given)
                self._traces += 1
                subject.run_closely(trace)
        except (ChannelEnded, Nonsense) as ended:
            ending = self.program.ending(ended)
            trace = None if trace is None else self.program.exact(trace)
            found = HuntedFinding(ending, self._counted + 1, trace)
            found.known = self._known(found)
            self.findings[ending.title] = found

    def _note(self, ending: HostEnding, trace: Trace | None) -> None:
        """Record a finding, or another occurrence of it."""
        if self._seen(ending.title, trace):
            return
        if trace is not None:
            cause = self._cause(ending, trace)
            if cause.title != ending.title and self._seen(cause.title, trace):
                return
            ending = cause
        title = ending.title
        new = trace is not None and self._is_new(title, trace)
        found = HuntedFinding(ending, self._counted, trace)
        self.findings[title if title not in self.findings else f"{title}{_NOT_BELOW}"] = found
        if trace is not None and ending.kind not in COSTLY:
            self.progress.detail(f"shrinks {title[:60]}")
            self._shrink(found, trace, new=new)
        found.known = self._known(found)
        name = ending.text.partition(":")[0]
        if ending.kind is EndingKind.INVARIANT and name in self.plan.specification.harmless:
            self._left_out = (*self._left_out, name)

    def _seen(self, title: str, trace: Trace | None) -> bool:
        """Count another occurrence; return False for one that may be new.

        A known case must not hide a change that breaks the same thing, so the first of its traces
        are also run in the code below the changes.
        """
        found = self.findings.get(title)
        if found is None:
            return False
        found.times += 1
        if not found.known or trace is None or found.times > _MOST_COMPARED:
            return True
        if self._base_shows(title, trace):
            return True
        found.times -= 1
        beside = self.findings.get(f"{title}{_NOT_BELOW}")
        if beside is not None:
            beside.times += 1
        return beside is not None

    def _known(self, found: HuntedFinding) -> str:
        title, trace = found.ending.title, found.trace
        if trace is not None and self._is_new(title, trace):
            return ""
        return self.plan.specification.known(title, "" if trace is None else str(trace))

    def _is_new(self, title: str, trace: Trace) -> bool:
        """Return whether it matches a known case, but only the changed code shows it."""
        looks_known = bool(self.plan.specification.known(title, str(trace)))
        return looks_known and not self._base_shows(title, trace)

    def _base_shows(self, title: str, trace: Trace) -> bool:
        """Return whether the code below the changes shows it; True if nothing is changed."""
        base = self.base()
        if base is None:
            return True
        endings = (base.again(trace, closely=closely) for closely in (True, False))
        return any(ending is not None and ending.title == title for ending in endings)

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
        interleaving.limit = min(limit, _SHRINK_SCHEDULES)

        def shows(candidate: Trace) -> bool:
            again = self.program.again(candidate, closely=self._closely)
            if again is None or again.title != found.ending.title:
                return False
            if new and self._base_shows(again.title, candidate):
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
        found = [each for each in self.findings.values()
                 if not each.known or self.plan.fail_on_known]  # fmt: skip
        counted = [each for each in found if each.ending.is_finding]
        limits = [each for each in found if not each.ending.is_finding]
        return next(iter((*counted, *limits)), None)

    def _result(self) -> CheckResult:
        held = self.plan.specification
        identity = self.program.runner.program.identity
        run = HostRun(
            identity.key, identity.sources, identity.compiler, identity.optimisation,
            identity.shimmed,
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
        for title, found in self.findings.items():
            trace = "" if found.trace is None else str(found.trace)
            yield SearchFinding(
                title, found.ending.in_words(), found.known, found.ending.is_finding, found.times,
                found.first, trace, found.alone,
            )  # fmt: skip
