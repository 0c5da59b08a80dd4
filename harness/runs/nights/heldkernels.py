"""The kernel of one cell on a host that may have no source tree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import InfraError
from harness.kerneloptions import parse_options
from harness.runs.nights.kernels import NightKernels
from harness.source.change import Change
from harness.source.request import KernelRequest
from harness.subsystems.table import find_subsystem

if TYPE_CHECKING:
    from harness.check.subject import Specification
    from harness.host.progress import Progress
    from harness.kernel.artifact import KernelArtifact
    from harness.nightly.cells import NightCell
    from harness.runs.nights.orders import SpecificationOrder


@dataclass(frozen=True, slots=True)
class HeldKernels(NightKernels):
    """The kernel that an order names; see ``NightKernels``.

    Args:
        held: the kernel; None: it is not on this host.
        told: what a check holds it to.
    """

    held: KernelArtifact | None = None
    told: SpecificationOrder | None = None

    def request(self, cell: NightCell, commit: str) -> KernelRequest:
        """See ``NightKernels``; no tree is opened."""
        branch = self.planned[cell.slot.branch]
        known = self.held.identity.commit if self.held else None
        return KernelRequest(
            branch.source,
            Change(commit if known else None, mutant=cell.mutant or None),
            branch.kernconf,
            options=parse_options(cell.options),
            userland=bool(cell.world),
        )

    def kernel(
        self, cell: NightCell, commit: str, progress: Progress, *, clean: bool = False
    ) -> KernelArtifact:
        """See ``NightKernels``."""
        del cell, commit, progress, clean
        if self.held is None:
            raise InfraError("the kernel of the cell is not on this host")
        return self.held

    def specification(self, cell: NightCell, commit: str) -> Specification:
        """See ``NightKernels``; it is the asker's."""
        del commit
        if self.told is None:
            raise InfraError("the order of a check says not what the kernel is held to")
        own = find_subsystem(cell.subsystem).held_to(self.told.values)
        return replace(own, why=self.told.why, asked=self.told.asked)
