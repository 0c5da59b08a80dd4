"""Judges a problem by what a night saw of it, and by its history. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.nightly.failures import BUILD, FailureKey, failure_of, seen_as
from harness.nightly.night import Classification, Incident, Problem, Rate
from harness.nightly.result import Result, Slot, Status
from harness.nightly.statistics import passes_for_fixed, wilson

REPEATS = 5
"""How often a new failure is repeated."""

#: A problem that no repeat shows, but that was seen so often, is flaky.
_SIGHTINGS = 2

#: The probability with which a regression that passed since was only lucky; if it then fails in all
#: repeats, it is told as one that is back.
_PROBABLY = 0.05


@dataclass(frozen=True, slots=True)
class Repeats:
    """The repeats of a failure.

    Args:
        failed: those that showed it again.
        passed: those that passed.
        other: those that failed in another way.
        host: those in which the host failed.
        back: if none of them failed, on other hosts than the one that showed the failure: its
            repeats on that one; None: there were none.
    """

    failed: int = 0
    passed: int = 0
    other: int = 0
    host: int = 0
    back: Repeats | None = None

    @property
    def told(self) -> int:
        """The number of verdicts on the kernel."""
        return self.failed + self.passed + self.other

    @property
    def left(self) -> int:
        """How many are still to be run; a repeat in which the host failed is run again once."""
        return max(0, REPEATS - self.told - max(0, self.host - REPEATS))

    def with_result(self, failure: FailureKey, result: Result) -> Repeats:
        """Return these repeats and one more."""
        result = seen_as(result, failure)
        shown = failure_of(result)
        if shown == failure:
            return replace(self, failed=self.failed + 1)
        if shown is not None:
            return replace(self, other=self.other + 1)
        if result.status is Status.PASSED:
            return replace(self, passed=self.passed + 1)
        return replace(self, host=self.host + 1)


@dataclass(frozen=True, slots=True)
class SeenProblem:
    """What one night saw of a problem.

    Args:
        failure: what identifies it.
        incidents: the slots that show it.
        failed: boots that showed it, repeats included; results that share others do not count.
        passed: boots of its slots at revisions that could have shown it, and did not.
        sightings: the boots that showed it, without repeats.
        streak: passes at revisions newer than the newest that showed it.
        fixed_at_tip: whether each of its slots that ran at a branch's tip passes there.
        repeats: its repeats.
        known_issue: the known issue that it is an incident of; empty for none.
    """

    failure: FailureKey
    incidents: tuple[Incident, ...] = ()
    failed: int = 0
    passed: int = 0
    sightings: int = 0
    streak: int = 0
    fixed_at_tip: bool = False
    repeats: Repeats = Repeats()
    known_issue: str = ""


def needs_repeats(previous: Problem | None, known_issue: str) -> bool:
    """Return whether a failure that a night shows must be repeated to be judged.

    It must if it is new, or if it passed since: it may be flaky, or fixed and broken again.
    """
    if known_issue:
        return False
    return previous is None or not previous.open or is_unjudged(previous) or _passed_since(previous)


def _passed_since(problem: Problem) -> bool:
    return problem.classification is Classification.REGRESSION and problem.streak > 0


def is_unjudged(problem: Problem) -> bool:
    """Return whether no night has judged an open problem yet: a known issue is not repeated."""
    return is_watched(problem) or bool(problem.known_issue)


def is_watched(problem: Problem) -> bool:
    """Return whether a problem is open without a judgement that is news."""
    return problem.classification in (Classification.UNDECIDED, Classification.HOST)


def classified(failure: FailureKey, repeats: Repeats, sightings: int) -> tuple[Classification, str]:
    """Return the classification of a new failure, and why, in a sentence.

    Args:
        failure: the failure.
        repeats: its repeats.
        sightings: how often boots of the plan have shown it since it is watched.
    """
    seen_often = sightings >= _SIGHTINGS
    if failure.kind == BUILD:
        return _classified_build(repeats)
    if not repeats.told and repeats.host:
        return Classification.HOST, "the host failed in every repeat"
    why = f"{repeats.failed} of {repeats.told} repeats failed in the same way"
    if not repeats.told:
        why = "it was not repeated"
    if repeats.back is not None and repeats.back.failed:
        return _classified_back(repeats, repeats.back)
    if seen_often:
        why = f"{why}; it was seen {sightings} times"
    if repeats.failed and not repeats.passed:
        return Classification.REGRESSION, why
    if repeats.failed or seen_often:
        return Classification.FLAKY, why
    return Classification.UNDECIDED, why


def _classified_back(repeats: Repeats, back: Repeats) -> tuple[Classification, str]:
    """Return the classification of what fails on one host of a group alone."""
    kind = Classification.HOST if back.failed == back.told else Classification.FLAKY
    return kind, (
        f"none of {repeats.told} repeats on other hosts failed, and {back.failed} of {back.told} "
        "on the host that showed it"
    )


def _classified_build(repeats: Repeats) -> tuple[Classification, str]:
    if repeats.failed:
        return Classification.BUILD, "it does not build when repeated"
    if repeats.passed:
        return Classification.UNDECIDED, "it builds when repeated"
    if repeats.host:
        return Classification.HOST, "the host failed when the build was repeated"
    return Classification.UNDECIDED, "the build was not repeated"


def judged(previous: Problem | None, seen: SeenProblem, night: int, plan: str) -> Problem:
    """Return a problem as this night judges it.

    Args:
        previous: the problem as the last night judged it; None if it is new.
        seen: what this night saw of it.
        night: the night's number.
        plan: name of the plan.
    """
    if previous is None or not previous.open:
        return _closed_if_fixed(_opened(seen, night, plan), seen)
    counts = _counts(previous.rate, seen)
    streak = seen.streak if seen.failed else previous.streak + seen.streak
    problem = replace(
        previous,
        rate=counts,
        streak=streak,
        repeats=(seen.repeats.failed, seen.repeats.told),
        last_night=night if seen.incidents else previous.last_night,
        incidents=seen.incidents,
        slots=_united(previous.slots, seen.incidents),
        known_issue=seen.known_issue,
    )
    if is_unjudged(previous):
        if seen.incidents:
            kind, why = classified(seen.failure, seen.repeats, counts.failed)
            problem = replace(problem, classification=kind, why=why)
    elif _passed_since(previous) and seen.failed:
        if seen.repeats.passed:
            why = f"it passed {previous.streak} times, and failed again"
            problem = replace(problem, classification=Classification.FLAKY, why=why)
        elif seen.repeats.failed and _was_fixed(previous):
            return _closed_if_fixed(_opened(seen, night, plan), seen)
    return _closed_if_fixed(problem, seen)


def _was_fixed(problem: Problem) -> bool:
    """Return whether so many boots passed in a row that a regression was probably fixed."""
    low, _ = wilson(problem.rate.failed, problem.rate.boots - problem.streak)
    return (1 - low) ** problem.streak <= _PROBABLY


def passes_missing(problem: Problem) -> int:
    """Return how many more passes in a row show that a problem is fixed."""
    if problem.kind == BUILD:
        return 0
    before = problem.rate.boots - problem.streak  # what passed since may be boots of the fix
    return max(0, passes_for_fixed(problem.rate.failed, before) - problem.streak)


def with_new_rate(problem: Problem, seen: SeenProblem) -> Problem:
    """Return a problem that became flakier: its rate is counted from this night on."""
    return replace(problem, rate=_counts(Rate(0, 0, 0.0, 1.0), seen))


def _opened(seen: SeenProblem, night: int, plan: str) -> Problem:
    kind, why = classified(seen.failure, seen.repeats, seen.sightings)
    return Problem(
        id=seen.failure.id(plan),
        title=seen.failure.title,
        kind=seen.failure.kind,
        classification=kind,
        rate=_counts(Rate(0, 0, 0.0, 1.0), seen),
        streak=seen.streak,
        repeats=(seen.repeats.failed, seen.repeats.told),
        first_night=night,
        last_night=night,
        open=kind is not Classification.HOST,
        incidents=seen.incidents,
        slots=_united((), seen.incidents),
        known_issue=seen.known_issue,
        why=why,
    )


def _closed_if_fixed(problem: Problem, seen: SeenProblem) -> Problem:
    if not seen.fixed_at_tip or passes_missing(problem) > 0:
        return problem
    return replace(problem, open=False)


def _counts(before: Rate, seen: SeenProblem) -> Rate:
    failed, boots = before.failed + seen.failed, before.boots + seen.failed + seen.passed
    return Rate(failed, boots, *wilson(failed, boots))


def _united(slots: Sequence[Slot], incidents: Sequence[Incident]) -> tuple[Slot, ...]:
    return tuple(sorted({*slots, *(incident.slot for incident in incidents)}))


# What a night saw


#: The place of each revision of a night by branch and hash; the base has place 0.
Places = Mapping[tuple[str, str], int]


def incidents_of(
    failure: FailureKey, failing: Sequence[Result], planned: Sequence[Result], places: Places
) -> tuple[Incident, ...]:
    """Return the slots that show a failure, each with its first bad and last good revision.

    Where the failure came and went, the newest time counts.

    Args:
        failure: the failure.
        failing: the results that show it.
        planned: the results but repeats, with those of the base.
        places: the revisions' places.
    """
    found = []
    planned = [seen_as(each, failure) for each in planned]
    for slot in sorted({result.slot for result in failing}):
        told = sorted(
            (each for each in planned if each.slot == slot and each.status.tells),
            key=lambda each: places.get((slot.branch, each.commit), 0),
        )
        first, good = None, None
        for result in reversed(told):
            if failure_of(result) == failure:
                first = result
            elif first is not None and _is_before(result, first, places):
                good = result
                break
        if first is not None:
            found.append(Incident(slot, first.commit, good.commit if good else "", first, good))
    return tuple(found)


def _is_before(passed: Result, failed: Result, places: Places) -> bool:
    """Return whether a result passed at an older revision than that of another."""
    old, new = (places.get((each.slot.branch, each.commit), 0) for each in (passed, failed))
    return passed.status is Status.PASSED and old < new


def seen_problem(
    failure: FailureKey,
    slots: Sequence[Slot],
    results: Sequence[Result],
    incidents: tuple[Incident, ...],
    places: Places,
    tips: Mapping[str, str],
) -> SeenProblem:
    """Return what a night saw of a problem, without its repeats and known issue.

    Args:
        failure: what identifies it.
        slots: the slots that have shown it, in this night or before.
        results: the night's results of all purposes but controls.
        incidents: of ``incidents_of``.
        places: the revisions' places.
        tips: the tip of each branch.
    """
    first = {each.slot: places.get((each.slot.branch, each.first_bad), 0) for each in incidents}
    wanted = set(slots)
    own = [
        each for each in (seen_as(result, failure) for result in results)
        if each.slot in wanted and each.status.tells
        and places.get((each.slot.branch, each.commit), 0) >= first.get(each.slot, 0)
    ]  # fmt: skip
    shows = [each for each in own if failure_of(each) == failure]
    last: dict[str, int] = {}
    for each in shows:
        place = places.get((each.slot.branch, each.commit), 0)
        last[each.slot.branch] = max(place, last.get(each.slot.branch, 0))
    passed = [each for each in own if each.status is Status.PASSED]
    counted = [each for each in passed if each.ran]
    return SeenProblem(
        failure=failure,
        incidents=incidents,
        failed=sum(each.ran for each in shows),
        passed=len(counted),
        sightings=sum(each.ran and each.purpose.sights for each in shows),
        streak=sum(
            places.get((each.slot.branch, each.commit), 0) > last.get(each.slot.branch, -1)
            for each in counted
        ),
        fixed_at_tip=_passes_at_tip(failure, own, wanted, tips),
    )


def _passes_at_tip(
    failure: FailureKey, own: Sequence[Result], slots: set[Slot], tips: Mapping[str, str]
) -> bool:
    """Return whether some slots ran at their tips, and none shows the failure there."""
    at_tip = [each for each in own if each.commit == tips.get(each.slot.branch)]
    if failure.kind == BUILD:
        return bool(at_tip) and all(each.status is not Status.UNBUILT for each in at_tip)
    passed = {each.slot for each in at_tip if each.status is Status.PASSED}
    failing = {each.slot for each in at_tip if each.status is not Status.PASSED}
    return bool(passed) and not failing and passed <= slots
