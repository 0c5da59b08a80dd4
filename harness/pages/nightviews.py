"""What the pages of a night show, from the night and its history. Pure but for consoles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from harness.nightly.controls import spoilt_attempts
from harness.nightly.failures import TEST, FailureKey, seen_as
from harness.nightly.judgement import is_watched
from harness.nightly.reproduce import command_of
from harness.nightly.result import Purpose, Status
from harness.nightly.sentence import new_problems
from harness.pages.charts import Bar, Chart, ChartPoint, bars, line
from harness.pages.consolelines import DiffLine, Excerpt, difference, excerpt_of
from harness.pages.frames import frame_lines
from harness.pages.matrix import failure_anchor

if TYPE_CHECKING:
    from harness.nightly.cells import NightCell
    from harness.nightly.night import BranchNight, JudgedNight, Problem, RevisionNight
    from harness.nightly.past import CellBoot, ProblemNight
    from harness.nightly.result import CaseResult, Result, Slot

#: Failures of which a page shows frames and console.
_DETAILED: Final = 12

#: Tests that the page of a cell lists.
_TESTS: Final = 5000


class NightHistory(Protocol):
    """What pages read of a history."""

    def console(self, digest: str) -> bytes:
        """Return a console by its hash; empty if it has expired."""

    def problem_nights(self, key: str, last: int) -> Sequence[ProblemNight]:
        """Return the newest nights that judged a problem, the newest last."""

    def good(self, slot: Slot, before: int) -> Result | None:
        """Return the newest passed result of a cell with a console, up to a night."""

    def operations(self, slot: Slot, nights: Collection[int]) -> Mapping[int, int]:
        """Return the operations of a check in each of some nights, by the nights' numbers."""

    def boots(self, slot: Slot, before: int, last: int) -> Sequence[CellBoot]:
        """Return the newest passed boots of a cell up to a night, the newest last."""


@dataclass(frozen=True, slots=True)
class FailureView:
    """A failing result with all that is known of it.

    Args:
        result: the result.
        command: the arguments of the command that repeats it; empty if its cell is unknown.
        frames: its backtrace, innermost first.
        console: the lines around its place.
        text: path of the whole console; empty if there is none.
        good: the last good result of its cell; None if none is known.
        good_text: path of the good result's whole console.
        diff: how the console differs from the good one.
    """

    result: Result
    command: tuple[str, ...]
    frames: tuple[str, ...]
    console: Excerpt | None
    text: str = ""
    good: Result | None = None
    good_text: str = ""
    diff: tuple[DiffLine, ...] = ()


@dataclass(frozen=True, slots=True)
class HostWork:
    """What a host did in a night.

    Args:
        name: its name.
        results: results that it reported.
        failed: those that failed.
        host_failed: those of which it failed itself.
        seconds: seconds of its guests, together.
    """

    name: str
    results: int
    failed: int
    host_failed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SuiteTest:
    """A test in the table of its cell.

    Args:
        case: its result.
        problem: what its failure is a case of; None if it is good.
    """

    case: CaseResult
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class PlannedCells:
    """The plan's cells and trees, for commands.

    Args:
        cells: the cells by slot.
        kernconfs: the kernel configuration of each branch; those with the default are left out.
    """

    cells: Mapping[Slot, NightCell]
    kernconfs: Mapping[str, str] = field(default_factory=dict)

    def command(self, result: Result, branches: Sequence[BranchNight]) -> tuple[str, ...]:
        """Return the arguments of the command that repeats a result; empty if it is unknown."""
        cell = self.cells.get(result.slot)
        source = next((each.source for each in branches if each.name == result.slot.branch), "")
        if cell is None or not source:
            return ()
        return command_of(cell, result, source, self.kernconfs.get(result.slot.branch))


@dataclass(slots=True)
class NightViews:
    """Makes the views of one night.

    Args:
        judged: the night.
        planned: the plan's cells.
        history: the history.

    Attributes:
        consoles: the consoles that the views name, by path below the site's directory.
    """

    judged: JudgedNight
    planned: PlannedCells
    history: NightHistory
    consoles: dict[str, bytes] = field(default_factory=dict)

    def problems(self) -> dict[str, list[Problem]]:
        """Return the night's problems by the heading under which they stand."""
        new = {each.id for each in new_problems(self.judged)}
        groups: dict[str, list[Problem]] = {
            "New": [], "Still open": [], "Fixed": [], "Known issues": [], "Watched": [],
        }  # fmt: skip
        for each in self.judged.problems:
            groups[_heading(each, new)].append(each)
        return {heading: found for heading, found in groups.items() if found}

    def configurations(self, problem: Problem) -> list[str]:
        """Return the kernel configurations that show a problem in this night."""
        return sorted({each.failing.configuration for each in problem.incidents})

    def example(self, problem: Problem) -> Result | None:
        """Return the result that stands for a problem in this night; None if it did not show."""
        return problem.incidents[0].failing if problem.incidents else None

    def command(self, result: Result | None) -> tuple[str, ...]:
        """Return the arguments of the command that repeats a result."""
        return self.planned.command(result, self.judged.night.branches) if result else ()

    def failure(self, result: Result, good: Result | None) -> FailureView:
        """Return a failing result with its console, compared with a good result's."""
        console = self._console(result)
        passing = self._console(good) if good is not None and console else b""
        return FailureView(
            result=result,
            command=self.command(result),
            frames=tuple(frame_lines(result.frames)),
            console=excerpt_of(console, result.offset) if console else None,
            text=_text_place(result) if console else "",
            good=good,
            good_text=_text_place(good) if good is not None and passing else "",
            diff=difference(passing, console, result.offset) if passing else (),
        )

    def of_problem(self, problem: Problem) -> list[FailureView]:
        """Return the failures that show a problem, one for each cell."""
        shown = problem.incidents[:_DETAILED]
        failure = FailureKey(problem.kind, problem.title)
        return [
            self.failure(seen_as(each.failing, failure), self._good(each.failing)) for each in shown
        ]

    def of_slot(self, slot: Slot) -> dict[str, FailureView]:
        """Return the failures of a cell by their anchors; of equal ones, the oldest revision's."""
        found: dict[str, Result] = {}
        places = {(each.branch, each.commit): each.place for each in self.judged.night.revisions}
        results = [each for each in self.judged.results if each.slot == slot and _failed(each)]
        results.sort(key=lambda each: places.get((slot.branch, each.commit), 0))
        for each in results:
            found.setdefault(failure_anchor(each), each)
        return {
            anchor: self.failure(each, self._good(each))
            for anchor, each in list(found.items())[:_DETAILED]
        }

    def tests(self, slot: Slot) -> list[SuiteTest]:
        """Return the tests of a cell's newest suite, the failing ones first."""
        suites = [
            each for each in self.judged.results
            if each.slot == slot and each.tests and each.purpose is Purpose.PLANNED
        ]  # fmt: skip
        problems = {each.title: each for each in self.judged.problems if each.kind == TEST}
        cases = suites[-1].tests[:_TESTS] if suites else ()
        rows = [SuiteTest(each, None if each.good else problems.get(each.name)) for each in cases]
        return sorted(rows, key=lambda row: row.case.good)

    def not_run(self) -> list[tuple[Slot, int]]:
        """Return the cells that did not run, with the number of revisions."""
        counts: dict[Slot, int] = {}
        for each in self.judged.results:
            if each.status is Status.NOT_RUN:
                counts[each.slot] = counts.get(each.slot, 0) + 1
        return sorted(counts.items())

    def hosts(self) -> list[HostWork]:
        """Return what each host did; none if the night ran on one."""
        own: dict[str, list[Result]] = {}
        for each in self.judged.results:
            if each.host and each.shared is None and each.status is not Status.NOT_RUN:
                own.setdefault(each.host, []).append(each)
        found = [
            HostWork(
                name, len(results),
                sum(each.status is Status.FAILED for each in results),
                sum(each.status is Status.HOST_FAILED for each in results),
                sum(each.seconds for each in results),
            )
            for name, results in sorted(own.items())
        ]  # fmt: skip
        return found if len(found) > 1 else []

    def controls(self) -> list[Result]:
        """Return the results of negative controls."""
        return [each for each in self.judged.results if each.purpose is Purpose.CONTROL]

    def spoilt_attempts(self) -> list[Result]:
        """Return those that failed otherwise and do not count."""
        return spoilt_attempts(self.judged)

    def cell_charts(self, slot: Slot, boots: Sequence[CellBoot]) -> dict[str, Chart]:
        """Return the charts of a cell by their names."""
        charts = {}
        times = [
            ChartPoint(f"night {each.number}", each.stages["init"])
            for each in boots if "init" in each.stages
        ]  # fmt: skip
        if times:
            charts["boot-time"] = line(times, "Boot time, start to init", "s")
        cell = self.planned.cells.get(slot)
        if cell is not None and cell.kind == "check":
            operations = self.history.operations(slot, {each.number for each in boots})
            rates = [
                ChartPoint(f"night {each.number}", operations[each.number] / (each.seconds - start))
                for each in boots
                if each.seconds > (start := each.stages.get("init", 0.0))
                and each.number in operations
            ]
            if rates:
                charts["check-rate"] = line(rates, "Check rate", "operations/s")
        return charts

    def _good(self, result: Result) -> Result | None:
        """Return what a failing result is compared with."""
        for problem in self.judged.problems:
            for each in problem.incidents:
                if each.slot == result.slot and problem.title == result.title and each.passing:
                    return each.passing
        if result.purpose is Purpose.CONTROL or result.status is not Status.FAILED:
            return None
        return self.history.good(result.slot, self.judged.night.number)

    def _console(self, result: Result) -> bytes:
        if not result.console:
            return b""
        place = _text_place(result)
        if place not in self.consoles:
            self.consoles[place] = self.history.console(result.console)
        return self.consoles[place]


def problem_chart(nights: Sequence[ProblemNight]) -> Chart | None:
    """Return the chart of the cells that show a problem, night by night."""
    if len(nights) < 2:
        return None
    return bars([Bar(f"night {each.number}", each.incidents) for each in nights],
                "Cells that show it")  # fmt: skip


def _heading(problem: Problem, new: set[str]) -> str:
    if problem.known_issue:
        return "Known issues"
    if is_watched(problem):
        return "Watched"
    if not problem.open:
        return "Fixed"
    return "New" if problem.id in new else "Still open"


def _failed(result: Result) -> bool:
    """Return whether a result is shown with its details."""
    control_passed = result.purpose is Purpose.CONTROL and result.status is Status.PASSED
    failed = result.status in (Status.FAILED, Status.UNBUILT, Status.HOST_FAILED)
    return (failed or control_passed) and result.shared is None


def _text_place(result: Result) -> str:
    return f"consoles/{result.console[:16]}.txt"


@dataclass(frozen=True, slots=True)
class SlotResult:
    """A result in the table of its cell.

    Args:
        result: the result.
        revision: its revision; None if it is of an earlier night.
    """

    result: Result
    revision: RevisionNight | None


def result_rows(judged: JudgedNight, slot: Slot) -> list[SlotResult]:
    """Return the results of a cell, the newest revision first."""
    revisions = {(each.branch, each.commit): each for each in judged.night.revisions}
    rows = [
        SlotResult(each, revisions.get((slot.branch, each.commit)))
        for each in judged.results
        if each.slot == slot and each.status is not Status.NOT_RUN
    ]
    rows.sort(key=lambda row: row.revision.place if row.revision else 0, reverse=True)
    return rows
