"""Runs the cells of a night on the hosts of a group, and stores each result as it comes."""

from __future__ import annotations

import hashlib
import json
import statistics
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from harness.errors import HarnessError, InfraError, UsageError
from harness.group.dispatcher import Dispatcher
from harness.group.leases import GroupLeases, Report
from harness.group.placement import Job
from harness.group.version import harness_version
from harness.nightly.result import Purpose, Result, Status
from harness.runs.nights.cells import BuiltKernel, NightCells, Prepared
from harness.runs.nights.grouphosts import USUAL_SECONDS
from harness.runs.nights.orders import (
    BranchOrder,
    HeldOrder,
    NightAnswer,
    NightOrder,
    SpecificationOrder,
    read_answer,
    told_result,
)
from harness.runs.nights.results import result_of_error
from harness.runs.replicas import KernelReplica

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from concurrent.futures import ThreadPoolExecutor

    from harness.history.database import Database
    from harness.host.clock import Clock
    from harness.runs.matrix import MemoryGate
    from harness.runs.nights.cellrunner import NightTask
    from harness.runs.nights.grouphosts import NightHosts

T = TypeVar("T")

#: Cells that wait for each that runs.
_AHEAD: Final = 2.0

#: Seconds of a build, of which the history knows nothing.
_BUILD_SECONDS: Final = 60.0

#: Seconds between looks whether the night is being ended.
_TICK: Final = 0.5

#: Attempts to store a result while the database restarts, a second apart.
_STORES: Final = 60

#: What is judged by itself, and gets a host to itself.
_ALONE: Final = frozenset({Purpose.REPEAT, Purpose.PROOF, Purpose.TIMING})


@dataclass(slots=True)
class GroupCells(NightCells):
    """Runs cells on the hosts of a group; see ``NightCells``.

    Args:
        group: its hosts.
        dispatcher: leases jobs.
    """

    group: NightHosts = field(kw_only=True)
    dispatcher: Dispatcher = field(kw_only=True)
    _builds: dict[str, Future[Report]] = field(default_factory=dict)
    _first: dict[tuple[object, ...], Future[Result]] = field(default_factory=dict)

    @property
    def batch(self) -> int:
        """See ``NightCells``: enough for all hosts."""
        return round(_AHEAD * self.group.cells)

    @property
    def lanes(self) -> int:
        """See ``NightCells``."""
        return self.group.cells

    @property
    def hosts(self) -> frozenset[str]:
        """See ``NightCells``."""
        return frozenset(offer.name for offer in self.group.offers)

    def notes(self) -> Sequence[str]:
        """See ``NightCells``."""
        found = [
            f"{name} failed what it was given again and again, and got nothing more"
            for name in self.dispatcher.set_aside
        ]
        late = self.dispatcher.leases.late()
        if late:
            words = "a result, which was" if late == 1 else f"{late} results, which were"
            found.append(f"lost hosts reported {words} set aside")
        return found

    def prepare(self, tasks: Sequence[NightTask]) -> list[Result | Prepared]:
        """See ``NightCells``; all kernels are built at once."""
        for task in tasks:
            if task.key not in self.results:
                self._build(task)
        return super(GroupCells, self).prepare(tasks)

    def submit(
        self, prepared: Sequence[Result | Prepared], pool: ThreadPoolExecutor, gate: MemoryGate,
        *, share: bool,
    ) -> list[Future[Result]]:  # fmt: skip
        """See ``NightCells``; of equal kernels that come together, the first is booted."""
        found = []
        for each in prepared:
            if isinstance(each, Result) or (share and self._shared(each[2])):
                continue
            same = each[2].slot, each[2].artifact
            first = self._first.get(same) if share else None
            if first is None:
                future = pool.submit(self._run, *each, gate)
                self._first[same] = future
            else:
                future = pool.submit(self._run_after, first, each, gate)
            found.append(future)
        return found

    def _run_after(self, first: Future[Result], each: Prepared, gate: MemoryGate) -> Result:
        self._outcome(first)
        return self._shared(each[2]) or self._run(*each, gate)

    def _build(self, task: NightTask) -> Future[Report]:
        """Have a kernel and its world built, once."""
        kernel = _digest(task.kernel_key)
        if kernel not in self._builds:
            source = self.kernels.planned[task.cell.slot.branch].source
            job = Job(
                f"kernel {kernel}", _BUILD_SECONDS, self.group.core, makes=kernel, source=source
            )
            self._builds[kernel] = self.dispatcher.submit(job, self._order("kernel", task, job))
        return self._builds[kernel]

    def _built(self, task: NightTask) -> BuiltKernel | HarnessError:
        rows, row, building = self.matrix.rows, task.build_name, self._build(task)
        is_shown = not building.done()
        if is_shown:
            rows.row(row)
        report = self._outcome(building)
        held = _held(report, task.commit)
        if isinstance(held, HarnessError):
            rows.failed(row, held)
            return held
        if is_shown:
            rows.done(row, f"ready on {report.host}", good=True)
        return BuiltKernel(held.kernel.artifact, held.kernel.key, held=held)

    def _run(
        self, task: NightTask, kernel: BuiltKernel, planned: Result, gate: MemoryGate
    ) -> Result:
        del gate
        slot = task.cell.slot
        row = f"{slot.cell} {task.commit[:10]} {task.purpose} {task.attempt}"
        rows = self.matrix.rows
        rows.row(row)
        try:
            specification = self._specification(task)
        except (UsageError, InfraError) as error:
            return self._keep(result_of_error(planned, error))
        job = self._job(task)
        order = self._order("cell", task, job, kernel.held, specification)
        report = self._outcome(self.dispatcher.submit(job, order))
        result = self._told(report, planned)
        kept = self._keep(result, report.console)
        rows.done(row, f"{result.outcome or result.status} on {report.host}",
                  good=result.status is Status.PASSED)  # fmt: skip
        _persist(self.env.clock, lambda: self.dispatcher.leases.keep(report.lease))
        return kept

    @staticmethod
    def _told(report: Report, planned: Result) -> Result:
        """Return the result that a host reported; what is wrong with it is the host's failure."""
        answer = _answer(report)
        if isinstance(answer, NightAnswer) and answer.result is not None:
            return told_result(answer.result, planned, report.host)
        if isinstance(answer, NightAnswer):
            answer = InfraError(f"{report.host} reported no result")
        return result_of_error(replace(planned, host=report.host), answer)

    def _keep(self, result: Result, console: bytes = b"") -> Result:
        kept: list[Result] = []
        _persist(
            self.env.clock, lambda: kept.append(super(GroupCells, self)._keep(result, console))
        )
        return kept[0]

    def _outcome(self, future: Future[T]) -> T:
        """Wait for a report or a result, unless the night is being ended."""
        while True:
            try:
                return future.result(_TICK)
            except TimeoutError:
                if self.matrix.booter.cancelled.is_set():
                    raise InfraError("the night is being ended") from None

    def _specification(self, task: NightTask) -> SpecificationOrder | None:
        """Return what a check holds its kernel to; None for other cells."""
        if task.cell.kind != "check":
            return None
        found = self.kernels.specification(task.cell, task.commit)
        return SpecificationOrder(values=dict(found.values), why=found.why, asked=found.asked)

    # Where it runs

    def _job(self, task: NightTask) -> Job:
        """Return the job of a task."""
        known = self.reader.cell_results.seconds(task.cell.slot)
        seconds = statistics.median(known or [USUAL_SECONDS])
        words = (*task.key[:4], str(task.attempt), "clean" if task.clean else "")
        job = self.group.job(task.cell, self.runner.guests, " ".join(words).strip(), seconds)
        avoid = self._avoided(task)
        if self.hosts <= avoid:
            avoid = frozenset()
        return replace(
            job, kernel=_digest(task.kernel_key), alone=task.purpose in _ALONE, avoid=avoid
        )  # fmt: skip

    def _avoided(self, task: NightTask) -> frozenset[str]:
        """Return the hosts that a task should not run on.

        A failure is repeated on another host than the one that showed it, and a failure of the host
        as well. Times are compared on one host.
        """
        if task.host:
            return self.hosts - {task.host}
        # A copy: other threads add results.
        results = list(self.results.values())
        own = [each for each in results if each.slot == task.cell.slot]
        if task.purpose is Purpose.TIMING:
            timed = [each.host for each in own if each.purpose is Purpose.TIMING]
            first = timed or [each.host for each in own if each.status is Status.PASSED]
            return self.hosts - set(first[:1]) if first else frozenset()
        same = [each for each in own if each.commit == task.commit]
        bad = {Status.HOST_FAILED}
        if task.purpose is Purpose.REPEAT:
            bad.add(Status.FAILED)
        return frozenset(
            each.host for each in same
            if each.status in bad and (each.purpose.sights or each.purpose is Purpose.CONTROL)
        )  # fmt: skip

    def _order(
        self, kind: str, task: NightTask, job: Job, held: HeldOrder | None = None,
        specification: SpecificationOrder | None = None,
    ) -> Mapping[str, object]:  # fmt: skip
        """Return what a host is told."""
        night = next(each for each in self.night.branches if each.name == task.cell.slot.branch)
        planned = self.kernels.planned[night.name]
        source = Path(planned.source).expanduser()
        if source.exists():
            planned = replace(planned, source=str(source.absolute()))
        order = NightOrder(
            version=harness_version(), kind="kernel" if kind == "kernel" else "cell",
            commands=job.commands, plan=self.night.plan, night=self.night.number,
            host=self.night.host,
            branch=BranchOrder(
                planned=planned, tip=night.tip, base=night.base, rewritten=night.rewritten
            ),
            cell=task.cell, commit=task.commit, purpose=task.purpose, attempt=task.attempt,
            trusted=task.trusted, loader=task.loader, clean=task.clean, cores=job.cores,
            memory=job.memory, held=held, specification=specification,
        )  # fmt: skip
        return order.document()


@contextmanager
def group_cells(group: NightHosts, database: Database, local: NightCells) -> Iterator[GroupCells]:
    """Yield what runs the cells of a night on a group; an interrupt ends what runs there.

    If this process is killed, or fails, what runs goes on, and is found again by the next asker.

    Args:
        group: the hosts.
        database: the history.
        local: what would run them on this host.
    """
    night, env, runner = local.night, local.env, local.runner
    leases = GroupLeases(database, night.plan, night.number)
    leases.clear()
    dispatcher = Dispatcher(leases, harness_version(), group.silence, env.clock, local.view.note)
    runner.matrix = replace(runner.matrix, jobs=group.cells + round(_AHEAD * group.cells))
    cells = GroupCells(
        env, local.view, night, runner, local.reader, local.store, local.results, group=group,
        dispatcher=dispatcher,
    )  # fmt: skip
    dispatcher.start()
    try:
        yield cells
    except Exception:
        dispatcher.close()
        raise
    except BaseException:
        dispatcher.close(cancel=True)
        raise
    else:
        dispatcher.close()
        with suppress(InfraError):  # the next night clears it
            leases.clear()


def _answer(report: Report) -> NightAnswer | HarnessError:
    """Return what a host answered, or why there is no answer or no kernel."""
    if report.document.get("kind") != "done":
        why = report.document.get("why")
        return InfraError(
            f"{report.host} did not carry it out: {why if isinstance(why, str) else 'no reason'}"
        )
    try:
        answer = read_answer(report.document.get("document"))
    except UsageError as invalid:
        return InfraError(f"{report.host}: {invalid.message}")
    return answer if answer.error is None else answer.error.error


def _held(report: Report, commit: str) -> HeldOrder | HarnessError:
    """Return what names the files of the kernel that a host built, or why there is none."""
    answer = _answer(report)
    if isinstance(answer, HarnessError):
        return answer
    if answer.held is None:
        return InfraError(f"{report.host} reported no kernel")
    try:
        own = {each.checked().commit for each in answer.held.all if isinstance(each, KernelReplica)}
    except UsageError as invalid:
        return InfraError(f"{report.host} reported what is no kernel: {invalid.message}")
    if not own <= {None, commit}:
        return InfraError(f"{report.host} reported the kernel of another revision")
    return answer.held


def _digest(key: Collection[object]) -> str:
    return hashlib.sha256(json.dumps(list(key)).encode()).hexdigest()[:16]


def _persist(clock: Clock, write: Callable[[], object]) -> None:
    """Write into the history, again if the database restarts in the middle.

    Raises:
        InfraError: it does not come back.
    """
    for _ in range(_STORES):
        try:
            write()
        except InfraError:
            clock.sleep(1.0)
        else:
            return
    write()
