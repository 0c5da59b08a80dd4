"""One boot of a run: what it is to be, and the cell of the record that it comes to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from harness.boot.plan import Sampling
from harness.outcome import Expectation, Outcome

if TYPE_CHECKING:
    from harness.boot.booter import Booter
    from harness.boot.conclude import Booted
    from harness.boot.plan import BootPlan
    from harness.check.checker import Checker
    from harness.check.result import CheckResult
    from harness.kernel.artifact import KernelArtifact
    from harness.results.record import Cell
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest
    from harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class CellPlan:
    """One boot to be.

    Args:
        name: unique in the run.
        side: ``before``, ``after``, or empty.
        what: the kernel.
        sanitizers: of the kernel.
        boot: how it is booted.
        expected: what the user or the command expects; None leaves it to the subsystems.
        why_expected: what says so, in words.
        checker: holds the guest to the model; None for a boot alone.
        sampling: what becomes of a failure that does not repeat.
        host: what a program of the host came to before; None without one.
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

    @property
    def kernel_name(self) -> str:
        """Equal for cells that boot the same kernel."""
        return f"{self.side or 'kernel'} {kind_of(self.sanitizers, self.what)}"


def kind_of(sanitizers: Sanitizers, what: KernelRequest) -> str:
    """Part of the names of boots: equal for kernels that are configured alike."""
    return "-".join(filter(None, (str(sanitizers), what.options.label)))


def repeated(plan: CellPlan, times: int) -> list[CellPlan]:
    """The same cell several times, under numbered names."""
    if times == 1:
        return [plan]
    plan = replace(plan, sampling=Sampling.REPEATED)
    return [replace(plan, name=f"{plan.name}-{number}") for number in range(1, times + 1)]


def expectation_of(plan: CellPlan, kernel: KernelArtifact) -> Expectation:
    """What is expected by the user or the command, or else by what the allocator is like."""
    if plan.expected is not None:
        return Expectation(plan.expected, plan.why_expected)
    from harness.subsystems.table import expected_of

    return expected_of(kernel.identity, plan.boot.topology)


def with_boot(cell: Cell, booted: Booted, verdict: Verdict, plan: CellPlan) -> Cell:
    """The cell with what came of a boot, and of its check."""
    return replace(
        cell,
        verdict=verdict,
        stages=booted.stages,
        report=booted.report,
        disagreements=booted.disagreements,
        verification=booted.verification,
        console=booted.console,
        seconds=round(booted.verdict.seconds, 3),
        check=plan.checker.result if plan.checker else None,
        failing=verdict.reports if plan.boot.fail_on_report else (),
    )


def unbooted_cell(plan: CellPlan, booter: Booter, error: str) -> Cell:
    """The cell of a boot that did not come about."""
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
    """The cell with what a program of the host came to before its boot.

    What that was found to do counts only if the guest has repeated it.
    """
    cell = replace(cell, host=host)
    verdict = cell.verdict
    if host is None or host.agreed or verdict is None or verdict.outcome is not Outcome.BOOTED:
        return cell
    if not host.is_finding or cell.check is None or not cell.check.agreed:
        return cell
    title = f"on the host, and not repeated by the guest: {host.why}"
    return replace(cell, verdict=replace(verdict, outcome=Outcome.UNCONFIRMED, title=title))


def with_check(verdict: Verdict, checker: Checker | None) -> Verdict:
    """The verdict on a boot with its check: a guest that stops answering hangs."""
    if checker is None or verdict.outcome is not Outcome.BOOTED:
        return verdict
    from harness.check.result import Conclusion

    if checker.result.conclusion is not Conclusion.SILENT:
        return verdict
    return replace(
        verdict, outcome=Outcome.HANG, title="silent during a check", message=checker.result.why
    )
