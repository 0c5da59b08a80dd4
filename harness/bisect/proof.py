"""Proves an answer by testing parents, culprit, and the newest end without the culprit.

Compare KernelCI, which sends no report of a bisection without "revert: pass, verify: pass".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.bisect.belief import believe
from harness.bisect.evidence import Mark, Tally

if TYPE_CHECKING:
    from harness.bisect.run import Bisection
    from harness.bisect.search import Culprit


@dataclass(frozen=True, slots=True)
class ProofStep:
    """One step of a proof: a revision, the expected and the actual result."""

    what: str
    commit: str
    expected: Mark
    tally: Tally = field(default_factory=Tally)
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Whether the result is as expected."""
        if self.problem:
            return False
        if self.expected is Mark.BAD:
            return self.tally.bad > 0
        return self.tally.good > 0 and self.tally.bad == 0


@dataclass(frozen=True, slots=True)
class Proof:
    """The steps of a proof.

    The parents behave like the old end, the culprit does not, and neither does the newest end
    without the culprit behave like the new one.
    """

    steps: tuple[ProofStep, ...]

    @property
    def stands(self) -> bool:
        """Whether no step contradicts the answer; untested steps do not."""
        return all(step.holds or step.problem for step in self.steps)


def passes_needed(rate: float, confidence: float, most: int) -> int:
    """Return how often a kernel must pass, so that one that fails at that rate is unlikely to."""
    if rate >= 1.0:
        return 1
    needed = math.ceil(math.log(1 - confidence) / math.log1p(-rate)) if rate > 0 else most
    return min(most, max(1, needed))


def prove(bisection: Bisection, culprit: Culprit, revert: str | None, conflict: str) -> Proof:
    """Test parents, culprit and the newest end without the culprit, as far as needed.

    Args:
        bisection: the completed search.
        culprit: its answer.
        revert: the newest end without the culprit, in the history; None if there is none.
        conflict: why there is none.
    """
    question = bisection.asked.question
    before, after = (Mark.BAD, Mark.GOOD) if question.fixed else (Mark.GOOD, Mark.BAD)
    node = next(row for row in bisection.history.revisions if row.name == culprit.commit)
    steps = [
        *(_step(bisection, "its parent", parent, before) for parent in node.parents),
        _step(bisection, "the culprit", culprit.commit, after),
        _without(bisection, revert, conflict, before),
    ]
    return Proof(tuple(steps))


def _without(bisection: Bisection, revert: str | None, conflict: str, before: Mark) -> ProofStep:
    """Return the step for the newest end without the culprit."""
    what = "the newest end without it"
    if not revert:
        return ProofStep(what, "", before, problem=conflict)
    step = _step(bisection, what, revert, before)
    question = bisection.asked.question
    if not question.certain or step.holds or step.problem:
        return step
    # Parents and culprit suffice; more than one revision may have broken or fixed it.
    also = "mended" if question.fixed else "broke"
    return replace(step, problem=f"another revision {also} it as well")


def _step(bisection: Bisection, what: str, commit: str, expected: Mark) -> ProofStep:
    question = bisection.asked.question
    known = bisection.known()
    belief = believe(known.graph, known.evidence, fixed=question.fixed, prior=question.prior)
    needed = passes_needed(belief.rate, question.confidence, question.repeat)
    tally = known.tally(commit)
    asked = 0
    while tally.testable and asked < 2 * needed and not _told(tally, expected, needed):
        wanted = needed - tally.good if expected is Mark.GOOD else 1
        before = len(bisection.state.observations)
        bisection.examine(commit, ahead=False, times=wanted)
        asked += max(1, len(bisection.state.observations) - before)
        tally = bisection.known().tally(commit)
    problem = "" if tally.builds else "it does not build"
    if tally.skipped and not tally.tests:
        problem = "it is excluded (--skip)"
    if not problem and not tally.good and not tally.bad:
        problem = "it fails with another error" if question.certain else "it fails differently"
    return ProofStep(what, commit, expected, tally, problem)


def _told(tally: Tally, expected: Mark, needed: int) -> bool:
    """Return whether a revision has enough tests."""
    return tally.bad > 0 or tally.good >= (needed if expected is Mark.GOOD else 2 * needed)
