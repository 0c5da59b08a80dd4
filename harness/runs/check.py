"""Checks guests and host programs: against models, or for invariants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boot.cellplan import CellPlan, kind_of
from harness.check.checker import Checker, CheckPlan
from harness.errors import UsageError
from harness.host.workspace import make_directory, write_atomic
from harness.onhost.instrumentation import Instrumentation
from harness.outcome import Outcome
from harness.results.text import outcome_in_words
from harness.results.unfinished import Planned, keep_cell
from harness.runs.checkplans import check_plans, has_threads
from harness.runs.checkrequest import CheckRequest, On
from harness.runs.coverage import HostCoverage
from harness.runs.guests import Guests
from harness.runs.onhost import HostChecks, HostFirst
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen, View

if TYPE_CHECKING:
    from harness.boot.plan import BootPlan
    from harness.mutation.judgement import Judgement
    from harness.onhost.coverage import Coverage
    from harness.results.record import Cell
    from harness.runs.environment import Environment
    from harness.runs.matrix import Matrix
    from harness.sanitizers import Sanitizers

#: Operations on the host, if the user counts the guest's, and by default.
_ON_HOST = 100_000
#: Schedules of each random trace where races are looked for, if the user names no number.
_SCHEDULES = 200
#: File name of traces in a cell's directory.
_TRACE = "difference.trace"


@dataclass(frozen=True, slots=True)
class CheckRunResult(RunResult):
    """Result of checks.

    Args:
        traces: files with the shortest traces of the differences.
        coverage: of the host programs, if it was measured.
    """

    traces: tuple[Path, ...]
    coverage: Coverage | None = None


def check(request: CheckRequest, env: Environment, view: View | None = None) -> CheckRunResult:
    """Check a guest or a host program, for each subsystem and seed.

    Raises:
        UsageError: the request is invalid.
        BuildError: the revision does not build.
        InfraError: the host failed before there was a cell.
    """
    if request.what.change.assumed and request.on is not On.HOST:
        raise UsageError(
            "--assume: what its fix is applied to is not the tree's code, so no guest judges it",
            remedy="add --on host",
        )
    if request.schedules == 0 and "kcsan" in _host_sanitizers(request):
        request = replace(request, schedules=_SCHEDULES)
    view = view or Unseen()
    recorder = Recorder(env, view)
    guests = Guests.of(env, view, request.guest, request.what)
    sanitizers = guests.sanitizers(request.sanitizers)
    topology = guests.topology(sanitizers, "check", "2")
    provider = env.kernels(view.note).provider(request.what)
    plans = check_plans(request, provider)
    on_host = HostChecks(
        env, provider, request.what, topology, _operations_on_host(request),
        _instrumentation(request, plans),
        elsewhere=request.on is On.HOST,
    )  # fmt: skip
    if request.on is On.HOST:
        if request.coverage is not None:
            make_directory(request.coverage)
            parts = [part for each in provider.subsystems if (part := each.on_host) is not None]
            on_host.coverage = HostCoverage(env, parts)
        result = _in_place_of_guests(recorder, guests, plans, on_host)
    else:
        boot = guests.plan(topology, sanitizers, goes_on=True, checked=True, restored=True)
        cells = _cells(request, plans, boot, sanitizers, env)
        programs = None if request.on is On.GUEST else on_host
        named = request.subsystem is not None
        result = _with_guests(recorder, guests, cells, programs, named=named)
    coverage = _coverage(request, on_host)
    return CheckRunResult(result.run, result.directory, _kept_traces(result), coverage)


def _host_sanitizers(request: CheckRequest) -> frozenset[str]:
    """Return the sanitizers of the host program: those of a guest in its place are its own."""
    if request.on is not On.HOST or request.sanitizers is None:
        return frozenset()
    return frozenset(row.name for row in request.sanitizers.rows)


def _instrumentation(request: CheckRequest, plans: Sequence[CheckPlan]) -> Instrumentation:
    """Return what is compiled into host programs.

    Raises:
        UsageError: host programs do not have it.
    """
    interleaved = request.schedules > 0 or any(map(has_threads, plans))
    return Instrumentation(interleaved, sanitizers=_host_sanitizers(request))


def _coverage(request: CheckRequest, on_host: HostChecks) -> Coverage | None:
    """Return the coverage that was measured, and write it to the directory."""
    measured, program = on_host.coverage, on_host.built
    if measured is None or program is None or not measured.has_counted:
        return None
    return measured.measured(program, request.coverage)


@dataclass(frozen=True, slots=True)
class _PlannedCell:
    """A cell with its check."""

    cell: CellPlan
    check: CheckPlan


def _cells(
    request: CheckRequest, plans: Sequence[CheckPlan], boot: BootPlan, sanitizers: Sanitizers,
    env: Environment,
) -> list[_PlannedCell]:  # fmt: skip
    """Return a cell for each check."""
    kind = kind_of(sanitizers, request.what)
    checks = [replace(plan, slowness=boot.slowness) for plan in plans]
    return [
        _PlannedCell(
            CellPlan(
                name=f"check-{kind}-numa{len(boot.topology.nodes)}{_suffix(check, checks)}",
                side="",
                what=request.what,
                sanitizers=sanitizers,
                boot=boot,
                expected=_expected(sanitizers),
                why_expected="harness check expects every guest to come up",
                checker=Checker(check, env.clock),
            ),
            check,
        )
        for check in checks
    ]


def _operations_on_host(request: CheckRequest) -> int:
    """Return the operations of each check; before guests, all seeds of a subsystem share them."""
    if request.on is On.HOST:
        return request.operations or _ON_HOST
    return -(-_ON_HOST // len(request.seeds))


def _in_place_of_guests(
    recorder: Recorder, guests: Guests, plans: Sequence[CheckPlan], on_host: HostChecks
) -> RunResult:
    """Check host programs only, one after the other."""
    nodes = len(on_host.topology.nodes)
    named = {f"check-host-numa{nodes}{_suffix(plan, plans)}": plan for plan in plans}
    retry = recorder.env.retry
    if retry is not None:
        named = {name: plan for name, plan in named.items() if name in retry.cells}

    def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
        cells = []
        for name, plan in named.items():
            cell = on_host.cell(name, plan, matrix.rows.row(name))
            keep_cell(directory, cell)
            matrix.rows.done(name, outcome_in_words(cell), good=cell.as_expected)
            cells.append(cell)
        return tuple(cells), ()

    planned = Planned(on_host.what.source, tuple(named))
    return recorder.carry_out("check", guests, len(named), work, planned)


def _with_guests(
    recorder: Recorder,
    guests: Guests,
    cells: Sequence[_PlannedCell],
    on_host: HostChecks | None,
    *,
    named: bool,
) -> RunResult:
    """Check guests after host programs; guests repeat the programs' findings.

    Without a host program, what has no model is left out, unless the user ``named`` it.
    """
    retry = recorder.env.retry
    if retry is not None:
        cells = [each for each in cells if each.cell.name in retry.cells]

    def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
        checks = HostFirst(on_host, matrix.rows, recorder.view, recorder.env.clock)
        plans, searched = [], []
        for each in cells:
            plan = checks.before(each.cell, each.check)
            found = plan.host
            if on_host is None or not _is_only_searched(each.check):
                plans.append(plan)
            elif named if found is None else found.is_finding:
                plans.append(plan)  # the guest judges
            elif found is not None:
                searched.append(on_host.searched(plan.name, found))
                keep_cell(directory, searched[-1])
        return (*matrix.run(plans, directory), *searched), ()

    source = cells[0].cell.what.source if cells else ""
    planned = Planned(source, tuple(each.cell.name for each in cells))
    return recorder.carry_out("check", guests, len(cells), work, planned)


def _is_only_searched(check: CheckPlan) -> bool:
    """Return whether there is nothing to do in a guest without a finding to repeat."""
    return not check.specification.is_modelled and check.replay is None


def _suffix(plan: CheckPlan, plans: Sequence[CheckPlan]) -> str:
    """Return the part of a cell's name that distinguishes its check from others."""
    several = {each.specification.subsystem for each in plans}
    words = [f"-{plan.specification.subsystem}"] if len(several) > 1 else []
    if len({each.seed for each in plans}) > 1:
        words.append(f"-seed{plan.seed}")
    return "".join(words)


def _expected(sanitizers: Sanitizers) -> tuple[Outcome, ...]:
    """Return the expectation; a report that the kernel survives does not fail a check."""
    survived = (row.outcome for row in sanitizers.rows if row.goes_on and row.outcome)
    return (Outcome.BOOTED, *survived)


def _kept_traces(result: RunResult) -> tuple[Path, ...]:
    """Write the traces of differences and findings; return their files."""
    found = []
    for cell in result.run.cells:
        for name, text in _traces_of(cell):
            path = result.directory / cell.name / name
            write_atomic(path, text)
            found.append(path)
    return tuple(found)


def _traces_of(cell: Cell) -> Iterator[tuple[str, str]]:
    """Return the traces of a cell, with file names."""
    check = cell.check
    if check is None:
        return
    difference = check.difference
    text = difference.trace if difference else check.trace
    if text:
        yield _TRACE, text
    for number, finding in enumerate(check.findings, start=1):
        if finding.trace and finding.trace != text:
            yield f"finding-{number}.trace", finding.trace
