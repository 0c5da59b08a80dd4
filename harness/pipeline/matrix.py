"""Many boots: kernels built one after the other, guests run side by side as memory allows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.errors import HarnessError, InfraError
from harness.guest.memory import OVERHEAD_BYTES
from harness.guest.spec import MIB
from harness.host.workspace import host_error
from harness.outcome import Outcome
from harness.results.record import Cell

if TYPE_CHECKING:
    from harness.check.checker import Checker
    from harness.guest.topology import Topology
    from harness.host.progress import Progress
    from harness.kernel.artifact import KernelArtifact
    from harness.kernel.spec import Sanitizer
    from harness.pipeline.boot import Booter
    from harness.pipeline.kernels import Kernels
    from harness.pipeline.plan import BootPlan
    from harness.pipeline.what import What
    from harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class CellPlan:
    """One boot to be.

    Args:
        name: unique in the run.
        side: ``before``, ``after``, or empty.
        what: the kernel.
        sanitizer: of the kernel.
        boot: how it is booted.
        expected: what the user expects; None leaves it to ``harness.expectation``.
        checker: holds the guest to the model; None for a boot alone.
    """

    name: str
    side: str
    what: What
    sanitizer: Sanitizer
    boot: BootPlan
    expected: tuple[Outcome, ...] | None = None
    checker: Checker | None = None

    @property
    def kernel_name(self) -> str:
        """Equal for cells that boot the same kernel."""
        return f"{self.side or 'kernel'} {self.sanitizer}"


class Rows(Protocol):
    """Gives a progress of its own to each kernel and each cell."""

    def row(self, name: str) -> Progress:
        """The progress called ``name``."""
        ...

    def done(self, name: str, outcome: str, *, good: bool) -> None:
        """The row has ended, with what it came to in words."""
        ...

    def failed(self, name: str) -> None:
        """The row has ended with an error, which is told elsewhere."""
        ...


@dataclass(slots=True)
class MemoryGate:
    """Lets guests in while their memory fits together; one alone always may try."""

    free: int
    running: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def room_for(self, topology: Topology) -> Iterator[None]:
        """Wait for the memory of a guest, and hold it."""
        need = topology.memory_mib * MIB + OVERHEAD_BYTES
        with self.changed:
            self.changed.wait_for(lambda: self.running == 0 or self.free >= need)
            self.free -= need
            self.running += 1
        try:
            yield
        finally:
            with self.changed:
                self.free += need
                self.running -= 1
                self.changed.notify_all()


@dataclass(frozen=True, slots=True)
class Matrix:
    """Runs cells.

    Args:
        kernels: provides them.
        booter: boots them; its ``cancelled`` ends all guests.
        rows: shows what goes on.
        jobs: how many guests at once.
        memory: bytes that they may take together.
    """

    kernels: Kernels
    booter: Booter
    rows: Rows
    jobs: int
    memory: int

    def run(self, plans: Sequence[CellPlan], folder: Path) -> tuple[Cell, ...]:
        """Boot every cell; the host's failures become cells, the user's mistakes errors.

        Raises:
            UsageError: what the user named is at fault.
            BuildError: a revision does not build.
        """
        gate = MemoryGate(self.memory)
        with self.pool() as pool:
            futures = [
                pool.submit(self.boot, plan, kernel, folder, gate)
                for plan, kernel in self._with_kernels(plans)
            ]
            return tuple(_results(futures))

    @contextmanager
    def pool(self) -> Iterator[ThreadPoolExecutor]:
        """Threads that wait for guests; whatever ends this early ends all guests."""
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                yield pool
            except BaseException:
                self.booter.cancelled.set()
                self.booter.runner.close()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _with_kernels(
        self, plans: Sequence[CellPlan]
    ) -> Iterator[tuple[CellPlan, KernelArtifact | InfraError]]:
        """Each plan with its kernel; the kernel of the next is built while guests boot."""
        built: dict[str, KernelArtifact | InfraError] = {}
        for plan in plans:
            name = plan.kernel_name
            if name not in built:
                try:
                    built[name] = self.provide(
                        plan.what, plan.sanitizer, f"build {name}", module=plan.checker is not None
                    )
                except InfraError as error:
                    built[name] = error
            yield plan, built[name]

    def provide(
        self, what: What, sanitizer: Sanitizer, row: str, *, module: bool = False
    ) -> KernelArtifact:
        """The kernel, with a progress of that name; raises as ``Kernels.provide``."""
        progress = self.rows.row(row)
        try:
            kernel = self.kernels.provide(what, sanitizer, progress, module=module)
        except BaseException:
            self.rows.failed(row)
            raise
        self.rows.done(row, "ready", good=True)
        return kernel

    def boot(
        self,
        plan: CellPlan,
        kernel: KernelArtifact | InfraError,
        folder: Path,
        gate: MemoryGate,
    ) -> Cell:
        """Boot one cell as soon as the gate lets its guest in."""
        cell = planned_cell(plan, self.booter)
        if isinstance(kernel, InfraError):
            return replace(cell, error=str(kernel))
        expected, why = _expectation(plan, kernel)
        cell = replace(
            cell,
            guest=kernel.identity.guest,
            kernel=kernel.identity,
            sanitizer=kernel.identity.sanitizer.value,
            expected=expected,
            why_expected=why,
        )
        with gate.room_for(plan.boot.topology):
            progress = self.rows.row(plan.name)
            cell = booted_cell(self.booter, cell, plan, kernel, folder, progress)
        from harness.results.text import outcome_in_words

        self.rows.done(plan.name, outcome_in_words(cell), good=cell.as_expected)
        return cell


def planned_cell(plan: CellPlan, booter: Booter) -> Cell:
    """The cell of a boot that is still to come."""
    return Cell(
        name=plan.name,
        side=plan.side,
        guest=plan.what.source,
        nodes=len(plan.boot.topology.nodes),
        sanitizer=plan.sanitizer.value,
        backend=booter.backend.name,
        accelerator=plan.boot.accelerator.value,
        topology=_topology_document(plan.boot.topology),
    )


def booted_cell(
    booter: Booter,
    cell: Cell,
    plan: CellPlan,
    kernel: KernelArtifact,
    folder: Path,
    progress: Progress,
) -> Cell:
    """Boot it; the host's failure is the cell's error."""
    boot = replace(plan.boot, companion=plan.checker)
    try:
        booted = booter.boot(plan.name, kernel, boot, folder / plan.name, progress)
    except HarnessError as error:
        if error.exit_code != InfraError.exit_code:
            raise
        return replace(cell, error=str(error))
    except OSError as error:
        return replace(cell, error=str(host_error(error)))
    return replace(
        cell,
        verdict=_with_check(booted.verdict, plan.checker),
        stages=booted.stages,
        report=booted.report,
        disagreements=booted.disagreements,
        seconds=round(booted.verdict.seconds, 3),
        check=plan.checker.result if plan.checker else None,
    )


def _with_check(verdict: Verdict, checker: Checker | None) -> Verdict:
    """A guest that came up and then stopped answering hangs, whatever its console says."""
    if checker is None or verdict.outcome is not Outcome.BOOTED:
        return verdict
    from harness.check.result import Conclusion

    if checker.result.conclusion is not Conclusion.SILENT:
        return verdict
    return replace(
        verdict, outcome=Outcome.HANG, title="silent during a check", message=checker.result.why
    )


def _results(futures: Sequence[Future[Cell]]) -> Iterator[Cell]:
    for future in futures:
        yield future.result()


def _expectation(plan: CellPlan, kernel: KernelArtifact) -> tuple[tuple[Outcome, ...], str]:
    """The outcomes that are expected, and why."""
    if plan.expected is not None:
        return plan.expected, "you said so"
    from harness.expectation import expected_of

    expectation = expected_of(kernel.identity, plan.boot.topology)
    return expectation.outcomes, expectation.why


def _topology_document(topology: Topology) -> Mapping[str, object]:
    return asdict(topology)


def repeated(plan: CellPlan, times: int) -> list[CellPlan]:
    """The same cell several times, under numbered names."""
    if times == 1:
        return [plan]
    return [replace(plan, name=f"{plan.name}-{number}") for number in range(1, times + 1)]
