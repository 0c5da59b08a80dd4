"""Boots many cells: kernels are built in sequence, guests run in parallel as memory allows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boot.cellboot import boot_cell
from harness.boot.cellplan import CellPlan, expectation_of, unbooted_cell, with_host
from harness.errors import InfraError
from harness.guest.memory import required_memory
from harness.host.ledger import Ledger, Room, usual_name
from harness.runs.view import shown_row
from harness.world.fit import require_fitting

if TYPE_CHECKING:
    from harness.boot.booter import Booter
    from harness.guest.topology import Topology
    from harness.host.progress import Progress
    from harness.kernel.artifact import KernelArtifact
    from harness.provide.kernels import Kernels
    from harness.results.record import Cell
    from harness.runs.view import Rows
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest
    from harness.world.image import World


@dataclass(slots=True)
class MemoryGate:
    """Admits guests while their memory fits together; a single guest is always admitted."""

    free: int
    running: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def room_for(self, topology: Topology) -> Iterator[None]:
        """Wait until a guest's memory fits, and reserve it."""
        need = required_memory(topology)
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
        kernels: provides the kernels.
        booter: boots them; its ``cancelled`` ends all guests.
        rows: shows progress.
        jobs: most guests at once.
        memory: bytes that all guests may take together.
        world: returns the world of a kernel's guests, by its kind or name and its suites.
    """

    kernels: Kernels
    booter: Booter
    rows: Rows
    jobs: int
    memory: int
    world: Callable[[KernelRequest, str, Sequence[str], Progress], World]
    _provided: list[KernelArtifact] = field(default_factory=list)

    def run(self, plans: Sequence[CellPlan], directory: Path) -> tuple[Cell, ...]:
        """Boot every cell; host failures are recorded in cells, usage errors are raised.

        Raises:
            UsageError: the user's arguments are wrong.
            BuildError: a revision does not build.
        """
        gate = MemoryGate(self.memory)
        with self.pool() as pool:
            futures = [
                pool.submit(self.boot, plan, kernel, directory, gate)
                for plan, kernel in self.prepared(plans)
            ]
            cells = tuple(_results(futures))
        from harness.results.record import with_new_reports

        if any(cell.unrepeated for cell in cells):
            from harness.boot.confirm import settled

            cells = settled(cells)
        return with_new_reports(cells)

    def prepared(
        self, plans: Sequence[CellPlan]
    ) -> Iterator[tuple[CellPlan, KernelArtifact | InfraError]]:
        """Yield each plan with its kernel and world, built if needed, or the host's failure.

        Raises as ``run``.
        """
        return self._with_worlds(self._with_kernels(plans))

    @contextmanager
    def pool(self) -> Iterator[ThreadPoolExecutor]:
        """Yield a pool of threads for guests; an exception ends all guests."""
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
        """Yield each plan with its kernel; the next kernel is built while guests boot.

        A kernel is provided once for each check module that it needs: if one module does not build,
        the other checks still run.
        """
        built: dict[tuple[str, str], KernelArtifact | InfraError] = {}
        for plan in plans:
            name, module = plan.kernel_name, plan.client.module if plan.client else ""
            if (name, module) not in built:
                known = any(each == name for each, _ in built)
                row = f"build {name} for {module}" if known and module else f"build {name}"
                modules = (module,) if module else ()
                try:
                    kernel = self.provide(plan.what, plan.sanitizers, row, modules=modules)
                except InfraError as error:
                    built[name, module] = error
                else:
                    built[name, module] = kernel
            yield plan, built[name, module]

    def _with_worlds(
        self, provided: Iterable[tuple[CellPlan, KernelArtifact | InfraError]]
    ) -> Iterator[tuple[CellPlan, KernelArtifact | InfraError]]:
        """Yield each plan with its world, which is built if there is none; and its kernel.

        Raises:
            UsageError: a kernel does not fit the world.
        """
        known: dict[tuple[str, str | None, str, tuple[str, ...]], World] = {}
        for plan, kernel in provided:
            if plan.world is None or isinstance(kernel, InfraError):
                yield plan, kernel
                continue
            key = plan.what.source, plan.what.change.revision, plan.world, plan.world_suites
            if key not in known:
                known[key] = self.provide_world(plan.what, plan.world, plan.world_suites)
            require_fitting(kernel.identity.release, known[key].identity)
            yield replace(plan, boot=replace(plan.boot, world=known[key])), kernel

    def provide_world(self, what: KernelRequest, name: str, suites: Sequence[str] = ()) -> World:
        """Return a world, showing progress; raises as ``harness.runs.worlds.world_for``."""
        row = f"world {name}"
        with shown_row(self.rows, row) as progress:
            world = self.world(what, name, suites, progress)
        self.rows.done(row, "ready", good=True)
        return world

    def provide(
        self, what: KernelRequest, sanitizers: Sanitizers, row: str, *, modules: Sequence[str] = ()
    ) -> KernelArtifact:
        """Return the kernel, showing progress under that name; raises as ``Kernels.provide``."""
        with shown_row(self.rows, row) as progress:
            kernel = self.kernels.provide(what, sanitizers, progress, modules=modules)
        self.rows.done(row, "ready", good=True)
        self._provided.append(kernel)
        return kernel

    def boot(
        self,
        plan: CellPlan,
        kernel: KernelArtifact | InfraError,
        directory: Path,
        gate: MemoryGate,
    ) -> Cell:
        """Boot one cell as soon as its guest's memory fits."""
        if isinstance(kernel, InfraError):
            return unbooted_cell(plan, self.booter, str(kernel))
        expectation = expectation_of(plan, kernel)
        with gate.room_for(plan.boot.topology), self._noted(plan.boot.topology):
            progress = self.rows.row(plan.name)
            cell = boot_cell(
                plan,
                kernel,
                self.booter,
                directory,
                progress,
                expectation,
                self._others(plan, kernel),
            )
        cell = with_host(cell, plan.host)
        from harness.results.text import outcome_in_words
        from harness.results.unfinished import keep_cell

        if not self.booter.cancelled.is_set():  # else its guest was ended with the others
            keep_cell(directory, cell)
        self.rows.done(plan.name, outcome_in_words(cell), good=cell.as_expected)
        return cell

    def _noted(self, topology: Topology) -> AbstractContextManager[None]:
        """Enter a guest into the ledger of this host."""
        ledger = Ledger(self.booter.workspace, usual_name())
        return ledger.noted(Room(1.0, required_memory(topology)))

    def _others(self, plan: CellPlan, kernel: KernelArtifact) -> list[KernelArtifact]:
        """Return other kernels of this run, as controls for this one."""
        return [
            other
            for other in self._provided
            if other.identity.key != kernel.identity.key
            and other.identity.sanitizer == plan.sanitizers
            and other.identity.options == plan.what.options.texts
        ]


def _results(futures: Sequence[Future[Cell]]) -> Iterator[Cell]:
    for future in futures:
        yield future.result()
