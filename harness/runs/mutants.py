"""Judges the mutants of a tree: which are caught, by what, how fast."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from harness.check.checker import CheckPlan
from harness.errors import BuildError, InfraError, UsageError
from harness.mutation.judgement import Judgement, MutantOutcome
from harness.mutation.mutant import Mutant, MutantRefused
from harness.mutation.oracle import Caught, Oracle, judged, judgement
from harness.outcome import Until
from harness.results.unfinished import Planned, keep_judgement
from harness.runs.guests import GuestRequest, Guests
from harness.runs.matrix import Matrix, MemoryGate
from harness.runs.oracles import UNMUTATED, BootOracle, CheckOracle, CountersOracle, HostBoots
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen, View
from harness.subsystems.specifications import AUTO
from harness.subsystems.table import SUBSYSTEMS, find_mutant
from harness.subsystems.table import mutants as all_mutants

if TYPE_CHECKING:
    from harness.boot.plan import BootPlan
    from harness.console.report import GuestReport
    from harness.kernel.artifact import KernelArtifact
    from harness.provide.provider import Provider
    from harness.results.record import Cell
    from harness.runs.environment import Environment
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest
    from harness.subsystems.subsystem import Subsystem

#: Time limit of a mutant's boot, as a factor of the unmutated kernel's slowest boot, and its
#: minimum: many mutants hang, and the limits of an ordinary boot are long.
_PATIENCE = 5
_LEAST_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class MutantsRequest:
    """Mutants to judge.

    Args:
        what: the kernel without a mutant.
        patterns: names of mutants, such as ``drop-*``; none: all that apply to the source.
        guest: the guests; default: 2 nodes.
        sanitizers: the kernels' sanitizers; None: those of the vm file.
        baseline: number of boots of the unmutated kernel, which give its counters.
        operations: operations of a check.
        seed: seed of a check's random traces.
    """

    what: KernelRequest
    patterns: tuple[str, ...] = ()
    guest: GuestRequest = field(default_factory=GuestRequest)
    sanitizers: Sanitizers | None = None
    baseline: int = 3
    operations: int = 600
    seed: int = 1


def mutants(request: MutantsRequest, env: Environment, view: View | None = None) -> RunResult:
    """Build every mutant, and judge it by the oracles.

    Raises:
        UsageError: the request is invalid.
        BuildError: the tree does not build without a mutant.
        InfraError: the host failed before a mutant was judged.
    """
    view = view or Unseen()
    if request.guest.until is not Until.INIT:
        raise UsageError(
            "the counters come from the guest's init, which --until would not reach",
            remedy="leave --until out",
        )
    recorder = Recorder(env, view)
    what = request.what
    provider = env.kernels(view.note).provider(what)
    chosen = _to_judge(request, env, provider)
    guests = Guests.of(env, view, request.guest, what)
    sanitizers = guests.sanitizers(request.sanitizers)
    topologies = guests.topologies(sanitizers, "2")
    held = [provider.specification(each, what, AUTO) for each in _checked(chosen)]
    plans = {len(each.nodes): guests.plan(each, sanitizers, checked=True) for each in topologies}

    def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
        gate = MemoryGate(matrix.memory)
        boots = HostBoots(matrix, what, sanitizers, plans, directory, gate)
        slowness = max(plan.slowness for plan in plans.values())
        checks = [
            CheckPlan(each, request.operations, request.seed, slowness=slowness) for each in held
        ]
        check = CheckOracle(boots, checks, env.clock)
        judgements = Mutation(boots, request.baseline, check).run(chosen)
        return tuple(boots.cells.values()), judgements

    count = request.baseline * len(plans) + len(chosen)
    planned = Planned(what.source, mutants=tuple(mutant.name for mutant in chosen))
    return recorder.carry_out("mutants", guests, count, work, planned)


def chosen_mutants(patterns: Sequence[str]) -> list[Mutant]:
    """Return the mutants that match the patterns; without patterns, all.

    Raises:
        UsageError: a pattern matches none.
    """
    if not patterns:
        return list(all_mutants().values())
    names: dict[str, None] = {}
    for pattern in patterns:
        matching = fnmatch.filter(all_mutants(), pattern)
        names |= dict.fromkeys(matching or [find_mutant(pattern).name])
    return [all_mutants()[name] for name in names]


def _to_judge(request: MutantsRequest, env: Environment, provider: Provider) -> list[Mutant]:
    """Return the mutants of the request, or those to repeat."""
    patterns = request.patterns
    chosen = chosen_mutants(patterns) if patterns else list(provider.mutants.values())
    if env.retry is None:
        return chosen
    return [mutant for mutant in chosen if mutant.name in env.retry.cells]


def _checked(mutants: Sequence[Mutant]) -> Iterator[Subsystem]:
    """Return the subsystems of the mutants."""
    names = {mutant.name for mutant in mutants}
    return (each for each in SUBSYSTEMS if not names.isdisjoint(each.mutants))


@dataclass(frozen=True, slots=True)
class Mutation:
    """Builds mutants one after the other, and judges each while the next is built.

    Args:
        boots: boots kernels.
        times: number of boots of the unmutated kernel on each topology.
        check: the oracle for mutants that pass boot and counters; kernels get the check modules
            that it needs. None: no check.
    """

    boots: HostBoots
    times: int
    check: CheckOracle | None = None

    def run(self, mutants: Sequence[Mutant]) -> tuple[Judgement, ...]:
        """Return the judgement of each mutant.

        If an oracle catches the unmutated kernel, no mutant is judged.

        Raises:
            UsageError: the tree or the options are wrong.
            BuildError: the tree does not build without a mutant.
            InfraError: the host failed before a mutant was judged.
        """
        matrix = self.boots.matrix
        unmutated = self._provide(self.boots.what, UNMUTATED, None)
        with matrix.pool() as pool:
            oracles = self._oracles(unmutated, pool)
            false_alarm = _false_alarm(unmutated, oracles)
            if false_alarm is not None:
                return (false_alarm,)
            futures = []
            for number, mutant in enumerate(mutants, start=1):
                kernel = self._mutated(mutant, f"{mutant.name} ({number} of {len(mutants)})")
                futures.append(pool.submit(self._judgement, mutant, kernel, oracles))
            return tuple(_results(futures))

    def _judgement(
        self, mutant: Mutant, kernel: KernelArtifact | Judgement, oracles: Sequence[Oracle]
    ) -> Judgement:
        """Judge one mutant, and store the judgement at once, as the run may be interrupted."""
        found = _judged(mutant, kernel, oracles)
        if not self.boots.matrix.booter.cancelled.is_set():  # else its guest was ended
            keep_judgement(self.boots.directory, found)
        return found

    def _oracles(self, unmutated: KernelArtifact, pool: ThreadPoolExecutor) -> tuple[Oracle, ...]:
        """Return all oracles, after they have seen the unmutated kernel."""
        boots = self.boots
        pairs = list(product(range(1, self.times + 1), boots.plans))
        cells = list(pool.map(lambda pair: boots.boot(unmutated, pair[1], pair[0]), pairs))
        told: dict[int, list[GuestReport]] = {}
        for (_, nodes), cell in zip(pairs, cells, strict=True):
            if cell.report is not None:
                told.setdefault(nodes, []).append(cell.report)
        patient = replace(boots, plans=_patient(boots.plans, cells))
        counters = CountersOracle(patient, unmutated, told)
        return BootOracle(patient, unmutated.identity), counters, *self._checks

    def _mutated(self, mutant: Mutant, row: str) -> KernelArtifact | Judgement:
        change = replace(self.boots.what.change, mutant=mutant.name)
        try:
            return self._provide(replace(self.boots.what, change=change), row, mutant.name)
        except MutantRefused as refused:
            return judgement(mutant, MutantOutcome.ABSENT, refused.message)
        except BuildError as error:
            return judgement(mutant, MutantOutcome.UNBUILT, str(error))
        except InfraError as error:
            return judgement(mutant, MutantOutcome.HOST_FAILED, str(error))

    @property
    def _checks(self) -> tuple[CheckOracle, ...]:
        return () if self.check is None else (self.check,)

    def _provide(self, what: KernelRequest, row: str, mutant: str | None) -> KernelArtifact:
        modules = [name for check in self._checks for name in check.modules(mutant)]
        return self.boots.matrix.provide(
            what, self.boots.sanitizers, f"build {row}", modules=modules
        )


def _false_alarm(unmutated: KernelArtifact, oracles: Sequence[Oracle]) -> Judgement | None:
    """Return what catches the unmutated kernel; empty if nothing does."""
    for oracle in oracles:
        found = oracle.judge(unmutated)
        if isinstance(found, Caught):
            return Judgement(
                UNMUTATED, MutantOutcome.CAUGHT, oracle.name, found.seconds, found.why,
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
        return judgement(mutant, MutantOutcome.HOST_FAILED, str(error))


def _results(futures: Sequence[Future[Judgement]]) -> Iterator[Judgement]:
    for future in futures:
        yield future.result()


def _patient(plans: Mapping[int, BootPlan], cells: Sequence[Cell]) -> Mapping[int, BootPlan]:
    """Return the plans with a time limit for each boot, unless the user has set one."""
    slowest = max(cell.seconds for cell in cells)
    longest = max(_LEAST_PATIENCE, _PATIENCE * slowest)
    return {
        nodes: plan if plan.timeout is not None else replace(plan, longest=longest)
        for nodes, plan in plans.items()
    }
