"""Judges the problems of a night: repeats, confirmation of fixes, culprits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from harness.nightly.failures import FailureKey, grouped, seen_as
from harness.nightly.judgement import (
    Repeats,
    SeenProblem,
    incidents_of,
    is_unjudged,
    is_watched,
    judged,
    needs_repeats,
    passes_missing,
    seen_problem,
    with_new_rate,
)
from harness.nightly.night import Classification, Incident, Problem, ProvenCulprit
from harness.nightly.result import Purpose, Result, Slot, Status
from harness.nightly.statistics import is_flakier
from harness.runs.knownissues import known_issue
from harness.runs.nights.cellrunner import NightTask
from harness.runs.nights.ranges import SearchRanges
from harness.runs.nights.repeating import NightRepeats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from harness.history.nights import NightReader
    from harness.nightly.cells import NightCell
    from harness.nightly.issues import KnownIssue
    from harness.nightly.judgement import Places
    from harness.nightly.night import Night
    from harness.runs.nights.cells import NightCells
    from harness.runs.nights.search import NightSearch

#: Boots that confirm a fix at most; what is missing is made up by later nights.
_CONFIRMED: Final = 12


@dataclass(slots=True)
class NightJudge:
    """Judges problems.

    Args:
        cells: runs repeats, and has the night's results.
        slots: the plan's cells by slot.
        reader: the history.
        search: searches culprits.
        issues: the known issues.
        today: the day of the night.
        spent: returns whether the budget is spent.

    Attributes:
        flakier: ids of the problems whose rate rose.
        before: the problems as the last night judged them, by id.
    """

    cells: NightCells
    slots: Mapping[Slot, NightCell]
    reader: NightReader
    search: NightSearch
    issues: Sequence[KnownIssue]
    today: date
    spent: Callable[[], bool]
    flakier: set[str] = field(default_factory=set)
    before: Mapping[str, Problem] = field(default_factory=dict)
    _base: tuple[Result, ...] = ()

    def judge(self) -> list[Problem]:
        """Return the open problems and those that this night fixed, as this night judges them."""
        self.before = self.reader.problems()
        self._base = self._known_of_bases()
        groups = grouped(self._sights())
        failures = {failure.id(self._plan): failure for failure in groups}
        old = {key: each for key, each in self.before.items() if each.open and key not in failures}
        problems = []
        for key, failure in failures.items():
            problem = self._judged(failure, groups[failure], self.before.get(key))
            if problem is not None:
                problems.append(problem)
        problems += map(self._unseen, old.values())
        self._find_flakier(problems)
        return [self._since_first_night(each) for each in self._with_culprits(problems)]

    def _since_first_night(self, problem: Problem) -> Problem:
        """Return an older problem with the first bad and last good revisions of its first night."""
        if problem.first_night == self._night.number or not problem.incidents:
            return problem
        first = self.reader.first_incidents(problem)
        shown = grouped(self._sights()).get(FailureKey(problem.kind, problem.title), ())
        incidents = []
        for each in problem.incidents:
            began = first.get(each.slot, each)
            failing = min(
                (result for result in shown if result.slot == each.slot), default=each.failing,
                key=lambda result: self.places.get((result.slot.branch, result.commit), 0),
            )  # fmt: skip
            incidents.append(
                Incident(each.slot, began.first_bad, began.last_good, failing, began.passing)
            )
        return replace(problem, incidents=tuple(incidents))

    @property
    def _night(self) -> Night:
        return self.cells.night

    @property
    def _plan(self) -> str:
        return self.reader.plan

    @property
    def places(self) -> Places:
        """The place of each revision of the night by branch and hash."""
        return {(each.branch, each.commit): each.place for each in self._night.revisions}

    @property
    def _ranges(self) -> SearchRanges:
        return SearchRanges(self.slots, self.reader, self._night, self.places)

    @property
    def _tips(self) -> Mapping[str, str]:
        return {branch.name: branch.tip for branch in self._night.branches}

    def _sights(self) -> list[Result]:
        """Return the results whose failures are seen: those of the plan, and of boots for times."""
        return [each for each in self.cells.results.values() if each.purpose.sights]

    def _known_of_bases(self) -> tuple[Result, ...]:
        """Return what is known of the branches' bases, which have place 0."""
        return tuple(
            result
            for branch in self._night.branches
            if branch.base and branch.base != branch.tip and not branch.rewritten
            for result in self.reader.cell_results.known(branch.name, branch.base)
        )

    # One problem

    def _judged(
        self, failure: FailureKey, failing: Sequence[Result], previous: Problem | None
    ) -> Problem | None:
        """Judge a failure of this night; None if only results that were shared show it."""
        slots = sorted({each.slot for each in failing})
        issue = known_issue(failure.title, slots, self.issues, self.today)
        watched = previous is None or not previous.open or is_unjudged(previous)
        if watched and not any(each.ran for each in failing):
            return previous if previous is not None and previous.open else None
        repeats = Repeats()
        if needs_repeats(previous, issue):
            repeating = NightRepeats(self.cells, self.slots, self.places, self.spent)
            repeats = repeating.repeated(failure, failing)
        known = previous.slots if previous is not None and previous.open else ()
        seen = self._seen(failure, sorted({*slots, *known}), failing)
        problem = judged(
            previous, replace(seen, repeats=repeats, known_issue=issue), self._night.number,
            self._plan,
        )  # fmt: skip
        return self._confirmed(problem, failure, failing, previous, repeats, issue)

    def _seen(
        self, failure: FailureKey, slots: Sequence[Slot], failing: Sequence[Result]
    ) -> SeenProblem:
        results = list(self.cells.results.values())
        sights = [*self._sights(), *self._base]
        incidents = incidents_of(failure, failing, sights, self.places)
        counted = [
            each for each in results if each.purpose.sights or each.purpose is Purpose.REPEAT
        ]  # fmt: skip
        return seen_problem(failure, slots, counted, incidents, self.places, self._tips)

    def _unseen(self, previous: Problem) -> Problem:
        """Judge an open problem that no result of this night shows."""
        failure = FailureKey(previous.kind, previous.title)
        issue = previous.known_issue
        seen = replace(self._seen(failure, previous.slots, ()), known_issue=issue)
        problem = judged(previous, seen, self._night.number, self._plan)
        return self._confirmed(problem, failure, (), previous, Repeats(), issue)

    def _confirmed(
        self, problem: Problem, failure: FailureKey, failing: Sequence[Result],
        previous: Problem | None, repeats: Repeats, issue: str,
    ) -> Problem:  # fmt: skip
        """Return a problem after more boots of its tip, if they can show that it is fixed."""
        slots = [slot for slot in problem.slots if slot in self.slots]
        if problem.classification is not Classification.REGRESSION or not problem.open or not slots:
            return problem
        seen = self._seen(failure, problem.slots, failing)
        missing = passes_missing(problem)
        if not seen.fixed_at_tip or not missing or missing > _CONFIRMED:
            return problem
        slot = next((each.slot for each in problem.incidents if each.slot in slots), slots[0])
        tip = self._tips[slot.branch]
        passed = attempt = 0
        while passed < missing and attempt < 2 * missing:  # the host may fail in some
            if self.spent():
                return problem
            result = self.cells.alone(NightTask(self.slots[slot], tip, Purpose.REPEAT, attempt))
            result = seen_as(result, failure)
            if result.status is Status.FAILED:
                break
            passed += result.status is Status.PASSED
            attempt += 1
        seen = self._seen(failure, problem.slots, failing)
        seen = replace(seen, repeats=repeats, known_issue=issue)
        return judged(previous, seen, self._night.number, self._plan)

    # All problems

    def _find_flakier(self, problems: list[Problem]) -> None:
        """Find the problems that fail more often than before, and count them anew."""
        compared = []
        for number, problem in enumerate(problems):
            before = self.before.get(problem.id)
            if before is None or not before.open or problem.known_issue:
                continue
            if before.classification is not Classification.FLAKY:
                continue
            failed = problem.rate.failed - before.rate.failed
            boots = problem.rate.boots - before.rate.boots
            if boots:
                compared.append((number, failed, boots, before.rate))
        for number, failed, boots, rate in compared:
            if is_flakier(failed, boots, rate.failed, rate.boots, len(compared)):
                problem = problems[number]
                seen = SeenProblem(
                    FailureKey(problem.kind, problem.title), failed=failed, passed=boots - failed
                )
                problems[number] = with_new_rate(problem, seen)
                self.flakier.add(problem.id)

    def _with_culprits(self, problems: Sequence[Problem]) -> list[Problem]:
        """Search culprits and fixes, the newest and widest problems first."""
        order = sorted(
            range(len(problems)),
            key=lambda number: (
                -problems[number].first_night,
                -len(problems[number].slots),
                number,
            ),
        )
        found = list(problems)
        for number in order:
            found[number] = self._with_fix(self._with_culprit(found[number]))
        return found

    def _with_culprit(self, problem: Problem) -> Problem:
        if problem.culprit is not None or problem.known_issue or is_watched(problem):
            return problem
        ranges = self._ranges.of_culprit(problem)
        if isinstance(ranges, str):
            return replace(problem, why_unknown=ranges)
        why = ""
        for wanted in ranges:
            answer = self.search.culprit(problem, wanted)
            if isinstance(answer, ProvenCulprit):
                return replace(problem, culprit=answer, why_unknown="")
            why = why or answer
        return replace(problem, why_unknown=why)

    def _with_fix(self, problem: Problem) -> Problem:
        """Search what fixed a regression or a build breakage."""
        told = (Classification.REGRESSION, Classification.BUILD)
        if problem.open or problem.classification not in told or problem.known_issue:
            return problem
        wanted = self._ranges.of_fix(problem, (*self._base, *self._sights()))
        if wanted is None:
            return problem
        answer = self.search.fix(problem, wanted)
        return replace(problem, fixed_by=answer) if isinstance(answer, ProvenCulprit) else problem
