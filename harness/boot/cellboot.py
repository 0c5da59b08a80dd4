"""Boots one cell of a run, with the repeats that a failure needs before it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boot.cellplan import unbooted_cell, with_boot, with_client
from harness.boot.media import method_of
from harness.errors import HarnessError, InfraError
from harness.host.workspace import host_error
from harness.outcome import Expectation, Outcome

if TYPE_CHECKING:
    from harness.boot.booter import Booter
    from harness.boot.cellplan import CellPlan
    from harness.host.progress import Progress
    from harness.kernel.artifact import KernelArtifact
    from harness.results.record import Cell

_NOTHING_EXPECTED = Expectation((), "")


def cell_with_kernel(
    plan: CellPlan,
    kernel: KernelArtifact,
    booter: Booter,
    error: str = "",
    expected: Expectation = _NOTHING_EXPECTED,
) -> Cell:
    """Return the cell before its boot, or of one that the host failed with ``error``."""
    return replace(
        unbooted_cell(plan, booter, error),
        guest=kernel.identity.guest,
        kernel=kernel.identity,
        sanitizer=str(kernel.identity.sanitizer),
        options=kernel.identity.options,
        boot=method_of(kernel.identity, plan.boot.method).value,
        expected=expected.outcomes,
        why_expected=expected.why,
        assumed=expected.assumed,
    )


def boot_cell(
    plan: CellPlan,
    kernel: KernelArtifact,
    booter: Booter,
    directory: Path,
    progress: Progress,
    expected: Expectation = _NOTHING_EXPECTED,
    others: Sequence[KernelArtifact] = (),
) -> Cell:
    """Boot the cell, and repeat a failure that is no proof by itself.

    A host failure becomes the cell's error.

    Args:
        plan: what to boot.
        kernel: its kernel.
        booter: boots it.
        directory: the run's directory.
        progress: shows the boot's stages.
        expected: see ``expectation_of``.
        others: kernels to boot for comparison if this one fails before its banner.
    """
    client = plan.client.into(directory / plan.name) if plan.client else None
    boot = replace(plan.boot, client=client)
    booted, error = None, ""
    try:
        booted = booter.boot(plan.name, kernel, boot, directory / plan.name, progress)
    except HarnessError as failure:
        if failure.exit_code != InfraError.exit_code:
            raise
        error = str(failure)
    except OSError as failure:
        error = str(host_error(failure))
    cell = cell_with_kernel(plan, kernel, booter, error, expected)
    if booted is None:
        return cell
    verdict = with_client(booted.verdict, plan.client)
    cell = with_boot(cell, booted, verdict, plan)
    if verdict.outcome in (Outcome.BOOTED, Outcome.DIFFERS):
        return cell
    from harness.boot.confirm import Confirmation  # which few boots need

    confirmation = Confirmation(plan, kernel, booter, directory / plan.name, progress, others)
    return confirmation.of(cell, booted)
