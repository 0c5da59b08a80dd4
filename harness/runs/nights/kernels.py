"""The kernels of a night: a cell's kernel at a revision of its branch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from harness.kerneloptions import parse_options
from harness.sanitizers import parse_sanitizers
from harness.source.change import Change
from harness.source.request import KernelRequest
from harness.subsystems.specifications import AUTO
from harness.subsystems.table import find_subsystem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.check.subject import Specification
    from harness.host.progress import Progress
    from harness.kernel.artifact import KernelArtifact
    from harness.nightly.cells import NightCell, PlannedBranch
    from harness.nightly.night import BranchNight
    from harness.provide.provider import Provider
    from harness.provide.revisions import Revisions
    from harness.runs.environment import Environment
    from harness.runs.nights.sources import NightSources
    from harness.runs.view import View


@dataclass(frozen=True, slots=True)
class NightKernels:
    """Builds the kernels of a night, each once.

    Args:
        env: the host.
        view: shows waits for a tree.
        sources: the plan's trees.
        planned: the plan's branches, by name.
        branches: the branches of the night, by name.
    """

    env: Environment
    view: View
    sources: NightSources
    planned: Mapping[str, PlannedBranch]
    branches: Mapping[str, BranchNight]
    _revisions: dict[tuple[object, ...], Revisions] = field(default_factory=dict)

    @classmethod
    def of(
        cls, env: Environment, view: View, sources: NightSources,
        planned: Iterable[PlannedBranch], branches: Iterable[BranchNight],
    ) -> Self:  # fmt: skip
        """Return the kernels of the branches of a night."""
        return cls(
            env, view, sources, {each.name: each for each in planned},
            {each.name: each for each in branches},
        )  # fmt: skip

    def request(self, cell: NightCell, commit: str) -> KernelRequest:
        """Return the request for a cell's kernel at a revision, as other commands have it."""
        branch = self.planned[cell.slot.branch]
        revision = commit if self.sources.tree(branch.source) is not None else None
        return KernelRequest(
            branch.source,
            Change(revision, mutant=cell.mutant or None),
            branch.kernconf,
            options=parse_options(cell.options),
            userland=bool(cell.world),
        )

    def provider(self, cell: NightCell, *, clean: bool = False) -> Provider:
        """Return the provider of a cell's kernels; see ``kernel``."""
        what = KernelRequest(self.planned[cell.slot.branch].source)
        return replace(self.env.kernels(self.view.note), clean=clean).provider(what)

    def kernel(
        self, cell: NightCell, commit: str, progress: Progress, *, clean: bool = False
    ) -> KernelArtifact:
        """Return a cell's kernel at a revision.

        Args:
            cell: the plan's cell.
            commit: the revision.
            progress: shows the build.
            clean: build it without objects of earlier builds, with one job.

        Raises:
            UsageError: an option or a mutant does not apply.
            BuildError: the revision does not build.
            InfraError: the host is at fault.
        """
        sanitizers = parse_sanitizers(cell.sanitizers)
        revisions = self.revisions(cell, clean=clean)
        if revisions is not None:
            return revisions.kernel(commit, progress)
        what, modules = self.request(cell, commit), _modules(cell)
        kernels = self.env.kernels(self.view.note)
        return kernels.provide(what, sanitizers, progress, modules=modules)

    def specification(self, cell: NightCell, commit: str) -> Specification:
        """Return the specification that a check compares with.

        Raises as ``Provider.specification``.
        """
        subsystem = find_subsystem(cell.subsystem)
        revisions = self.revisions(cell)
        if revisions is not None:
            return revisions.specification(subsystem, commit)
        return self.provider(cell).specification(subsystem, self.request(cell, commit), AUTO)

    def revisions(self, cell: NightCell, *, clean: bool = False) -> Revisions | None:
        """Return the kernels of all revisions of a cell's branch; None without a history.

        See ``kernel``.

        Raises:
            UsageError: the tree cannot have such kernels.
        """
        branch = self.branches[cell.slot.branch]
        tree = self.sources.tree(branch.source)
        if tree is None:
            return None
        key = branch.name, cell.configuration, cell.mutant, _modules(cell), clean
        if key not in self._revisions:
            what = replace(self.request(cell, ""), change=Change(mutant=cell.mutant or None))
            base = () if branch.rewritten or not branch.base else (branch.base,)
            ends = (branch.tip, *base)
            self._revisions[key] = self.provider(cell, clean=clean).revisions(
                tree, what, parse_sanitizers(cell.sanitizers), ends, modules=_modules(cell)
            )
        return self._revisions[key]


def _modules(cell: NightCell) -> tuple[str, ...]:
    """Return the subsystems whose check module a cell's kernel needs."""
    return (cell.subsystem,) if cell.subsystem else ()
