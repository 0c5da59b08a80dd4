"""What catches a mutant: its boot, the counters that init reports, the check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from harness.boot.cellplan import CellPlan, kind_of
from harness.check.checker import Checker, CheckPlan
from harness.check.result import Conclusion
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
"""What the kernel without a mutant is called."""


class Boots(Protocol):
    """Boots kernels; each boot is made once, however many oracles look at it."""

    @property
    def plans(self) -> Mapping[int, BootPlan]:
        """How each topology is booted, by the number of its nodes."""
        ...

    def boot(self, kernel: KernelArtifact, nodes: int, which: int | str = 1) -> Cell:
        """The cell of one of a kernel's boots on so many nodes.

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
        sanitizers: of all kernels.
        plans: how each topology is booted, by the number of its nodes.
        directory: of the run.
        gate: lets guests in.
        cells: all that were booted, by name.
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
        """See ``Boots.boot``; a ``checker`` holds the guest to the model."""
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
    """Catches what does not boot as is predicted of the kernel without the mutant.

    Args:
        boots: boots kernels.
        unmutated: the kernel without a mutant.
    """

    boots: Boots
    unmutated: KernelIdentity
    name: str = "boot"

    def judge(self, kernel: KernelArtifact) -> Caught | Survived:
        """See ``Oracle``; stops at the first topology that shows it."""
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
    """Catches what reports other counters than the kernel without a mutant, or the model.

    A difference must be there in a second boot as well, and must not be the hour's: the kernel
    without a mutant is booted again, too, and what it says now is as right as what it said before.

    Args:
        boots: boots kernels; those of the boot oracle serve here too.
        unmutated: the kernel without a mutant.
        told: what that has said, boot by boot, by the number of nodes; more is added.
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
    """Catches what does something else than the model, operation by operation.

    Args:
        boots: boots kernels.
        plans: what is to be checked: a plan for each part of the kernel that has mutants.
        clock: tells time.
    """

    boots: HostBoots
    plans: Sequence[CheckPlan]
    clock: Clock
    name: str = "check"

    def judge(self, kernel: KernelArtifact) -> Caught | Survived:
        """See ``Oracle``; stops at the first topology that shows it."""
        seconds = 0.0
        for plan, nodes in product(self._of(kernel.identity.mutant), self.boots.plans):
            which = f"check-{plan.specification.subsystem}"
            cell = self.boots.boot(kernel, nodes, which, Checker(plan, self.clock))
            seconds += cell.seconds
            if cell.check is None or not cell.check.agreed:
                return Caught(seconds, f"{_on(nodes)}: {_unlike_the_model(cell)}")
        return Survived(seconds)

    def modules(self, mutant: str | None) -> tuple[str, ...]:
        """The subsystems whose check modules a kernel with that mutant, or none, must have."""
        return tuple(plan.specification.subsystem for plan in self._of(mutant))

    def _of(self, mutant: str | None) -> Sequence[CheckPlan]:
        """Those of the part that the mutant is in; all, for the kernel without one."""
        if mutant is None:
            return self.plans
        names = {each.name for each in SUBSYSTEMS if mutant in each.mutants}
        return [plan for plan in self.plans if plan.specification.subsystem in names]


def _unlike_the_model(cell: Cell) -> str:
    """How a guest was caught, in one line."""
    check = cell.check
    if check is None or check.conclusion is not Conclusion.DIFFERS:
        return outcome_in_words(cell)
    if check.difference is None:
        return check.why
    return f"after {check.difference.first} operations, {check.difference.lines[0]}"


def _on(nodes: int) -> str:
    return f"{nodes} node" if nodes == 1 else f"{nodes} nodes"
