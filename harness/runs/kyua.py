"""Runs FreeBSD's own suites in guests; a guest that a test ends is replaced by a fresh one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boot.plan import Sampling
from harness.errors import InfraError
from harness.image.media import BootMethod
from harness.kyua.client import SuiteClient
from harness.kyua.queue import SuiteQueue
from harness.outcome import Outcome
from harness.results.unfinished import Planned
from harness.runs.guests import GuestRequest, Guests
from harness.runs.matrix import Matrix, MemoryGate
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen, View
from harness.runs.worlds import userland_cell, with_world
from harness.world.config import WorldKind

if TYPE_CHECKING:
    from harness.boot.cellplan import CellPlan
    from harness.kernel.artifact import KernelArtifact
    from harness.results.record import Cell
    from harness.runs.environment import Environment
    from harness.runs.recording import Work
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest


@dataclass(frozen=True, slots=True)
class KyuaRequest:
    """Suites to run.

    Args:
        what: the kernel; it gets what a world needs.
        suites: the suites, as directories below /usr/tests, such as ``sys/vm``.
        guest: the guests, all alike.
        sanitizers: the kernel's sanitizers; None: those of the vm file.
        jobs: most guests at once.
    """

    what: KernelRequest
    suites: tuple[str, ...]
    guest: GuestRequest = field(default_factory=GuestRequest)
    sanitizers: Sanitizers | None = None
    jobs: int = 1


def kyua(request: KyuaRequest, env: Environment, view: View | None = None) -> RunResult:
    """Build kernel and world, and run the suites.

    Raises:
        UsageError: the request is invalid.
        BuildError: the revision does not build.
        InfraError: the host failed before there was a cell.
    """
    view = view or Unseen()
    recorder = Recorder(env, view)
    asked = with_world(request.guest, WorldKind.TESTS)
    guests = Guests.of(env, view, asked, request.what, BootMethod.DIRECT)
    plan = replace(
        userland_cell(guests, request.what, request.sanitizers, "kyua"),
        why_expected="harness kyua expects every guest to come up and stay up",
        sampling=Sampling.TRIAL,
    )
    queue = SuiteQueue(request.suites)
    jobs = min(request.jobs, guests.most_at_once)
    result = recorder.carry_out(
        "kyua", guests, jobs, _work(plan, queue, jobs), Planned(request.what.source, (plan.name,))
    )
    run = replace(result.run, tests=tuple(queue.rest()), wrong_suites=queue.wrong)
    recorder.store.save(run)
    return RunResult(run, result.directory)


def _work(plan: CellPlan, queue: SuiteQueue, jobs: int) -> Work:
    def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[()]]:
        (prepared, kernel), *_ = matrix.prepared([plan])
        if isinstance(kernel, InfraError):
            raise kernel
        gate = MemoryGate(matrix.memory)
        guests = _Guests(matrix, directory, prepared, kernel, queue, gate)
        with matrix.pool() as pool:
            lanes = [pool.submit(lambda: list(guests.lane())) for _ in range(jobs)]
            return tuple(cell for lane in lanes for cell in lane.result()), ()

    return work


@dataclass(slots=True)
class _Guests:
    """The guests of a run, one after the other in each of some threads."""

    matrix: Matrix
    directory: Path
    plan: CellPlan
    kernel: KernelArtifact
    queue: SuiteQueue
    gate: MemoryGate
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def lane(self) -> Iterator[Cell]:
        """Boot guests until there is no work, and yield their cells."""
        while self.queue.has_work and not self.matrix.booter.cancelled.is_set():
            name = f"{self.plan.name}-{next(self._numbers)}"
            client = SuiteClient(self.queue, name)
            plan = replace(self.plan, name=name, suites=client)
            cell = self.matrix.boot(plan, self.kernel, self.directory, self.gate)
            client.close(_why(cell, client))
            yield cell


def _why(cell: Cell, client: SuiteClient) -> str:
    """Return how a guest failed, in words."""
    verdict = cell.verdict
    if verdict is None:
        return cell.error or "the host failed"
    if verdict.outcome is Outcome.BOOTED:
        return client.lost or "the guest ended"
    return f"{verdict.outcome}: {verdict.title}"
