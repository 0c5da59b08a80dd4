"""Every mutant built, booted and shown to oracles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.boot.cell import CellPlan
from harness.check.checker import Checker, CheckPlan
from harness.check.result import Conclusion
from harness.errors import BuildError, InfraError
from harness.mutation.fate import Fate, Judgement
from harness.mutation.mutant import Mutant, MutantRefused
from harness.mutation.oracle import Caught, Oracle, Survived, judged, judgement
from harness.outcome import Outcome
from harness.results.text import outcome_in_words
from harness.results.unfinished import keep_judgement
from harness.subsystems.table import SUBSYSTEMS, expected_of, oddities

if TYPE_CHECKING:
    from harness.boot.plan import BootPlan
    from harness.console.report import GuestReport
    from harness.host.clock import Clock
    from harness.kernel.artifact import KernelArtifact, KernelIdentity
    from harness.results.record import Cell
    from harness.runs.matrix import Matrix, MemoryGate
    from harness.sanitizers import Sanitizers
    from harness.source.what import What

#: How much longer than the slowest boot of the unmutated kernel a mutant's may take, and the
#: least that it may: many mutants hang, and the limits of an ordinary boot are generous.
_PATIENCE = 5
_LEAST_PATIENCE = 60.0

_UNMUTATED = "unmutated"


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
        folder: of the run.
        gate: lets guests in.
        cells: all that were booted, by name.
    """

    matrix: Matrix
    what: What
    sanitizers: Sanitizers
    plans: Mapping[int, BootPlan]
    folder: Path
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
        side = kernel.identity.mutant or _UNMUTATED
        name = f"{side}-{self.sanitizers}-numa{nodes}" + (f"-{which}" if which != 1 else "")
        if name not in self.cells:
            boot = self.plans[nodes]
            plan = CellPlan(name, side, self.what, self.sanitizers, boot, checker=checker)
            self.cells[name] = self.matrix.boot(plan, kernel, self.folder, self.gate)
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
    """Catches what says other things of its zones than the kernel without a mutant, or the model.

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


@dataclass(frozen=True, slots=True)
class Mutation:
    """Builds mutants one after the other, and judges each while the next is built.

    Args:
        boots: boots kernels.
        times: how often the kernel without a mutant is booted on each topology.
        more: further oracles, that look at what boots and counters have let through; kernels then
            come with their check module.
    """

    boots: HostBoots
    times: int
    more: Sequence[Oracle] = ()

    def run(self, mutants: Sequence[Mutant]) -> tuple[Judgement, ...]:
        """What becomes of each.

        If an oracle catches the kernel without a mutant, that is all there is to say.

        Raises:
            UsageError: the tree or the options are at fault.
            BuildError: the tree does not build without a mutant.
            InfraError: the host failed before a mutant was looked at.
        """
        matrix = self.boots.matrix
        unmutated = self._provide(self.boots.what, _UNMUTATED)
        with matrix.pool() as pool:
            oracles = self._oracles(unmutated, pool)
            false_alarm = _false_alarm(unmutated, oracles)
            if false_alarm is not None:
                return (false_alarm,)
            futures = []
            for number, mutant in enumerate(mutants, start=1):
                kernel = self._mutated(mutant, f"{mutant.name} ({number} of {len(mutants)})")
                futures.append(pool.submit(self._fate, mutant, kernel, oracles))
            return tuple(_results(futures))

    def _fate(
        self, mutant: Mutant, kernel: KernelArtifact | Judgement, oracles: Sequence[Oracle]
    ) -> Judgement:
        """What becomes of one; kept at once, for the run may be interrupted before its end."""
        found = _judged(mutant, kernel, oracles)
        if not self.boots.matrix.booter.cancelled.is_set():  # else its guest was ended
            keep_judgement(self.boots.folder, found)
        return found

    def _oracles(self, unmutated: KernelArtifact, pool: ThreadPoolExecutor) -> tuple[Oracle, ...]:
        """All oracles, when they know the kernel without a mutant."""
        boots = self.boots
        pairs = list(product(range(1, self.times + 1), boots.plans))
        cells = list(pool.map(lambda pair: boots.boot(unmutated, pair[1], pair[0]), pairs))
        told: dict[int, list[GuestReport]] = {}
        for (_, nodes), cell in zip(pairs, cells, strict=True):
            if cell.report is not None:
                told.setdefault(nodes, []).append(cell.report)
        patient = replace(boots, plans=_patient(boots.plans, cells))
        counters = CountersOracle(patient, unmutated, told)
        return BootOracle(patient, unmutated.identity), counters, *self.more

    def _mutated(self, mutant: Mutant, row: str) -> KernelArtifact | Judgement:
        change = replace(self.boots.what.change, mutant=mutant.name)
        try:
            return self._provide(replace(self.boots.what, change=change), row)
        except MutantRefused as refused:
            return judgement(mutant, Fate.ABSENT, refused.message)
        except BuildError as error:
            return judgement(mutant, Fate.UNBUILT, str(error))
        except InfraError as error:
            return judgement(mutant, Fate.HOST_FAILED, str(error))

    def _provide(self, what: What, row: str) -> KernelArtifact:
        return self.boots.matrix.provide(
            what, self.boots.sanitizers, f"build {row}", module=bool(self.more)
        )


def _false_alarm(unmutated: KernelArtifact, oracles: Sequence[Oracle]) -> Judgement | None:
    """What catches the kernel without a mutant, if anything does."""
    for oracle in oracles:
        found = oracle.judge(unmutated)
        if isinstance(found, Caught):
            return Judgement(
                _UNMUTATED, Fate.CAUGHT, oracle.name, found.seconds, found.why,
                equivalent="it has no mutant in it",
            )  # fmt: skip
    return None


def _judged(
    mutant: Mutant, kernel: KernelArtifact | Judgement, oracles: Sequence[Oracle]
) -> Judgement:
    if isinstance(kernel, Judgement):
        return kernel
    try:
        return judged(mutant, kernel, oracles)
    except InfraError as error:
        return judgement(mutant, Fate.HOST_FAILED, str(error))


def _results(futures: Sequence[Future[Judgement]]) -> Iterator[Judgement]:
    for future in futures:
        yield future.result()


def _patient(plans: Mapping[int, BootPlan], cells: Sequence[Cell]) -> Mapping[int, BootPlan]:
    """The plans with an end to each boot, unless the user has set one."""
    slowest = max(cell.seconds for cell in cells)
    longest = max(_LEAST_PATIENCE, _PATIENCE * slowest)
    return {
        nodes: plan if plan.timeout is not None else replace(plan, longest=longest)
        for nodes, plan in plans.items()
    }
