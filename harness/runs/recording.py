"""Runs boots and checks, and keeps a record of them from the start."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.errors import HarnessError, InfraError, given_with
from harness.host.memory import available_memory
from harness.host.processid import ProcessId
from harness.host.workspace import check_directory
from harness.results.store import Store
from harness.results.unfinished import Planned, beginning, ended_early
from harness.runs.batchdebugger import BatchDebugger
from harness.runs.matrix import Matrix

if TYPE_CHECKING:
    from harness.boot.cellplan import CellPlan
    from harness.host.progress import Progress
    from harness.mutation.judgement import Judgement
    from harness.results.record import Cell, Run
    from harness.runs.environment import Environment
    from harness.runs.guests import Guests
    from harness.runs.view import View
    from harness.source.request import KernelRequest
    from harness.world.image import World

    #: The work of a run, which writes into the directory: returns all cells and judgements.
    Work = Callable[[Matrix, Path], tuple[tuple[Cell, ...], tuple[Judgement, ...]]]


@dataclass(frozen=True, slots=True)
class RunResult:
    """Result of a run.

    Args:
        run: its cells and judgements, as in its record.
        directory: its directory.
    """

    run: Run
    directory: Path

    @property
    def exit_code(self) -> int:
        """See ``Run``."""
        return self.run.exit_code


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes the records of runs.

    Args:
        env: the host.
        view: shows runs.
    """

    env: Environment
    view: View

    def __post_init__(self) -> None:
        """Refuse an unusable ``--out`` before anything runs."""
        if self.env.out is not None:
            with given_with("--out"):
                check_directory(self.env.out)

    @property
    def store(self) -> Store:
        """The store of records."""
        return Store(self.env.runs)

    def boot(
        self, kind: str, guests: Guests, plans: Sequence[CellPlan], host_retries: int = 0
    ) -> RunResult:
        """Boot all cells, or those to repeat; see ``carry_out``."""
        retry = self.env.retry
        if retry is not None:
            plans = [plan for plan in plans if plan.name in retry.cells]
        planned = Planned(plans[0].what.source if plans else "", tuple(plan.name for plan in plans))

        def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
            return matrix.run(plans, directory), ()

        return self.carry_out(kind, guests, len(plans), work, planned, host_retries)

    def carry_out(
        self,
        kind: str,
        guests: Guests,
        count: int,
        work: Work,
        planned: Planned,
        host_retries: int = 0,
    ) -> RunResult:
        """Do the work, and keep the record.

        Args:
            kind: the command.
            guests: the guests.
            count: number of guests.
            work: the work.
            planned: the record's plan before there are results.
            host_retries: retries after host failures, each with a record of its own.
        """
        result = self._recorded(kind, guests, count, work, planned)
        for left in reversed(range(host_retries)):
            if not any(cell.host_failed for cell in result.run.cells):
                break
            self.view.warn(
                f"the host failed, so there is no verdict; trying again ({left} times left)"
            )
            result = self._recorded(kind, guests, count, work, planned)
        return result

    def _recorded(
        self, kind: str, guests: Guests, count: int, work: Work, planned: Planned
    ) -> RunResult:
        """Do the work once, in a directory of its own, with a record from the start."""
        env, store = self.env, self.store
        moment = env.clock.now()
        directory = store.create(kind, moment)
        begun = beginning(
            directory.name, env.command, moment.isoformat(), planned, ProcessId.of(os.getpid())
        )
        try:
            store.save_document(begun)
            with self.view.rows() as rows:
                jobs = min(count, guests.most_at_once)
                booter = replace(
                    guests.booter(),
                    terminal=self.view.terminal(rows),
                    debugger=self.view.debugger(rows) or BatchDebugger(env),
                )
                matrix = Matrix(
                    env.kernels(self.view.note), booter, rows, jobs, available_memory(),
                    partial(_world, env),
                )  # fmt: skip
                cells, judgements = work(matrix, directory)
        except BaseException as error:
            _leave_early(store, begun, error)
            raise
        from harness.results.record import Run

        run = Run(
            directory.name, env.command, moment.isoformat(), __version__, cells, judgements,
            planned.source, env.retry.run if env.retry else "", planned.mutants,
        )  # fmt: skip
        store.save(run)
        return RunResult(run, directory)


def _world(
    env: Environment, what: KernelRequest, name: str, suites: Sequence[str], progress: Progress
) -> World:
    """Return the world of a kernel's guests; its modules are imported only for such guests."""
    from harness.runs.worlds import world_for

    return world_for(what, name, env, progress, suites)


def _leave_early(store: Store, begun: Mapping[str, Any], error: BaseException) -> None:
    """Write the record of a run that an error or a signal ends.

    A run without a cell leaves no record. A failure to write is not reported over the error that
    ended the run.
    """
    directory = store.directory / begun["name"]
    if isinstance(error, Exception) and not any(directory.glob("*/console.log")):
        shutil.rmtree(directory, ignore_errors=True)
        return
    if isinstance(error, HarnessError):
        cause = error.message
    else:
        cause = type(error).__name__ if isinstance(error, Exception) else "interrupted"
    with contextlib.suppress(InfraError):
        store.save_document(ended_early(begun, cause))
