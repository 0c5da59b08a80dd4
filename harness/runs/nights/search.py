"""Finds the commits that caused or fixed a night's problems, within its budget."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from harness.bisect.evidence import Mark
from harness.bisect.proof import passes_needed
from harness.bisect.search import Culprit, Several, Stuck
from harness.errors import BuildError, InfraError, UsageError
from harness.execution.program import ProgramPlan
from harness.host.progress import Recorded
from harness.nightly.failures import BUILD, COMMAND, TEST, FailureKey, failure_of, seen_as
from harness.nightly.night import Incident, Problem, ProvenCulprit
from harness.nightly.result import Purpose, Slot, Status
from harness.runs.bisect import BisectResult, bisect
from harness.runs.bisectrequest import BisectRequest
from harness.runs.examination import COMMAND_FAILED
from harness.runs.nights.cellrunner import NightTask
from harness.runs.nights.guests import guest_request_of
from harness.runs.nights.suites import one_test
from harness.sanitizers import parse_sanitizers
from harness.source.change import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness.bisect.evidence import RevisionTest
    from harness.bisect.proof import ProofStep
    from harness.bisect.run import Show
    from harness.bisect.search import Outlook
    from harness.boot.listen import Terminal
    from harness.debug.plan import PanicDebugger
    from harness.host.progress import Progress
    from harness.nightly.cells import NightCell
    from harness.runs.nights.cells import NightCells
    from harness.runs.view import Rows, View
    from harness.source.firstparents import BranchCommit

#: Confidence of a bisection, in percent: of some hundred culprits of flaky problems, which a year
#: may bring, none should be wrong. The most tests of one kernel.
_CONFIDENCE: Final = 99.95
_TESTS: Final = 80

#: Tests of a culprit and its parent in another cell at most.
_PROOFS: Final = 20


class BudgetSpent(Exception):  # noqa: N818 - it is not an error
    """The night's budget is spent; the bisection can go on in another night."""


@dataclass(frozen=True, slots=True)
class SearchRange:
    """The revisions between which a problem began or ended.

    Args:
        incident: the slot that is searched.
        old: the newest revision known to be without the change.
        new: the oldest revision known to have it.
    """

    incident: Incident
    old: str
    new: str


@dataclass(slots=True)
class NightSearch:
    """Searches culprits.

    Args:
        cells: runs cells.
        slots: the plan's cells by slot.
        commit: returns a revision of a branch.
        spent: returns whether the budget is spent.

    Attributes:
        found: the culprits found so far in this night, by branch.
    """

    cells: NightCells
    slots: Mapping[Slot, NightCell]
    commit: Callable[[str, str], BranchCommit]
    spent: Callable[[], bool]
    found: dict[str, list[str]] = field(default_factory=dict)

    def culprit(self, problem: Problem, wanted: SearchRange) -> ProvenCulprit | str:
        """Return what caused a problem with its proof, or why it is unknown."""
        return self._searched(problem, wanted, fixed=False)

    def fix(self, problem: Problem, wanted: SearchRange) -> ProvenCulprit | str:
        """Return what fixed a problem with its proof, or why it is unknown."""
        return self._searched(problem, wanted, fixed=True)

    def _searched(
        self, problem: Problem, wanted: SearchRange, *, fixed: bool
    ) -> ProvenCulprit | str:
        if self.spent():
            return "the budget is spent"
        try:
            known = None if fixed else self._found_before(problem, wanted)
            if known is not None:
                return known
            result = self._bisected(problem, wanted, fixed=fixed)
            return self._concluded(problem, wanted, result, fixed=fixed)
        except BudgetSpent:
            return "the budget is spent; the next night goes on"
        except (UsageError, BuildError, InfraError) as error:
            return f"the bisection ended: {error.message}"

    def _found_before(self, problem: Problem, wanted: SearchRange) -> ProvenCulprit | None:
        """Return a culprit of this night, if it caused this problem, too."""
        slot = wanted.incident.slot
        for commit in self.found.get(slot.branch, ()):
            proof = self._proof(problem, slot, commit)
            if proof:
                return self._credited(problem, wanted, commit, proof, "")
        return None

    def _concluded(
        self, problem: Problem, wanted: SearchRange, result: BisectResult, *, fixed: bool
    ) -> ProvenCulprit | str:
        """Return the culprit of a bisection, if its proof holds."""
        findings = result.findings
        if isinstance(findings.answer, Several):
            return f"{len(findings.answer.commits)} revisions are left, which cannot be told apart"
        if not isinstance(findings.answer, Culprit):
            return findings.answer.reason if isinstance(findings.answer, Stuck) else "no answer"
        commit = findings.answer.commit
        if findings.proof is None or not _proves(findings.proof.steps):
            return f"{commit[:12]} is likely, and its proof failed"
        proof = tuple(_step_in_words(step) for step in findings.proof.steps if step.holds)
        run = result.directory.name
        if fixed:
            subject = self.commit(wanted.incident.slot.branch, commit).subject
            return ProvenCulprit(commit, subject, problem.slots, proof, run)
        self.found.setdefault(wanted.incident.slot.branch, []).append(commit)
        return self._credited(problem, wanted, commit, proof, run)

    def _bisected(self, problem: Problem, wanted: SearchRange, *, fixed: bool) -> BisectResult:
        cell = self.slots[wanted.incident.slot]
        kernels = self.cells.kernels
        what = replace(kernels.request(cell, ""), change=Change())
        how: Literal["boot", "check", "build"] = "boot"
        if problem.kind == BUILD:
            how = "build"
        elif cell.kind == "check":
            how = "check"
        command = cell.command
        if problem.kind == TEST:
            command = one_test(command, problem.title) or ""
            if not command:
                raise UsageError(f"{cell.command} does not run one test alone")
        program = ProgramPlan(command, timeout=cell.deadline) if command else None
        request = BisectRequest(
            what,
            good=wanted.new if fixed else wanted.old,
            bad=wanted.old if fixed else wanted.new,
            fixed=fixed,
            guest=guest_request_of(cell),
            sanitizers=parse_sanitizers(cell.sanitizers),
            title=COMMAND_FAILED if problem.kind in (COMMAND, TEST) else problem.title,
            how=how,
            subsystem=cell.subsystem or None if how == "check" else None,
            confidence=_CONFIDENCE,
            repeat=_TESTS,
            first_parent=True,
            program=program if how == "boot" else None,
        )
        env = replace(self.cells.env.apart(), command=bisect_command(request, cell))
        return bisect(request, env, BudgetView(self.cells.view, self.spent))

    def _credited(
        self, problem: Problem, wanted: SearchRange, commit: str, proof: tuple[str, ...],
        run: str,
    ) -> ProvenCulprit:  # fmt: skip
        """Return the culprit with all slots of its branch in which it can be proven."""
        slots, words = [wanted.incident.slot], list(proof)
        for incident in problem.incidents:
            slot = incident.slot
            if slot.branch != wanted.incident.slot.branch or slot in slots or self.spent():
                continue
            more = self._proof(problem, slot, commit)
            if more:
                slots.append(slot)
                words += more
        subject = self.commit(wanted.incident.slot.branch, commit).subject
        return ProvenCulprit(commit, subject, tuple(sorted(slots)), tuple(words), run)

    def _proof(self, problem: Problem, slot: Slot, commit: str) -> tuple[str, ...]:
        """Return the proof that a commit caused a problem in a slot; empty if there is none."""
        parent = self.commit(slot.branch, commit).parent
        if not parent or slot not in self.slots:
            return ()
        failure = FailureKey(problem.kind, problem.title)
        rate = problem.rate.failed / problem.rate.boots if problem.rate.boots else 1.0
        times = 1 if problem.kind == BUILD else passes_needed(rate, _CONFIDENCE / 100, _PROOFS)
        if problem.kind != BUILD and (1 - rate) ** times > 2 * (1 - _CONFIDENCE / 100):
            return ()  # it fails too rarely
        failed, boots = self._tested(failure, slot, commit, times, until_failure=True)
        if not failed:
            return ()
        broken, passes = self._tested(failure, slot, parent, times, until_failure=True)
        if broken or passes < times:
            return ()
        return (
            f"{slot.cell}: {commit[:12]} failed in {failed} of {boots}, its parent "
            f"{parent[:12]} passed in {passes} of {passes}",
        )

    def _tested(
        self, failure: FailureKey, slot: Slot, commit: str, times: int, *, until_failure: bool
    ) -> tuple[int, int]:
        """Return how often a revision failed in a cell, and how often it was tested."""
        failed = told = 0
        results = [
            each
            for each in self.cells.results.values()
            if each.slot == slot and each.commit == commit and each.status.tells
            and each.purpose in (Purpose.PLANNED, Purpose.REPEAT)
        ]  # fmt: skip
        for result in results:
            each = seen_as(result, failure)
            failed += failure_of(each) == failure
            told += failure_of(each) == failure or each.status is Status.PASSED
        attempt = 0
        while told < times and attempt < 2 * times and not (failed and until_failure):
            if self.spent():
                break
            task = NightTask(self.slots[slot], commit, Purpose.PROOF, attempt)
            result = seen_as(self.cells.alone(task), failure)
            attempt += 1
            shows = failure_of(result) == failure
            failed += shows
            told += shows or result.status is Status.PASSED
        return failed, told


def _proves(steps: Sequence[ProofStep]) -> bool:
    """Return whether the culprit and its parents were tested, and no step contradicts."""
    needed = [step for step in steps if step.what != "the newest end without it"]
    return all(step.holds for step in needed) and all(step.holds or step.problem for step in steps)


def _step_in_words(step: ProofStep) -> str:
    tally = step.tally
    return f"{step.what} {step.commit[:12]}: {tally.bad} failed, {tally.good} passed"


def bisect_command(request: BisectRequest, cell: NightCell) -> tuple[str, ...]:
    """Return the arguments with which the user can repeat a bisection."""
    words = ["bisect", "--source", request.what.source]
    words += ["--good", request.good or "", "--bad", request.bad or ""]
    words += ["--fixed"] if request.fixed else []
    words += ["--with", request.how] if request.program is None else []
    words += ["--exec", request.program.command] if request.program is not None else []
    words += ["--title", request.title or "", "--first-parent"]
    words += ["--vm", cell.vm] if cell.vm else ["--numa", cell.numa or "1"]
    for sanitizer in parse_sanitizers(cell.sanitizers).rows:
        words.append(f"--{sanitizer.name}")
    for option in cell.options:
        words += ["--option", option]
    if request.subsystem:
        words += ["--subsystem", request.subsystem]
    return tuple(words)


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A view whose bisections end when the budget is spent.

    Args:
        view: shows everything.
        spent: returns whether the budget is spent.
    """

    view: View
    spent: Callable[[], bool]

    def rows(self) -> AbstractContextManager[Rows]:
        """See ``View``."""
        return self.view.rows()

    @contextmanager
    def bisection(self, subjects: Mapping[str, str]) -> Iterator[Show]:
        """See ``View``; the rows of the night stay on the terminal."""
        yield _BudgetShow(self.view.note, subjects, self.spent)

    def terminal(self, rows: Rows) -> Terminal | None:
        """See ``View``."""
        return self.view.terminal(rows)

    def debugger(self, rows: Rows) -> PanicDebugger | None:
        """See ``View``."""
        return self.view.debugger(rows)

    def note(self, line: str) -> None:
        """See ``View``."""
        self.view.note(line)

    def warn(self, message: str) -> None:
        """See ``View``."""
        self.view.warn(message)


@dataclass(frozen=True, slots=True)
class _BudgetShow:
    """Prints a line for each test, and ends the bisection when the budget is spent.

    The state of the bisection is saved by then.
    """

    note: Callable[[str], None]
    subjects: Mapping[str, str]
    spent: Callable[[], bool]

    def building(self, commit: str) -> Progress:
        del commit
        return Recorded()

    def built(self, commit: str, problem: str) -> None:
        if problem:
            self.note(f"bisection: {commit[:12]} {problem}")

    def testing(self, commit: str, cell: str) -> Progress:
        del commit, cell
        return Recorded()

    def tested(self, one: RevisionTest, mark: Mark) -> None:
        told = one.titles[0] if one.titles and mark is not Mark.GOOD else one.outcome
        subject = self.subjects.get(one.commit, "")
        self.note(f"bisection: {mark.value} {one.commit[:12]} {told or one.kind.value}  {subject}")

    def ahead(self, outlook: Outlook, seconds: float) -> None:
        del outlook, seconds
        if self.spent():
            raise BudgetSpent
