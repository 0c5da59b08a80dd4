"""Runs a night of a plan: what is new is tested, judged, and stored with its news."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import __version__
from harness.errors import InfraError, UsageError
from harness.history.database import Database
from harness.history.nights import NightReader
from harness.history.outbox import Outbox
from harness.history.retention import issues_seen
from harness.history.store import NightStore
from harness.image.media import BootMethod
from harness.nightly.cells import NightCell, PlannedBranch, branches_of, cells_of
from harness.nightly.ending import broken_controls, exit_code, masked_controls, unmended
from harness.nightly.issues import broad, expired, read_issues, unseen
from harness.nightly.news import NightChange, control_news, host_news, issue_news, news_of, untold
from harness.nightly.night import (
    JudgedNight,
    News,
    Night,
    NightState,
    Problem,
    Purpose,
    Result,
    Slot,
    Status,
)
from harness.nightly.plan import NightlyPlan, seconds_of
from harness.nightly.planfile import read_plan
from harness.results.unfinished import Planned
from harness.runs.guests import Guests
from harness.runs.histories import default_history, remember_history
from harness.runs.matrix import Matrix, MemoryGate
from harness.runs.nightcells import NightCells, NightTask, guest_request_of, key_of
from harness.runs.nightjudge import NightJudge
from harness.runs.nightkernels import NightKernels
from harness.runs.nightresults import not_run
from harness.runs.nightsearch import NightSearch
from harness.runs.nightsources import NightSources
from harness.runs.nighttell import deliver, delivery_lines, messages_of
from harness.runs.nighttiming import NightTiming
from harness.runs.recording import Recorder
from harness.runs.view import Unseen, View
from harness.source.request import KernelRequest

if TYPE_CHECKING:
    from harness.mutation.judgement import Judgement
    from harness.nightly.issues import KnownIssue
    from harness.nightly.timing import Slowdown
    from harness.results.record import Cell
    from harness.runs.environment import Environment
    from harness.source.firstparents import BranchCommit

#: The share of the budget that other revisions than the tips may take once something has failed:
#: the rest is for repeats and bisections.
_SHARE: Final = 0.6

#: Seconds of a boot, and of a build, of which the history knows nothing.
_USUAL_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class NightRequest:
    """A night to run.

    Args:
        plan: file of the plan.
        budget: seconds, in place of the plan's.
        since: revision after which commits are tested, in place of the last judged tips.
        history: file of the history, in place of the plan's.
    """

    plan: Path
    budget: float | None = None
    since: str | None = None
    history: Path | None = None


@dataclass(frozen=True, slots=True)
class OpenPlan:
    """A plan with its history.

    Args:
        plan: the plan.
        branches: its branches.
        cells: its cells.
        issues: the known issues.
        database: the history.
        pages: directory of the pages; None: none are written.
    """

    plan: NightlyPlan
    branches: tuple[PlannedBranch, ...]
    cells: tuple[NightCell, ...]
    issues: tuple[KnownIssue, ...]
    database: Database
    pages: Path | None = None

    @property
    def reader(self) -> NightReader:
        """Reads the plan's nights."""
        return NightReader(self.database, self.plan.name)

    @property
    def outbox(self) -> Outbox:
        """What is to be sent, and was."""
        return Outbox(self.database, self.plan.name)

    @property
    def store(self) -> NightStore:
        """Writes the plan's nights."""
        return NightStore(self.database, self.plan.name)


@dataclass(frozen=True, slots=True)
class NightResult:
    """Result of a night.

    Args:
        judged: the night, as the history has it.
        history: place of the history.
        directory: directory of its last record; None if nothing was to be run.
        index: the index of its pages; None if none were written.
        unwritten: why its pages could not be written.
    """

    judged: JudgedNight
    history: str
    directory: Path | None = None
    index: Path | None = None
    unwritten: str = ""

    @property
    def exit_code(self) -> int:
        """See ``harness.nightly.ending.exit_code``; pages that are missing are the host's fault."""
        missing = InfraError.exit_code if self.unwritten else 0
        return self.judged.night.exit_code or missing


def open_plan(request: NightRequest, env: Environment) -> OpenPlan:
    """Read a plan, and open its history.

    Raises:
        UsageError: the plan, its known issues or its history are invalid.
        InfraError: the history cannot be read.
    """
    plan = read_plan(request.plan)
    directory = request.plan.resolve().parent
    path = request.history
    if path is None and plan.history is not None:
        path = directory / Path(plan.history).expanduser()
    path = path or default_history(env.workspace, plan.name)
    database = Database.open(path)
    remember_history(env.workspace, path)
    issues = read_issues(directory / plan.issues)
    pages = None if plan.pages is None else directory / Path(plan.pages).expanduser()
    return OpenPlan(plan, branches_of(plan), cells_of(plan), issues, database, pages)


def nightly(request: NightRequest, env: Environment, view: View | None = None) -> NightResult:
    """Run a night of a plan, or go on with the one that was killed.

    Raises:
        UsageError: the plan is invalid, or a branch does not exist.
        InfraError: another night of the plan runs, or the disk is full; what ran is stored.
    """
    view = view or Unseen()
    opened = open_plan(request, env)
    with env.workspace.lock(night_lock(opened.plan.name), _refuse_second(opened.plan.name)):
        result = _NightRun(request, opened, env, view).run()
        if opened.pages is not None:
            result = _with_pages(result, opened, opened.pages, view)
    for line in tell_night(opened, request.plan, env):
        view.warn(line)
    return result


def tell_night(opened: OpenPlan, plan: Path, env: Environment) -> list[str]:
    """Send the outbox of a plan; return sentences about what was not sent."""
    try:
        delivery = deliver(opened.plan, plan.resolve().parent, opened.outbox, env)
    except InfraError as error:
        return [f"the news stays in the outbox: {error.message}"]
    return list(delivery_lines(delivery, str(plan), again=False))


def _with_pages(result: NightResult, opened: OpenPlan, pages: Path, view: View) -> NightResult:
    """Write the pages of a night that is stored: if that fails, its news and exit code stay."""
    from harness.runs.nightpages import night_pages

    try:
        return replace(result, index=night_pages(opened, pages))
    except (InfraError, UsageError) as error:
        view.warn(f"the night is stored, but not its pages: {error.message}")
        return replace(result, unwritten=error.message)


def night_lock(plan: str) -> str:
    """Return the name of the lock that a night of a plan holds."""
    return f"nightly-{plan}"


def _refuse_second(plan: str) -> Callable[[str], None]:
    def refuse(holder: str) -> None:
        raise InfraError(
            f"a night of the plan {plan} is running, in process {holder}",
            remedy=f"wait for it, or end it: kill {holder}",
        )

    return refuse


@dataclass(slots=True)
class _NightRun:
    """One night, or the rest of one."""

    request: NightRequest
    opened: OpenPlan
    env: Environment
    view: View
    night: Night = field(init=False)
    started: float = field(init=False)
    building: float = _USUAL_SECONDS

    def run(self) -> NightResult:
        self.started = self.env.clock.monotonic()
        sources = NightSources(self.env, self.view)
        self.night = self._resumed() or self._begun(sources)
        branches = {each.name: each for each in self.night.branches}
        planned = {each.name: each for each in self.opened.branches}
        kernels = NightKernels(self.env, self.view, sources, planned, branches)
        recorder = Recorder(self.env, self.view)
        first = self.opened.cells[0]
        what = KernelRequest(planned[first.slot.branch].source)
        guests = Guests.of(self.env, self.view, guest_request_of(first), what, BootMethod.DIRECT)
        reader, store = self.opened.reader, self.opened.store
        known = {key_of(each): each for each in reader.results(self.night)}

        def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
            cells = NightCells(
                self.env, self.view, self.night, kernels, reader, store, matrix, directory, known
            )
            self._work(cells, sources)
            return tuple(cells.cells), ()

        names = Planned(what.source)
        recorded = recorder.carry_out("nightly", guests, guests.most_at_once, work, names)
        judged = reader.judged_night(self.night.number)
        return NightResult(judged, self.opened.database.place, recorded.directory)

    # The beginning

    def _resumed(self) -> Night | None:
        """Return the night that was killed; None if the last one ended."""
        last = self.opened.reader.last()
        if last is None or last.state is not NightState.RUNNING:
            return None
        names = {branch.name for branch in self.opened.branches}
        if {branch.name for branch in last.branches} != names:
            now = self.env.clock.now()
            stopped = replace(
                last, state=NightState.STOPPED, ended=now, exit_code=InfraError.exit_code,
                notes=(*last.notes, "it was killed, and the plan has other branches now"),
            )  # fmt: skip
            self.opened.store.finish(stopped, (), (), ())
            return None
        self.view.note(f"going on with night {last.number}, which was killed")
        return last

    def _begun(self, sources: NightSources) -> Night:
        plan, reader = self.opened.plan, self.opened.reader
        branches, revisions, notes = sources.night(self.opened.branches, reader, self.request.since)
        tips = [known for each in self.opened.branches if (known := reader.judged_tip(each.name))]
        compared = max((number for number, _ in tips), default=None)
        night = Night(
            plan=plan.name,
            number=0,
            state=NightState.RUNNING,
            started=self.env.clock.now(),
            compared_with=compared,
            version=__version__,
            host=platform.node(),
            command=self.env.command,
            budget=self._budget(),
            notes=(*notes, *self._about_missed(compared)),
            branches=branches,
            revisions=revisions,
        )
        cells = [cell.document() for cell in self.opened.cells]
        return self.opened.store.begin(night, cells, seconds_of(plan.every))

    def _budget(self) -> float | None:
        if self.request.budget is not None:
            return self.request.budget
        budget = self.opened.plan.budget
        return None if budget is None else seconds_of(budget)

    def _about_missed(self, compared: int | None) -> list[str]:
        if compared is None:
            return ["it is the first night that is judged: everything that fails is new"]
        last = self.opened.reader.last()
        if last is not None and last.number != compared:
            return [f"it is compared with night {compared}, the last that was judged"]
        return []

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
        self._save_spent()
        results = list(cells.results.values())
        broken = broken_controls(results)
        problems: list[Problem] = []
        news: tuple[News, ...] = control_news(self.night.number, broken)
        if not broken:
            judge = self._judge(cells, sources)
            problems = judge.judge()
            slower = NightTiming.beside(judge.search, self.opened.reader).slowdowns()
            news = (*self._news(judge, problems, slower), *self._issue_news(problems))
        trouble = unmended(cells.results.values())
        unfetched = [branch for branch in self.night.branches if branch.problem]
        news += host_news(
            self.night.number, trouble, self.night.branches, before=self._trouble_before()
        )
        left_out = self._left_out(cells)
        night = replace(
            self.night,
            state=NightState.UNJUDGED if broken else NightState.ENDED,
            ended=self.env.clock.now(),
            spent=self._spent_seconds(),
            exit_code=exit_code(
                problems, controls_failed=bool(broken), host_trouble=bool(trouble or unfetched)
            ),
            notes=(*self.night.notes, *_about_masked(results), *_about_left_out(left_out)),
        )
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
            for rank, tasks in self._stages():
                if self._is_over(rank, tasks, cells):
                    break
                before = self.env.clock.monotonic()
                prepared = cells.prepare(tasks)
                self.building = max(0.0, self.env.clock.monotonic() - before)
                _wait(running)
                self._save_spent()
                running = cells.submit(prepared, pool, gate, share=rank > 0)
            _wait(running)

    def _stages(self) -> list[tuple[int, list[NightTask]]]:
        """Return the tasks of each revision with its rank, in the order in which they are run."""
        found = [(0, list(self._controls()))]
        order = sorted(self.night.revisions, key=lambda each: (each.rank, each.branch))
        for revision in order:
            tasks = [
                NightTask(cell, revision.commit, Purpose.PLANNED, attempt)
                for cell in self.opened.cells
                if cell.slot.branch == revision.branch and cell.kind != "control"
                for attempt in range(cell.repeat)
            ]
            found.append((revision.rank, tasks))
        return found

    def _controls(self) -> list[NightTask]:
        tips = {branch.name: branch.tip for branch in self.night.branches}
        return [
            NightTask(cell, tips[cell.slot.branch], Purpose.CONTROL, 0)
            for cell in self.opened.cells
            if cell.kind == "control" and tips[cell.slot.branch]
        ]

    def _is_over(self, rank: int, tasks: Sequence[NightTask], cells: NightCells) -> bool:
        """Return whether the budget leaves out a stage, and those after it."""
        if self.night.budget is None or not tasks:
            return False
        if rank == 0:
            return self.spent()
        reader = self.opened.reader
        seconds = expected_seconds(reader, [task.cell.slot for task in tasks])
        expected = seconds / cells.matrix.jobs + self.building
        failed = any(
            each.status in (Status.FAILED, Status.UNBUILT) and each.purpose is Purpose.PLANNED
            for each in cells.results.values()
        )
        return self.spent(_SHARE if failed else 1.0, expected)

    def _retry_host(self, cells: NightCells) -> None:
        """Run cells again in which the host failed, one at a time."""
        by_slot = {cell.slot: cell for cell in self.opened.cells}
        for number in range(self.opened.plan.host_retries):
            for result in unmended(cells.results.values()):
                if result.slot not in by_slot or self.spent():
                    continue
                cell = by_slot[result.slot]
                task = NightTask(cell, result.commit, result.purpose, cell.repeat + number)
                cells.alone(task)

    # The end

    def _judge(self, cells: NightCells, sources: NightSources) -> NightJudge:
        by_name = {branch.name: branch for branch in self.opened.branches}

        def commit(branch: str, name: str) -> BranchCommit:
            return sources.commit(by_name[branch].source, name)

        slots = {cell.slot: cell for cell in self.opened.cells if cell.kind != "control"}
        search = NightSearch(cells, slots, commit, self.spent)
        return NightJudge(
            cells, slots, self.opened.reader, search, self.opened.issues,
            self.night.started.date(), self.spent,
        )  # fmt: skip

    def _news(
        self, judge: NightJudge, problems: Sequence[Problem], slower: Sequence[Slowdown]
    ) -> tuple[News, ...]:
        compared = self.night.compared_with
        slots = {cell.slot for cell in self.opened.cells}
        before = self.opened.reader.cells(compared) if compared is not None else ()
        vanished = sorted({slot for slot in before if slot not in slots})
        change = NightChange(
            self.night.number, judge.before, problems, judge.flakier, vanished, slower
        )
        return news_of(change)

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
            for _, tasks in self._stages()
            for task in tasks
            if task.key not in cells.results
        ]


def _wait(running: Sequence[Future[Result]]) -> None:
    """Wait until all cells have ended, and raise the first error."""
    for future in running:
        future.result()


def expected_seconds(reader: NightReader, slots: Sequence[Slot]) -> float:
    """Return how long boots of these cells take together, by the history."""
    known = {slot: reader.seconds(slot) for slot in set(slots)}
    usual = {slot: statistics.median(each or [_USUAL_SECONDS]) for slot, each in known.items()}
    return sum(usual[slot] for slot in slots)


def _about_left_out(results: Sequence[Result]) -> list[str]:
    if not results:
        return []
    commits = {(each.slot.branch, each.commit) for each in results}
    return [f"the budget left out {len(results)} cells of {len(commits)} revisions"]


def _about_masked(results: Sequence[Result]) -> list[str]:
    return [
        f"the negative control {each.slot.cell} of {each.slot.branch} says nothing: its revision "
        f"fails in the same way without the mutant"
        for each in masked_controls(results)
    ]
