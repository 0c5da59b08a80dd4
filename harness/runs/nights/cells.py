"""Runs cells of a night, and stores each result as it ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import BuildError, HarnessError, InfraError, UsageError
from harness.kernel.elf import content_digest
from harness.nightly.result import Result
from harness.runs.matrix import MemoryGate
from harness.runs.nights.results import result_of_error

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future, ThreadPoolExecutor

    from harness.history.nights import NightReader
    from harness.history.store import NightStore
    from harness.kernel.artifact import KernelArtifact
    from harness.nightly.night import Night
    from harness.runs.environment import Environment
    from harness.runs.matrix import Matrix
    from harness.runs.nights.cellrunner import CellRunner, NightTask
    from harness.runs.nights.kernels import NightKernels
    from harness.runs.nights.orders import HeldOrder
    from harness.runs.view import View


@dataclass(frozen=True, slots=True)
class BuiltKernel:
    """The kernel of a task.

    Args:
        artifact: digest of its code and data.
        key: its key in the cache.
        here: the kernel on this host; None: another host has it.
        held: what names its files on other hosts; None: it is on this host.
    """

    artifact: str
    key: str
    here: KernelArtifact | None = None
    held: HeldOrder | None = None


Prepared = tuple["NightTask", BuiltKernel, Result]
"""A task with its kernel, and its result before it runs."""


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
        runner: runs cells on this host.
        reader: the history, for results that can be shared.
        store: stores results.

    Attributes:
        results: the night's results so far, also those before it was resumed.
    """

    env: Environment
    view: View
    night: Night
    runner: CellRunner
    reader: NightReader
    store: NightStore
    results: dict[tuple[str, str, str, str, int], Result]

    @property
    def kernels(self) -> NightKernels:
        """Builds kernels."""
        return self.runner.kernels

    @property
    def matrix(self) -> Matrix:
        """Boots cells."""
        return self.runner.matrix

    @property
    def batch(self) -> int:
        """How many cells of later revisions are run together at least."""
        return 1

    @property
    def lanes(self) -> int:
        """How many cells run at once."""
        return self.matrix.jobs

    @property
    def hosts(self) -> frozenset[str]:
        """The names of the hosts that a task can be given to; none if there is one host."""
        return frozenset()

    def notes(self) -> Sequence[str]:
        """Return sentences about the hosts that ran cells."""
        return ()

    def alone(self, task: NightTask) -> Result:
        """Run one cell, with no other guest of this night running; see ``submit``."""
        found = self.results.get(task.key)
        if found is not None:
            return found
        gate = MemoryGate(self.matrix.memory)
        prepared = self.prepare([task])
        return prepared[0] if isinstance(prepared[0], Result) else self._run(*prepared[0], gate)

    def prepare(self, tasks: Sequence[NightTask]) -> list[Result | Prepared]:
        """Build the kernels of tasks; return those to boot, and the results of the others.

        It may be called while other guests run.
        """
        found: list[Result | Prepared] = []
        built: dict[tuple[object, ...], BuiltKernel | HarnessError] = {}
        for task in tasks:
            if (done := self.results.get(task.key)) is not None:
                found.append(done)
                continue
            if task.kernel_key not in built:
                built[task.kernel_key] = self._built(task)
            kernel, planned = built[task.kernel_key], self.runner.planned(task)
            if isinstance(kernel, HarnessError):
                found.append(self._keep(result_of_error(planned, kernel)))
                continue
            if (error := self._refused(task, kernel)) is not None:
                found.append(self._keep(result_of_error(planned, error)))
                continue
            planned = replace(planned, artifact=kernel.artifact, kernel=kernel.key)
            found.append((task, kernel, planned))
        return found

    def submit(
        self,
        prepared: Sequence[Result | Prepared],
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

    def _built(self, task: NightTask) -> BuiltKernel | HarnessError:
        """Return the kernel of a task, built if needed, with its world; or why there is none."""
        kernel = self.runner.kernel(task)
        if isinstance(kernel, HarnessError):
            return kernel
        return BuiltKernel(content_digest(kernel), kernel.identity.key, kernel)

    def _refused(self, task: NightTask, kernel: BuiltKernel) -> HarnessError | None:
        """Return why a task cannot have its world."""
        if kernel.here is not None:
            try:
                self.runner.world(task, kernel.here)
            except (BuildError, InfraError, UsageError) as error:
                return error
        return None

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
        self, task: NightTask, kernel: BuiltKernel, planned: Result, gate: MemoryGate
    ) -> Result:
        """Boot a cell, and store its result, unless the night is being ended."""
        here = kernel.here
        done = None if here is None else self.runner.run(task, here, planned, gate)
        return planned if done is None else self._keep(*done)

    def _keep(self, result: Result, console: bytes = b"") -> Result:
        stored = self.store.add(self.night, result, console)
        self.results[key_of(stored)] = stored
        return stored
