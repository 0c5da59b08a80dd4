"""One night: what is new is tested, judged, and stored with its news."""

from __future__ import annotations

import statistics
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from harness.errors import InfraError, UsageError
from harness.history.retention import issues_seen
from harness.nightly.ending import exit_code, unmended
from harness.nightly.issues import broad, expired, unseen
from harness.nightly.news import (
    NightChange,
    control_news,
    host_news,
    issue_news,
    news_of,
    untold,
)
from harness.nightly.night import (
    JudgedNight,
    News,
    Night,
    NightState,
    Problem,
)
from harness.nightly.result import Purpose, Result, Slot, Status
from harness.results.unfinished import Planned
from harness.runs.matrix import Matrix, MemoryGate
from harness.runs.nights.beginning import NightBeginning
from harness.runs.nights.cellrunner import CellRunner, NightTask
from harness.runs.nights.cells import NightCells, key_of
from harness.runs.nights.controls import tried_controls
from harness.runs.nights.guests import NightGuests
from harness.runs.nights.judge import NightJudge
from harness.runs.nights.kernels import NightKernels
from harness.runs.nights.results import about_left_out, not_run
from harness.runs.nights.search import NightSearch
from harness.runs.nights.sources import NightSources
from harness.runs.nights.stages import NightStage, batches
from harness.runs.nights.tell import messages_of
from harness.runs.nights.timing import NightTiming
from harness.runs.recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from harness.history.nights import NightReader
    from harness.mutation.judgement import Judgement
    from harness.nightly.cells import NightCell
    from harness.nightly.timing import Slowdown
    from harness.results.record import Cell
    from harness.runs.environment import Environment
    from harness.runs.nights.openplan import OpenPlan
    from harness.runs.view import View
    from harness.source.firstparents import BranchCommit

#: The share of the budget that other revisions than the tips, and boots for times, may take once
#: something has failed: the rest is for repeats and bisections.
_SHARE: Final = 0.6

#: Seconds of a boot, and of a build, of which the history knows nothing.
_USUAL_SECONDS: Final = 20.0


@dataclass(slots=True)
class NightRun:
    """One night, or the rest of one.

    Args:
        opened: the plan with its history.
        env: the host.
        view: shows what happens.
        budget: seconds, in place of the plan's.
        since: revision after which commits are tested, in place of the last judged tips.
        silence: seconds after which a silent host of the group is gone; None: all cells run on this
            host.
    """

    opened: OpenPlan
    env: Environment
    view: View
    budget: float | None = None
    since: str | None = None
    silence: float | None = None
    night: Night = field(init=False)
    started: float = field(init=False)
    building: float = _USUAL_SECONDS

    def run(self) -> tuple[JudgedNight, Path]:
        """Run it to its end; return it as the history has it, and the directory of its record.

        Raises:
            UsageError: a branch does not exist, or a cell cannot be run at all; nothing ran.
            InfraError: the disk is full; what ran is stored.
        """
        self.started = self.env.clock.monotonic()
        sources = NightSources(self.env, self.view)
        beginning = NightBeginning(self.opened, self.env, self.view, self.budget, self.since)
        resumed = beginning.resumed()
        night = resumed or beginning.new(sources)
        kernels = NightKernels.of(
            self.env, self.view, sources, self.opened.branches, night.branches
        )
        guests = NightGuests(self.env, self.view, kernels)
        guests.refuse_impossible(self.opened.cells)
        group = None
        if self.silence is not None:
            from harness.runs.nights.grouphosts import NightHosts

            group = NightHosts.found(self.opened.database, self.silence, self.view)
            group.refuse_impossible(self.opened.cells, guests)
        self.night = resumed or beginning.begun(night)
        reader, store = self.opened.reader, self.opened.store
        known = {key_of(each): each for each in reader.results(self.night)}

        def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
            runner = CellRunner(self.env, self.night, kernels, guests, matrix, directory)
            cells = NightCells(self.env, self.view, self.night, runner, reader, store, known)
            with _as_host_failure(self.night.number), ExitStack() as stack:
                if group is not None:
                    from harness.runs.nights.groupcells import group_cells

                    cells = stack.enter_context(group_cells(group, self.opened.database, cells))
                self._work(cells, sources)
            return tuple(runner.cells), ()

        first, _ = guests.plan(self._some_cell())
        names = Planned(self.opened.branches[0].source)
        recorder = Recorder(self.env, self.view)
        recorded = recorder.carry_out("nightly", first, first.most_at_once, work, names)
        judged = reader.judged_night(self.night.number)
        return judged, recorded.directory

    def _some_cell(self) -> NightCell:
        """Return a cell whose tree is there, if there is one."""
        there = {branch.name for branch in self.night.branches if branch.tip}
        cells = self.opened.cells
        return next((each for each in cells if each.slot.branch in there), cells[0])

    # The budget

    def _spent_seconds(self) -> float:
        return self.night.spent + self.env.clock.monotonic() - self.started

    def spent(self, share: float = 1.0, more: float = 0.0) -> bool:
        """Return whether a share of the budget is spent, or would be after so many seconds."""
        budget = self.night.budget
        return budget is not None and self._spent_seconds() + more >= share * budget

    # The middle

    def _work(self, cells: NightCells, sources: NightSources) -> None:
        """Run what the budget allows, judge it, and store the end of the night."""
        self._run_planned(cells)
        self._retry_host(cells)
        controls = tried_controls(cells, self._slots, self._open_before())
        self._save_spent()
        problems: list[Problem] = []
        uncompared: list[Result] = []
        news: tuple[News, ...] = control_news(self.night.number, controls.broken)
        if not controls.broken:
            judge = self._judge(cells, sources)
            timing = self._timing(cells, judge, sources)
            slower = timing.slowdowns()  # failures that these show are judged
            uncompared = timing.cut
            problems = judge.judge()
            news = (*self._news(judge, problems, slower), *self._issue_news(problems))
        trouble = unmended(cells.results.values())
        unfetched = [branch for branch in self.night.branches if branch.problem]
        news += host_news(
            self.night.number, trouble, self.night.branches, before=self._trouble_before()
        )
        left_out = [*self._left_out(cells), *uncompared]
        night = replace(
            self.night,
            state=NightState.UNJUDGED if controls.broken else NightState.ENDED,
            ended=self.env.clock.now(),
            spent=self._spent_seconds(),
            exit_code=exit_code(
                problems,
                controls_failed=bool(controls.broken),
                host_trouble=bool(trouble or unfetched),
            ),
            notes=(
                *self.night.notes, *controls.notes(), *cells.notes(), *about_left_out(left_out)
            ),
        )  # fmt: skip
        told = untold(news, self.opened.reader.told())
        results = [*cells.results.values(), *left_out]
        judged = JudgedNight(night, tuple(results), tuple(problems), told)
        messages = messages_of(self.opened.plan, judged)
        self.opened.store.finish(night, left_out, problems, told, messages)

    def _save_spent(self) -> None:
        self.opened.store.spend(self.night, self._spent_seconds())

    def _run_planned(self, cells: NightCells) -> None:
        """Run controls and tips, then the other revisions as the budget allows.

        The kernels of a revision are built while the guests of the one before run.
        """
        gate = MemoryGate(cells.matrix.memory)
        running: list[Future[Result]] = []
        with cells.matrix.pool() as pool:
            stages = (*self._stages(), *self._more_at_tips())
            for stage in batches(stages, cells.batch):
                if self._is_over(stage, cells):
                    break
                before = self.env.clock.monotonic()
                prepared = cells.prepare(stage.tasks)
                self.building = max(0.0, self.env.clock.monotonic() - before)
                _wait(running)
                self._save_spent()
                running = cells.submit(prepared, pool, gate, share=stage.share)
            _wait(running)

    def _stages(self) -> list[NightStage]:
        """Return the controls and each revision, in the order in which they are run."""
        found = [NightStage(self._controls(), first=True)]
        order = sorted(self.night.revisions, key=lambda each: (each.rank, each.branch))
        for revision in order:
            tasks = [
                NightTask(cell, revision.commit, Purpose.PLANNED, attempt)
                for cell in self.opened.cells
                if cell.slot.branch == revision.branch
                and cell.kind != "control"
                and not (revision.rank and cell.at_tips_only)
                for attempt in range(cell.repeat)
            ]
            found.append(NightStage(tasks, first=not revision.rank, share=bool(revision.rank)))
        return found

    def _more_at_tips(self) -> list[NightStage]:
        """Return the boots of the tips for which the plan has time: they are not left out."""
        tips = {branch.name: branch.tip for branch in self.night.branches}
        attempts = range(max((cell.at_tip for cell in self.opened.cells), default=0))
        return [
            NightStage([
                NightTask(cell, tips[cell.slot.branch], Purpose.PLANNED, attempt)
                for cell in self.opened.cells
                if cell.repeat <= attempt < cell.at_tip and tips[cell.slot.branch]
            ])
            for attempt in attempts
        ]  # fmt: skip

    def _controls(self) -> list[NightTask]:
        tips = {branch.name: branch.tip for branch in self.night.branches}
        return [
            NightTask(cell, tips[cell.slot.branch], Purpose.CONTROL, 0)
            for cell in self.opened.cells
            if cell.kind == "control" and tips[cell.slot.branch]
        ]

    def _is_over(self, stage: NightStage, cells: NightCells) -> bool:
        """Return whether the budget leaves out a stage, and those after it."""
        if self.night.budget is None or not stage.tasks:
            return False
        if stage.first:
            return self.spent()
        reader = self.opened.reader
        seconds = expected_seconds(reader, [task.cell.slot for task in stage.tasks])
        expected = seconds / cells.lanes + self.building
        return self.spent(_share(cells), expected)

    def _retry_host(self, cells: NightCells) -> None:
        """Run cells again in which the host failed, one at a time."""
        for number in range(self.opened.plan.host_retries):
            for result in unmended(cells.results.values()):
                if result.slot not in self._slots or self.spent():
                    continue
                cell = self._slots[result.slot]
                task = NightTask(cell, result.commit, result.purpose, cell.at_tip + number)
                cells.alone(task)

    @property
    def _slots(self) -> Mapping[Slot, NightCell]:
        return {cell.slot: cell for cell in self.opened.cells}

    @property
    def _source_of(self) -> Mapping[str, str]:
        """The source of each branch."""
        return {branch.name: branch.source for branch in self.opened.branches}

    def _open_before(self) -> list[Problem]:
        """Return the problems that were open when the night began."""
        return [each for each in self.opened.reader.problems().values() if each.open]

    # The end

    def _judge(self, cells: NightCells, sources: NightSources) -> NightJudge:
        source_of = self._source_of

        def commit(branch: str, name: str) -> BranchCommit:
            return sources.commit(source_of[branch], name)

        slots = {slot: cell for slot, cell in self._slots.items() if cell.kind != "control"}
        search = NightSearch(cells, slots, commit, self.spent)
        return NightJudge(
            cells, slots, self.opened.reader, search, self.opened.issues,
            self.night.started.date(), self.spent,
        )  # fmt: skip

    def _timing(self, cells: NightCells, judge: NightJudge, sources: NightSources) -> NightTiming:
        source_of = self._source_of

        def between(branch: str, base: str, tip: str) -> tuple[str, ...]:
            return sources.between(source_of[branch], base, tip)

        def spent() -> bool:
            return self.spent(_share(cells))

        commit, reader = judge.search.commit, self.opened.reader
        return NightTiming(cells, judge.slots, reader, commit, between, spent)

    def _news(
        self, judge: NightJudge, problems: Sequence[Problem], slower: Sequence[Slowdown]
    ) -> tuple[News, ...]:
        compared = self.night.compared_with
        slots = {cell.slot for cell in self.opened.cells}
        before = self.opened.reader.cells(compared) if compared is not None else ()
        vanished = sorted({slot for slot in before if slot not in slots})
        change = NightChange(
            self.night.number, judge.before, problems, judge.flakier, vanished,
            self._vanished_tests(judge.cells), slower,
        )  # fmt: skip
        return news_of(change)

    def _vanished_tests(self, cells: NightCells) -> dict[Slot, list[str]]:
        """Return the tests of suites that an earlier night ran, and this one no longer has."""
        found = {}
        for each in cells.results.values():
            if each.tests and each.purpose is Purpose.PLANNED:
                before = self.opened.reader.cell_results.tests(each.slot, self.night.number)
                now = {test.name for test in each.tests}
                if gone := [test.name for test in before if test.name not in now]:
                    found[each.slot] = gone
        return found

    def _issue_news(self, problems: Sequence[Problem]) -> tuple[News, ...]:
        today, issues = self.night.started.date(), self.opened.issues
        seen = issues_seen(self.opened.database, self.opened.plan.name)
        seen |= {
            each.known_issue: today for each in problems if each.known_issue and each.incidents
        }
        return issue_news(expired(issues, today), unseen(issues, seen, today), broad(problems))

    def _trouble_before(self) -> bool:
        nights = self.opened.reader.nights(2)
        earlier = [night for night in nights if night.number < self.night.number]
        return bool(earlier) and self.opened.reader.had_host_trouble(earlier[0].number)

    def _left_out(self, cells: NightCells) -> list[Result]:
        """Return a result for each cell and revision that was not run."""
        return [
            not_run(task.cell, task.commit, task.attempt)
            for stage in self._stages()
            for task in stage.tasks
            if task.key not in cells.results
        ]


@contextmanager
def _as_host_failure(number: int) -> Iterator[None]:
    """Report what can no longer be tested, such as a tree that is gone, as the host's failure."""
    try:
        yield
    except UsageError as error:
        raise InfraError(
            f"night {number} cannot go on: {error.message}",
            remedy="mend that, and go on with it: harness nightly run",
        ) from error


def _wait(running: Sequence[Future[Result]]) -> None:
    """Wait until all cells have ended, and raise the first error."""
    for future in running:
        future.result()


def _share(cells: NightCells) -> float:
    """Return the share of the budget that is not kept for repeats and bisections."""
    failed = any(
        each.status in (Status.FAILED, Status.UNBUILT) and each.purpose.sights
        for each in cells.results.values()
    )
    return _SHARE if failed else 1.0


def expected_seconds(reader: NightReader, slots: Sequence[Slot]) -> float:
    """Return how long boots of these cells take together, by the history."""
    known = {slot: reader.cell_results.seconds(slot) for slot in set(slots)}
    usual = {slot: statistics.median(each or [_USUAL_SECONDS]) for slot, each in known.items()}
    return sum(usual[slot] for slot in slots)
