"""Runs cells of nights on this host: their kernels, worlds and guests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.boot.cellplan import CellPlan
from harness.boot.plan import Sampling
from harness.check.checker import Checker, CheckPlan
from harness.errors import BuildError, HarnessError, InfraError, UsageError
from harness.execution.program import Program, ProgramPlan
from harness.nightly.failures import COMMAND
from harness.nightly.result import Purpose, Result, Status
from harness.outcome import Outcome
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
    from pathlib import Path

    from harness.kernel.artifact import KernelArtifact
    from harness.nightly.cells import NightCell
    from harness.nightly.night import Night
    from harness.results.record import Cell
    from harness.runs.environment import Environment
    from harness.runs.matrix import Matrix, MemoryGate
    from harness.runs.nights.guests import NightGuests
    from harness.runs.nights.kernels import NightKernels
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
        host: the host of a group that it is to run on; empty: any.
    """

    cell: NightCell
    commit: str
    purpose: Purpose
    attempt: int
    trusted: bool = False
    loader: bool = False
    clean: bool = False
    host: str = ""

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What identifies its result in the night."""
        slot = self.cell.slot
        return slot.branch, slot.cell, self.commit, self.purpose.value, self.attempt

    @property
    def kernel_key(self) -> tuple[str, str, str, str, str, str, bool]:
        """What identifies its kernel in the night, with its world."""
        cell = self.cell
        return (
            cell.slot.branch, cell.configuration, cell.mutant, cell.subsystem, cell.world,
            self.commit, self.clean,
        )  # fmt: skip

    @property
    def build_name(self) -> str:
        """The name of its build's row."""
        cell = self.cell
        name = " ".join(filter(None, (cell.configuration, cell.mutant, cell.subsystem)))
        return f"build {self.commit[:10]} {name}"


@dataclass(slots=True)
class CellRunner:
    """Runs cells in one record.

    Args:
        env: the host.
        night: the night.
        kernels: builds kernels.
        guests: returns the guests of a cell.
        matrix: boots cells.
        directory: the record's directory.
        worlds: the worlds that are known, by branch and by name.

    Attributes:
        cells: the record's cells.
    """

    env: Environment
    night: Night
    kernels: NightKernels
    guests: NightGuests
    matrix: Matrix
    directory: Path
    worlds: dict[tuple[str, str], World] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)

    def kernel(self, task: NightTask) -> KernelArtifact | HarnessError:
        """Return the kernel of a task, built if needed, or why there is none."""
        row = task.build_name
        progress = self.matrix.rows.row(row)
        try:
            kernel = self.kernels.kernel(task.cell, task.commit, progress, clean=task.clean)
        except (BuildError, InfraError, UsageError) as error:
            self.matrix.rows.failed(row, error)
            return error
        self.matrix.rows.done(row, "ready", good=True)
        return kernel

    def world(self, task: NightTask, kernel: KernelArtifact) -> World | None:
        """Return the world of a cell's guests; None if it needs none.

        One world serves all revisions of a branch in a night.

        Raises:
            UsageError: the kernel does not fit it.
            BuildError: it does not build.
            InfraError: the host fails.
        """
        cell = task.cell
        if not cell.world:
            return None
        key = cell.slot.branch, cell.world
        if key not in self.worlds:
            request = self.kernels.request(cell, task.commit)
            self.worlds[key] = self.matrix.provide_world(request, cell.world)
        require_fitting(kernel.identity.release, self.worlds[key].identity)
        return self.worlds[key]

    def planned(self, task: NightTask) -> Result:
        """Return the result of a task before it runs."""
        checked = task.cell.kind == "check"
        return Result(
            task.cell.slot, task.commit, Status.NOT_RUN, task.purpose, task.attempt,
            configuration=task.cell.configuration, host=self.night.host,
            run=self.directory.name, seed=self._seed(task) if checked else None,
        )  # fmt: skip

    def run(
        self, task: NightTask, kernel: KernelArtifact, planned: Result, gate: MemoryGate
    ) -> tuple[Result, bytes] | None:
        """Boot a cell; return its result and console; None: its guest was ended.

        Args:
            task: the task.
            kernel: its kernel.
            planned: its result before it runs.
            gate: admits guests while their memory fits.
        """
        moment = self.env.clock.now()
        try:
            plan = self._plan(task, planned, self.world(task, kernel))
        except (UsageError, InfraError) as error:
            return result_of_error(planned, error), b""
        done = self.matrix.boot(plan, kernel, self.directory, gate)
        result = result_of_cell(task.cell, done, planned, moment)
        if task.cell.command:
            tests = read_tests(task.cell.command, self.directory / done.name)
            result = replace(result, tests=tests if result.status.tells else ())
        if result.kind == COMMAND:
            result = replace(result, detail=output_of(self.directory, done))
        if self.matrix.booter.cancelled.is_set():
            return None
        self.cells.append(done)
        console, offset = kept_console(console_of(self.directory, done), result.offset)
        return replace(result, offset=offset), console

    def _seed(self, task: NightTask) -> int:
        """Return a seed that no other check of this cell in any night has."""
        purposes = list(Purpose)
        return (self.night.number * len(purposes) + purposes.index(task.purpose)) * 1000 + (
            task.attempt + 1
        )

    def _plan(self, task: NightTask, planned: Result, world: World | None) -> CellPlan:
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
