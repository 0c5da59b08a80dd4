"""Runs cells of a night, and stores each result as it ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.boot.cellplan import CellPlan
from harness.boot.plan import Sampling
from harness.check.checker import Checker, CheckPlan
from harness.errors import BuildError, HarnessError, InfraError, UsageError
from harness.execution.program import Program, ProgramPlan
from harness.kernel.elf import content_digest
from harness.nightly.failures import COMMAND
from harness.nightly.result import Purpose, Result, Status
from harness.outcome import Outcome
from harness.runs.matrix import Matrix, MemoryGate
from harness.runs.nights.results import (
    console_of,
    kept_console,
    output_of,
    result_of_cell,
    result_of_error,
)
from harness.runs.nights.suites import read_tests
from harness.sanitizers import parse_sanitizers
from harness.world.fit import require_fitting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path

    from harness.history.nights import NightReader
    from harness.history.store import NightStore
    from harness.kernel.artifact import KernelArtifact
    from harness.nightly.cells import NightCell
    from harness.nightly.night import Night
    from harness.results.record import Cell
    from harness.runs.environment import Environment
    from harness.runs.nights.guests import NightGuests
    from harness.runs.nights.kernels import NightKernels
    from harness.runs.view import View
    from harness.world.image import World


@dataclass(frozen=True, slots=True)
class NightTask:
    """A cell to run once at a revision.

    Args:
        cell: the plan's cell.
        commit: the revision.
        purpose: why it runs.
        attempt: counts results of the same purpose.
        trusted: boot under TCG, which is trusted more than KVM.
        loader: boot through the loader, if the kernel can.
        clean: build its kernel without objects of earlier builds, with one job.
    """

    cell: NightCell
    commit: str
    purpose: Purpose
    attempt: int
    trusted: bool = False
    loader: bool = False
    clean: bool = False

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What identifies its result in the night."""
        slot = self.cell.slot
        return slot.branch, slot.cell, self.commit, self.purpose.value, self.attempt


def key_of(result: Result) -> tuple[str, str, str, str, int]:
    """Return ``NightTask.key`` of a result."""
    slot = result.slot
    return slot.branch, slot.cell, result.commit, result.purpose.value, result.attempt


@dataclass(slots=True)
class NightCells:
    """Runs cells in one record.

    Args:
        env: the host.
        view: shows warnings about guests.
        night: the night.
        kernels: builds kernels.
        guests: returns the guests of a cell.
        reader: the history, for results that can be shared.
        store: stores results.
        matrix: boots cells.
        directory: the record's directory.

    Attributes:
        results: the night's results so far, also those before it was resumed.
        cells: the record's cells.
    """

    env: Environment
    view: View
    night: Night
    kernels: NightKernels
    guests: NightGuests
    reader: NightReader
    store: NightStore
    matrix: Matrix
    directory: Path
    results: dict[tuple[str, str, str, str, int], Result]
    cells: list[Cell] = field(default_factory=list)
    _worlds: dict[tuple[str, str], World] = field(default_factory=dict)

    def alone(self, task: NightTask) -> Result:
        """Run one cell, with no other guest of this night running; see ``submit``."""
        found = self.results.get(task.key)
        if found is not None:
            return found
        gate = MemoryGate(self.matrix.memory)
        prepared = self.prepare([task])
        return prepared[0] if isinstance(prepared[0], Result) else self._run(*prepared[0], gate)

    def prepare(
        self, tasks: Sequence[NightTask]
    ) -> list[Result | tuple[NightTask, KernelArtifact, Result]]:
        """Build the kernels of tasks; return those to boot, and the results of the others.

        It may be called while other guests run.
        """
        found: list[Result | tuple[NightTask, KernelArtifact, Result]] = []
        built: dict[tuple[object, ...], KernelArtifact | HarnessError] = {}
        for task in tasks:
            if (done := self.results.get(task.key)) is not None:
                found.append(done)
                continue
            cell = task.cell
            key = (
                cell.slot.branch, cell.configuration, cell.mutant, cell.subsystem, task.commit,
                task.clean,
            )  # fmt: skip
            if key not in built:
                built[key] = self._built(task)
            kernel, planned = built[key], self._planned(task)
            if isinstance(kernel, HarnessError):
                found.append(self._keep(result_of_error(planned, kernel)))
                continue
            try:
                self._world(task, kernel)
            except (BuildError, InfraError, UsageError) as error:
                found.append(self._keep(result_of_error(planned, error)))
                continue
            planned = replace(planned, artifact=content_digest(kernel), kernel=kernel.identity.key)
            found.append((task, kernel, planned))
        return found

    def submit(
        self,
        prepared: Sequence[Result | tuple[NightTask, KernelArtifact, Result]],
        pool: ThreadPoolExecutor,
        gate: MemoryGate,
        *,
        share: bool,
    ) -> list[Future[Result]]:
        """Start to boot what ``prepare`` returned; each result is stored as it ends.

        Args:
            prepared: the tasks and their kernels.
            pool: runs guests.
            gate: admits guests while their memory fits.
            share: whether a verdict on an equal kernel counts, in place of a boot.
        """
        return [
            pool.submit(self._run, *each, gate)
            for each in prepared
            if not isinstance(each, Result) and not (share and self._shared(each[2]))
        ]

    def _built(self, task: NightTask) -> KernelArtifact | HarnessError:
        cell = task.cell
        name = " ".join(filter(None, (cell.configuration, cell.mutant, cell.subsystem)))
        row = f"build {task.commit[:10]} {name}"
        progress = self.matrix.rows.row(row)
        try:
            kernel = self.kernels.kernel(cell, task.commit, progress, clean=task.clean)
        except (BuildError, InfraError, UsageError) as error:
            self.matrix.rows.failed(row, error)
            return error
        self.matrix.rows.done(row, "ready", good=True)
        return kernel

    def _world(self, task: NightTask, kernel: KernelArtifact) -> World | None:
        """Return the world of a cell's guests; None if it needs none.

        One world serves all revisions of a branch in a night.
        """
        cell = task.cell
        if not cell.world:
            return None
        key = cell.slot.branch, cell.world
        if key not in self._worlds:
            request = self.kernels.request(cell, task.commit)
            self._worlds[key] = self.matrix.provide_world(request, cell.world)
        require_fitting(kernel.identity.release, self._worlds[key].identity)
        return self._worlds[key]

    def _planned(self, task: NightTask) -> Result:
        """Return the result of a task before it runs."""
        checked = task.cell.kind == "check"
        return Result(
            task.cell.slot, task.commit, Status.NOT_RUN, task.purpose, task.attempt,
            configuration=task.cell.configuration, host=self.night.host,
            run=self.directory.name, seed=self._seed(task) if checked else None,
        )  # fmt: skip

    def _seed(self, task: NightTask) -> int:
        """Return a seed that no other check of this cell in any night has."""
        purposes = list(Purpose)
        return (self.night.number * len(purposes) + purposes.index(task.purpose)) * 1000 + (
            task.attempt + 1
        )

    def _shared(self, planned: Result) -> Result | None:
        """Return the verdict on an equal kernel as the result of this revision; store it."""
        known = self.reader.cell_results.with_kernel(planned.slot, planned.artifact)
        if known is None:
            return None
        shared = replace(
            known, id=0, commit=planned.commit, purpose=planned.purpose, attempt=planned.attempt,
            shared=known.id,
        )  # fmt: skip
        return self._keep(shared)

    def _run(
        self, task: NightTask, kernel: KernelArtifact, planned: Result, gate: MemoryGate
    ) -> Result:
        """Boot a cell, and store its result, unless the night is being ended."""
        moment = self.env.clock.now()
        try:
            plan = self._cell_plan(task, planned, self._world(task, kernel))
        except (UsageError, InfraError) as error:
            return self._keep(result_of_error(planned, error))
        done = self.matrix.boot(plan, kernel, self.directory, gate)
        result = result_of_cell(task.cell, done, planned, moment)
        if task.cell.command:
            tests = read_tests(task.cell.command, self.directory / done.name)
            result = replace(result, tests=tests if result.status.tells else ())
        if result.kind == COMMAND:
            result = replace(result, detail=output_of(self.directory, done))
        if self.matrix.booter.cancelled.is_set():  # its guest was ended
            return result
        self.cells.append(done)
        console, offset = kept_console(console_of(self.directory, done), result.offset)
        return self._keep(replace(result, offset=offset), console)

    def _keep(self, result: Result, console: bytes = b"") -> Result:
        stored = self.store.add(self.night, result, console)
        self.results[key_of(stored)] = stored
        return stored

    def _cell_plan(self, task: NightTask, planned: Result, world: World | None) -> CellPlan:
        """Return the record's plan of a task."""
        cell = task.cell
        guests, boot = self.guests.plan(cell, trusted=task.trusted, loader=task.loader)
        checker = None
        if cell.kind == "check":
            specification = self.kernels.specification(cell, task.commit)
            check = CheckPlan(
                specification, cell.operations, planned.seed or 1, slowness=boot.slowness
            )
            checker = Checker(check, self.env.clock)
        program = None
        if cell.command:
            program = Program(ProgramPlan(cell.command, timeout=cell.deadline), self.env.logs)
        branch = [branch.name for branch in self.night.branches].index(cell.slot.branch)
        words = (str(branch), task.commit[:10], cell.slot.cell, task.purpose.value, task.attempt)
        expected = tuple(map(Outcome, cell.outcomes)) or (Outcome.BOOTED,)
        return CellPlan(
            name="-".join(map(str, words)),
            side="",
            what=self.kernels.request(cell, task.commit),
            sanitizers=guests.sanitizers(parse_sanitizers(cell.sanitizers)),
            boot=boot if world is None else replace(boot, world=world),
            program=program,
            world=cell.world or None,
            expected=expected,
            why_expected="the nightly plan expects it",
            checker=checker,
            sampling=Sampling.TRIAL if task.purpose in _COUNTED else Sampling.SINGLE,
        )


#: What is judged by the number of failures, each of which counts as it is.
_COUNTED = frozenset({Purpose.REPEAT, Purpose.PROOF, Purpose.TIMING})
