"""The plan of one boot of a run, and the cell of the record that results from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, cast

from harness.boot.plan import Sampling
from harness.debug.plan import NO_FINDINGS
from harness.outcome import Expectation, Outcome

if TYPE_CHECKING:
    from harness.boot.booter import Booter
    from harness.boot.evaluation import Booted
    from harness.boot.guestclient import JudgedClient
    from harness.boot.plan import BootPlan
    from harness.check.checker import Checker
    from harness.check.result import CheckResult
    from harness.execution.program import Program
    from harness.kernel.artifact import KernelArtifact
    from harness.kyua.client import SuiteClient
    from harness.results.record import Cell
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest
    from harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class CellPlan:
    """The plan of one cell.

    Args:
        name: unique in the run.
        side: ``before``, ``after``, or empty.
        what: the kernel.
        sanitizers: the kernel's.
        boot: how it is booted.
        expected: outcome that the user or the command expects; None: the subsystems predict it.
        why_expected: source of that expectation, in words.
        checker: checks the guest against the model; None for a boot alone.
        sampling: how a failure that does not repeat counts.
        program: a command to run in the guest; None for none.
        suites: FreeBSD's own tests to run in it; None for none.
        bad_expected: whether the command is expected to fail.
        world: the kind or name of its world; None for a guest without one.
        world_suites: directories of the tree's suites that the world must have.
        host: result of the host program that ran before; None without one.
    """

    name: str
    side: str
    what: KernelRequest
    sanitizers: Sanitizers
    boot: BootPlan
    expected: tuple[Outcome, ...] | None = None
    checker: Checker | None = None
    sampling: Sampling = Sampling.SINGLE
    why_expected: str = ""
    host: CheckResult | None = None
    program: Program | None = None
    suites: SuiteClient | None = None
    bad_expected: bool = False
    world: str | None = None
    world_suites: tuple[str, ...] = ()

    @property
    def client(self) -> JudgedClient | None:
        """What works with the guest after it is up."""
        return self.checker or self.program or self.suites

    def with_client(self, client: JudgedClient | None) -> CellPlan:
        """Return the plan with another client of the same kind."""
        if self.checker is not None:
            return replace(self, checker=cast("Checker | None", client))
        if self.suites is not None:
            return replace(self, suites=cast("SuiteClient | None", client))
        return replace(self, program=cast("Program | None", client))

    @property
    def kernel_name(self) -> str:
        """Name of the kernel; equal for cells that boot the same kernel."""
        return f"{self.side or 'kernel'} {kind_of(self.sanitizers, self.what)}"


def kind_of(sanitizers: Sanitizers, what: KernelRequest) -> str:
    """Return a part of cell names; equal for kernels with equal configurations."""
    return "-".join(filter(None, (str(sanitizers), what.options.label)))


def repeated(plan: CellPlan, times: int) -> list[CellPlan]:
    """Return the same cell several times, under numbered names."""
    if times == 1:
        return [plan]
    plan = replace(plan, sampling=Sampling.REPEATED)
    return [replace(plan, name=f"{plan.name}-{number}") for number in range(1, times + 1)]


def expectation_of(plan: CellPlan, kernel: KernelArtifact) -> Expectation:
    """Return the expectation of the user or the command, else the subsystems' prediction."""
    if plan.expected is not None:
        return Expectation(plan.expected, plan.why_expected)
    from harness.subsystems.table import expected_of

    return expected_of(kernel.identity, plan.boot.topology)


def with_boot(cell: Cell, booted: Booted, verdict: Verdict, plan: CellPlan) -> Cell:
    """Return the cell with the results of its boot and check."""
    failed = booted.verdict.outcome is not Outcome.BOOTED
    program = plan.program.result if plan.program else None
    return replace(
        cell,
        verdict=verdict,
        stages=booted.stages,
        cpu=booted.cpu,
        report=booted.report,
        disagreements=booted.disagreements,
        verification=booted.verification,
        console=booted.console,
        seconds=round(booted.verdict.seconds, 3),
        check=plan.checker.result if plan.checker else None,
        debug=None if booted.debug == NO_FINDINGS else booted.debug,
        program=program.explained(booted.ending, failed=failed) if program else None,
        bad_expected=plan.bad_expected,
        world=plan.boot.world.identity.document() if plan.boot.world else None,
        snapshot=booted.snapshot,
        failing=verdict.reports if plan.boot.fail_on_report else (),
    )


def unbooted_cell(plan: CellPlan, booter: Booter, error: str) -> Cell:
    """Return the cell of a boot that could not start."""
    from harness.results.record import Cell

    return Cell(
        name=plan.name,
        side=plan.side,
        guest=plan.what.source,
        nodes=len(plan.boot.topology.nodes),
        sanitizer=str(plan.sanitizers),
        options=plan.what.options.texts,
        backend=booter.backend.name,
        accelerator=plan.boot.accelerator.value,
        boot=plan.boot.method.value,
        topology=asdict(plan.boot.topology),
        error=error,
    )


def with_host(cell: Cell, host: CheckResult | None) -> Cell:
    """Return the cell with the result of a host program.

    A finding of the host program counts only if the guest repeats it.
    """
    cell = replace(cell, host=host)
    verdict = cell.verdict
    if host is None or host.agreed or verdict is None or verdict.outcome is not Outcome.BOOTED:
        return cell
    if not host.is_finding or cell.check is None or not cell.check.agreed:
        return cell
    title = f"on the host, and not repeated by the guest: {host.why}"
    return replace(cell, verdict=replace(verdict, outcome=Outcome.UNCONFIRMED, title=title))


def with_client(verdict: Verdict, client: JudgedClient | None) -> Verdict:
    """Return the verdict of a boot with its client: a guest that stops answering hangs."""
    silence = client.silence if client is not None else None
    if silence is None or verdict.outcome is not Outcome.BOOTED:
        return verdict
    title, message = silence
    return replace(verdict, outcome=Outcome.HANG, title=title, message=message)
