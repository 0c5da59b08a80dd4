"""One boot of a run: what it is to be, and the cell of the record that it comes to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError, InfraError
from harness.host.workspace import host_error
from harness.outcome import Expectation, Outcome
from harness.pipeline.media import method_of

if TYPE_CHECKING:
    from harness.check.checker import Checker
    from harness.host.progress import Progress
    from harness.kernel.artifact import KernelArtifact
    from harness.kernel.spec import Sanitizer
    from harness.pipeline.boot import Booter
    from harness.pipeline.plan import BootPlan
    from harness.pipeline.what import What
    from harness.results.record import Cell
    from harness.verdict import Verdict

_NOTHING_EXPECTED = Expectation((), "")


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


def repeated(plan: CellPlan, times: int) -> list[CellPlan]:
    """The same cell several times, under numbered names."""
    if times == 1:
        return [plan]
    return [replace(plan, name=f"{plan.name}-{number}") for number in range(1, times + 1)]


def expectation_of(plan: CellPlan, kernel: KernelArtifact) -> Expectation:
    """What the user expects, or else what the kernel's allocator makes of that topology."""
    if plan.expected is not None:
        return Expectation(plan.expected, "you said so")
    from harness.expectation import expected_of

    return expected_of(kernel.identity, plan.boot.topology)


def boot_cell(
    plan: CellPlan,
    kernel: KernelArtifact,
    booter: Booter,
    folder: Path,
    progress: Progress,
    expected: Expectation = _NOTHING_EXPECTED,
) -> Cell:
    """Boot it; the host's failure is the cell's error.

    Args:
        plan: what to boot.
        kernel: its kernel.
        booter: boots it.
        folder: the run's.
        progress: told of the boot's stages.
        expected: see ``expectation_of``.
    """
    boot = replace(plan.boot, companion=plan.checker)
    booted, error = None, ""
    try:
        booted = booter.boot(plan.name, kernel, boot, folder / plan.name, progress)
    except HarnessError as failure:
        if failure.exit_code != InfraError.exit_code:
            raise
        error = str(failure)
    except OSError as failure:
        error = str(host_error(failure))
    cell = replace(
        unbooted_cell(plan, booter, error),
        guest=kernel.identity.guest,
        kernel=kernel.identity,
        sanitizer=kernel.identity.sanitizer.value,
        boot=method_of(kernel.identity, plan.boot.method).value,
        expected=expected.outcomes,
        why_expected=expected.why,
        assumed=expected.assumed,
    )
    if booted is None:
        return cell
    return replace(
        cell,
        verdict=_with_check(booted.verdict, plan.checker),
        stages=booted.stages,
        report=booted.report,
        disagreements=booted.disagreements,
        verification=booted.verification,
        console=booted.console,
        seconds=round(booted.verdict.seconds, 3),
        check=plan.checker.result if plan.checker else None,
    )


def unbooted_cell(plan: CellPlan, booter: Booter, error: str) -> Cell:
    """The cell of a boot that did not come about."""
    from harness.results.record import Cell

    return Cell(
        name=plan.name,
        side=plan.side,
        guest=plan.what.source,
        nodes=len(plan.boot.topology.nodes),
        sanitizer=plan.sanitizer.value,
        backend=booter.backend.name,
        accelerator=plan.boot.accelerator.value,
        boot=plan.boot.method.value,
        topology=asdict(plan.boot.topology),
        error=error,
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
