"""Oracles that catch mutants: the boot, the counters in init's report, the check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from harness.boot.cellplan import CellPlan, kind_of
from harness.check.checker import Checker, CheckPlan
from harness.check.result import FAULTS
from harness.errors import InfraError
from harness.mutation.oracle import Caught, Survived
from harness.outcome import Outcome
from harness.results.text import outcome_in_words
from harness.subsystems.table import SUBSYSTEMS, expected_of, oddities

if TYPE_CHECKING:
    from harness.boot.plan import BootPlan
    from harness.console.report import GuestReport
    from harness.host.clock import Clock
    from harness.kernel.artifact import KernelArtifact, KernelIdentity
    from harness.results.record import Cell
    from harness.runs.matrix import Matrix, MemoryGate
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest

UNMUTATED: Final = "unmutated"
"""Name of the kernel without a mutant."""


class Boots(Protocol):
    """Boots kernels; boots are shared by oracles."""

    @property
    def plans(self) -> Mapping[int, BootPlan]:
        """The boot plan of each topology, by number of nodes."""
        ...

    def boot(self, kernel: KernelArtifact, nodes: int, which: int | str = 1) -> Cell:
        """Return the cell of one of a kernel's boots on that many nodes.

        Raises:
            InfraError: the host failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class HostBoots:
    """Boots on this host; see ``Boots``.

    Args:
        matrix: boots them.
        what: the kernel without a mutant.
        sanitizers: all kernels' sanitizers.
        plans: the boot plan of each topology, by number of nodes.
        directory: the run's directory.
        gate: admits guests.
        cells: all cells that were booted, by name.
    """

    matrix: Matrix
    what: KernelRequest
    sanitizers: Sanitizers
    plans: Mapping[int, BootPlan]
    directory: Path
    gate: MemoryGate
    cells: dict[str, Cell] = field(default_factory=dict)

    def boot(
        self,
        kernel: KernelArtifact,
        nodes: int,
        which: int | str = 1,
        checker: Checker | None = None,
    ) -> Cell:
        """See ``Boots.boot``; a ``checker`` checks the guest against the model."""
        side = kernel.identity.mutant or UNMUTATED
        name = f"{side}-{kind_of(self.sanitizers, self.what)}-numa{nodes}"
        name += f"-{which}" if which != 1 else ""
        if name not in self.cells:
            boot = self.plans[nodes]
            plan = CellPlan(name, side, self.what, self.sanitizers, boot, checker=checker)
            self.cells[name] = self.matrix.boot(plan, kernel, self.directory, self.gate)
        cell = self.cells[name]
        if cell.host_failed:
            raise InfraError(f"{name}: {outcome_in_words(cell)}")
        return cell


@dataclass(frozen=True, slots=True)
class BootOracle:
    """Catches mutants that do not boot as predicted for the kernel without a mutant.

    Args:
        boots: boots kernels.
        unmutated: the kernel without a mutant.
    """

    boots: Boots
    unmutated: KernelIdentity
    name: str = "boot"

    def judge(self, kernel: KernelArtifact) -> Caught | Survived:
        """See ``Oracle``; stops at the first topology that catches it."""
        seconds = 0.0
        for nodes, plan in self.boots.plans.items():
            cell = self.boots.boot(kernel, nodes)
            seconds += cell.seconds
            expected = expected_of(self.unmutated, plan.topology).outcomes or (Outcome.BOOTED,)
            if cell.verdict is None or cell.verdict.outcome not in expected:
                return Caught(seconds, f"{_on(nodes)}: {outcome_in_words(cell)}")
        return Survived(seconds)


@dataclass(frozen=True, slots=True)
class CountersOracle:
    """Catches mutants whose counters differ from the unmutated kernel's and the model's.

    A difference must show in a second boot as well. The unmutated kernel is booted again, too, and
    its new values are as valid as the earlier ones.

    Args:
        boots: boots kernels; shares boots with the boot oracle.
        unmutated: the kernel without a mutant.
        told: the unmutated kernel's counters, boot by boot, by number of nodes; more are added.
    """

    boots: Boots
    unmutated: KernelArtifact
    told: Mapping[int, list[GuestReport]]
    name: str = "counters"

    def judge(self, kernel: KernelArtifact) -> Caught | Survived:
        """See ``Oracle``."""
        seconds = 0.0
        for nodes, reports in self.told.items():
            first = self.boots.boot(kernel, nodes)
            if not self._differences(nodes, first):
                continue
            second = self.boots.boot(kernel, nodes, "again")
            control = self.boots.boot(self.unmutated, nodes, f"beside-{kernel.identity.mutant}")
            seconds += second.seconds + control.seconds
            if second.report is None:
                return Caught(seconds, f"{_on(nodes)}, a second time: {outcome_in_words(second)}")
            if control.report is not None:
                reports.append(control.report)
            found = self._differences(nodes, first) & self._differences(nodes, second)
            if found:
                return Caught(seconds, f"{_on(nodes)}: {'; '.join(sorted(found))}")
        return Survived(seconds)

    def _differences(self, nodes: int, cell: Cell) -> frozenset[str]:
        report = cell.report
        if report is None:
            return frozenset()
        topology = self.boots.plans[nodes].topology
        usual = tuple(self.told[nodes])
        return oddities(report, usual, self.unmutated.identity, topology)


@dataclass(frozen=True, slots=True)
class CheckOracle:
    """Catches mutants that differ from the model, operation by operation.

    Args:
        boots: boots kernels.
        plans: a check plan for each subsystem that has mutants.
        clock: measures time.
    """

    boots: HostBoots
    plans: Sequence[CheckPlan]
    clock: Clock
    name: str = "check"

    def judge(self, kernel: KernelArtifact) -> Caught | Survived:
        """See ``Oracle``; stops at the first topology that catches it."""
        seconds = 0.0
        for plan, nodes in product(self._of(kernel.identity.mutant), self.boots.plans):
            which = f"check-{plan.specification.subsystem}"
            cell = self.boots.boot(kernel, nodes, which, Checker(plan, self.clock))
            seconds += cell.seconds
            if cell.check is None or not cell.check.agreed:
                return Caught(seconds, f"{_on(nodes)}: {_unlike_the_model(cell)}")
        return Survived(seconds)

    def modules(self, mutant: str | None) -> tuple[str, ...]:
        """Return the subsystems whose check modules a kernel needs."""
        return tuple(plan.specification.subsystem for plan in self._of(mutant))

    def _of(self, mutant: str | None) -> Sequence[CheckPlan]:
        """Return the plans of the mutant's subsystem; all, for the unmutated kernel."""
        if mutant is None:
            return self.plans
        names = {each.name for each in SUBSYSTEMS if mutant in each.mutants}
        return [plan for plan in self.plans if plan.specification.subsystem in names]


def _unlike_the_model(cell: Cell) -> str:
    """Return the difference that caught a mutant, in one line."""
    check = cell.check
    if check is None or check.conclusion not in FAULTS:
        return outcome_in_words(cell)
    if check.difference is None:
        return check.why
    return f"after {check.difference.first} operations, {check.difference.lines[0]}"


def _on(nodes: int) -> str:
    return f"{nodes} node" if nodes == 1 else f"{nodes} nodes"
