"""Results of a bisection, with all that its report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.bisect.belief import believe
from harness.bisect.evidence import Kind, Mark, RevisionTest, Tally, Target
from harness.bisect.search import Culprit, Decision

if TYPE_CHECKING:
    from harness.bisect.history import Description
    from harness.bisect.knowledge import Asked
    from harness.bisect.monotone import Reversal
    from harness.bisect.proof import Proof
    from harness.bisect.run import Bisection


@dataclass(frozen=True, slots=True)
class Point:
    """A tested revision, for the report's line of revisions.

    Args:
        commit: its hash.
        subject: the first line of its message.
        place: its position among the revisions between the ends, oldest first.
        tally: its tests.
    """

    commit: str
    subject: str
    place: int
    tally: Tally


@dataclass(frozen=True, slots=True)
class Findings:
    """Results of a bisection.

    Args:
        asked: the question.
        answer: the answer.
        culprits: descriptions of the named revisions.
        proof: the proof; None without a single culprit.
        target: the failures that counted.
        rate: how often a bad kernel fails; None if unknown.
        revisions: number of revisions between the ends.
        candidates: number of those that change the kernel.
        steps: number of revisions that the search had to test; see ``Bisection``.
        line: the tested revisions, oldest first.
        tests: every test with its verdict, in order.
        reversals: tests that show that the failure came and went.
        error: with ``--with build``, the first error of the revision that does not compile.
        end_error: the first error of the end that does not compile, if different.
    """

    asked: Asked
    answer: Decision
    culprits: tuple[Description, ...]
    proof: Proof | None
    target: Target
    rate: float
    revisions: int
    candidates: int
    steps: int
    line: tuple[Point, ...]
    tests: tuple[tuple[RevisionTest, Mark], ...]
    reversals: tuple[Reversal, ...] = ()
    error: str = ""
    end_error: str = ""

    @property
    def exit_code(self) -> int:
        """0: one culprit, and no test contradicts it; 1: inconclusive."""
        found = isinstance(self.answer, Culprit)
        return 0 if found and (self.proof is None or self.proof.stands) else 1


def findings_of(
    bisection: Bisection,
    answer: Decision,
    culprits: Sequence[Description],
    proof: Proof | None,
) -> Findings:
    """Return the findings of a bisection that has ended."""
    known = bisection.known()
    question = bisection.asked.question
    revisions = bisection.history.revisions
    tested = {one.commit for one in bisection.state.observations}
    line = tuple(
        Point(row.name, row.subject, place, known.tally(row.name))
        for place, row in enumerate(revisions)
        if row.name in tested
    )
    belief = believe(known.graph, known.evidence, fixed=question.fixed, prior=question.prior)
    error, end_error = _errors(bisection, answer)
    return Findings(
        asked=bisection.asked,
        answer=answer,
        culprits=tuple(culprits),
        proof=proof,
        target=known.target,
        rate=belief.rate,
        revisions=sum(row.name not in bisection.history.old_side for row in revisions),
        candidates=len(known.graph.nodes),
        steps=bisection.steps,
        line=line,
        tests=tuple(marked(bisection.state.observations, known.target)),
        reversals=known.reversals,
        error=error,
        end_error=end_error,
    )


def _errors(bisection: Bisection, answer: Decision) -> tuple[str, str]:
    """Return the culprit's first compiler error and, if different, that of the end."""
    question = bisection.asked.question
    if not question.certain or not isinstance(answer, Culprit):
        return "", ""
    contents = bisection.known().graph.contents
    failed = {
        contents.get(one.commit): one
        for one in bisection.state.observations
        if one.kind is Kind.FAILED
    }
    node = next(row for row in bisection.history.revisions if row.name == answer.commit)
    broken = node.parents if question.fixed else (answer.commit,)
    one = next((failed[contents[name]] for name in broken if contents[name] in failed), None)
    end = failed.get(contents[question.old[0] if question.fixed else question.new])
    if one is None:
        return "", ""
    other = end is not None and not set(one.titles) & set(end.titles)
    return one.error, end.error if end is not None and other else ""


def marked(observations: Sequence[RevisionTest], target: Target) -> list[tuple[RevisionTest, Mark]]:
    """Return each test with its verdict."""
    return [
        (one, Mark.SKIP if one.kind is Kind.UNBUILDABLE else target.mark(one))
        for one in observations
    ]
