"""Tests revisions of a bisection by building their kernels and examining them in guests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.bisect.evidence import Kind
from harness.bisect.tester import Built, Trial
from harness.errors import HarnessError, UsageError
from harness.kernel.dependencies import read_list
from harness.kernel.elf import content_digest
from harness.results.unfinished import keep_cell

if TYPE_CHECKING:
    from harness.boot.booter import Booter
    from harness.host.clock import Clock
    from harness.host.progress import Progress
    from harness.kernel.artifact import KernelArtifact
    from harness.provide.revisions import Revisions
    from harness.runs.examination import Examination


@dataclass(slots=True)
class KernelTester:
    """Builds and examines revisions; see ``harness.bisect.tester.Tester``.

    Args:
        revisions: provides kernels.
        examination: examines kernels.
        booter: boots guests, which end with the tester.
        directory: the run's directory.
        clock: measures builds.
    """

    revisions: Revisions
    examination: Examination
    booter: Booter
    directory: Path
    clock: Clock
    _kernels: dict[str, KernelArtifact] = field(default_factory=dict)
    _passed: dict[str, KernelArtifact] = field(default_factory=dict)

    def build(self, commit: str, progress: Progress) -> Built:
        """See ``Tester``."""
        started = self.clock.monotonic()
        kernel = self.revisions.kernel(commit, progress)
        self._kernels[commit] = kernel
        return Built(
            content_digest(kernel), self.clock.monotonic() - started, read_list(kernel.kernel)
        )

    def test(self, commit: str, cell: str, progress: Progress) -> Trial:
        """See ``Tester``."""
        kernel = self._kernels[commit]
        try:
            trial, done = self.examination.examine(
                cell, kernel, self.directory, progress, next(iter(self._passed.values()), None)
            )
        except HarnessError as error:
            if error.exit_code == UsageError.exit_code:
                raise
            return Trial(Kind.INFRA, outcome="host failed", error=str(error))
        if done is not None:
            keep_cell(self.directory, done)
        if trial.kind is Kind.PASSED:
            self._passed.setdefault(commit, kernel)
        return trial

    def close(self) -> None:
        """See ``Tester``."""
        self.booter.cancelled.set()
        self.booter.runner.close()
