"""The revisions between which a problem began or ended, as far as a history knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.nightly.failures import FailureKey, failure_of, seen_as
from harness.nightly.night import Classification, Incident, Problem
from harness.nightly.result import Result, Slot, Status
from harness.runs.nights.search import SearchRange

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.history.nights import NightReader
    from harness.nightly.cells import NightCell
    from harness.nightly.judgement import Places
    from harness.nightly.night import Night

#: What failed in every boot so far may still pass now and then.
_SURELY_SHOWN: Final = 0.8

#: The probability with which all revisions after a good end passed by luck.
_LUCKY: Final = 0.01

#: The same, where there is no better one.
_PERHAPS: Final = 0.1

#: A flaky problem that its slots' passes of before make so unlikely to be old is searched.
_OLD: Final = 0.05


@dataclass(frozen=True, slots=True)
class SearchRanges:
    """Finds what is to be searched.

    Args:
        slots: the plan's cells by slot.
        reader: the history.
        night: the night.
        places: the place of each revision of the night by branch and hash.
    """

    slots: Mapping[Slot, NightCell]
    reader: NightReader
    night: Night
    places: Places

    def of_culprit(self, problem: Problem) -> list[SearchRange] | str:
        """Return the revisions to search, the narrower first, or why there are none."""
        incidents = problem.incidents
        if problem.first_night != self.night.number:
            incidents = self._first_incidents(problem)
        rewritten = {branch.name for branch in self.night.branches if branch.rewritten}
        known = [
            each for each in incidents
            if each.slot in self.slots and each.slot.branch not in rewritten
        ]  # fmt: skip
        flaky = problem.classification is Classification.FLAKY
        if flaky and self._may_be_old(problem):
            return "it fails too rarely to tell whether it is new"
        near = [
            SearchRange(each, each.last_good, each.first_bad) for each in known if each.last_good
        ]
        far = [
            SearchRange(each, good, each.first_bad)
            for each in known
            if (good := self._good(problem, each, _LUCKY)) not in ("", each.last_good)
        ]
        # A pass by luck shows when the search begins: it goes on from a pass of an earlier night.
        back = [
            SearchRange(each, good, each.first_bad)
            for each in known
            if not far and (good := self._passed_before(problem, each))
        ]
        # A pass says little of what fails now and then: the bisection must test the good end, too.
        perhaps = [
            SearchRange(each, good, each.first_bad)
            for each in known
            if flaky and not far and (good := self._good(problem, each, _PERHAPS))
        ]
        groups = (far, perhaps) if flaky else (near, far, back)
        chosen = [min(group, key=self._width) for group in groups if group]
        return chosen or "no earlier revision is known to pass"

    def _good(self, problem: Problem, incident: Incident, luck: float) -> str:
        """Return a revision after which so many passed that the problem began after it.

        The chance that all passed by luck is at most ``luck``; empty if there is none.
        """
        rate = problem.rate.failed / max(1, problem.rate.boots - problem.streak)
        rate = min(rate, _SURELY_SHOWN)
        chance = 1.0
        for commit in self.reader.cell_results.passed(incident.slot, problem.first_night):
            chance *= 1 - rate
            if chance <= luck and commit != incident.first_bad:
                return commit
        return ""

    def _passed_before(self, problem: Problem, incident: Incident) -> str:
        """Return the newest revision that passed before the problem's first night."""
        ends = incident.last_good, incident.first_bad
        passed = self.reader.cell_results.passed(incident.slot, problem.first_night)
        return next((commit for commit in passed if commit not in ends), "")

    def _width(self, wanted: SearchRange) -> int:
        branch = wanted.incident.slot.branch
        new = self.places.get((branch, wanted.new), 0)
        return new - self.places.get((branch, wanted.old), 0)

    def _first_incidents(self, problem: Problem) -> tuple[Incident, ...]:
        first = self.reader.judged_night(problem.first_night).problems
        return next((each.incidents for each in first if each.id == problem.id), ())

    def _may_be_old(self, problem: Problem) -> bool:
        rate = problem.rate.failed / max(1, problem.rate.boots)
        passes = self.reader.cell_results.passes(problem.slots, problem.first_night)
        return (1 - rate) ** passes > _OLD

    def of_fix(self, problem: Problem, results: Sequence[Result]) -> SearchRange | None:
        """Return the last revision with a problem, and the first after it that passes.

        It is that of the cell that was fixed last.

        Args:
            problem: the problem.
            results: the night's results and those of the bases.
        """
        ranges = [
            found for slot in problem.slots
            if slot in self.slots and (found := self._fix_in(slot, problem, results)) is not None
        ]  # fmt: skip
        places = self.places
        return max(
            ranges, default=None,
            key=lambda each: places.get((each.incident.slot.branch, each.old), 0),
        )  # fmt: skip

    def _fix_in(
        self, slot: Slot, problem: Problem, results: Sequence[Result]
    ) -> SearchRange | None:
        places, failure = self.places, FailureKey(problem.kind, problem.title)
        told = sorted(
            (each for result in results
             if result.slot == slot and (each := seen_as(result, failure)).status.tells),
            key=lambda each: places.get((slot.branch, each.commit), 0),
        )  # fmt: skip
        last, first = None, None
        for each in told:
            if failure_of(each) == failure:
                last, first = each, None
            elif last is not None and first is None and each.status is Status.PASSED:
                first = each
        if last is None or first is None or last.commit == first.commit:
            return None
        return SearchRange(Incident(slot, last.commit, "", last), last.commit, first.commit)
