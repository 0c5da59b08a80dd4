"""Kernels of a FreeBSD tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.image.media import BootMethod
from harness.onhost.instrumentation import PLAIN, Instrumentation
from harness.provide.provider import KernelCode
from harness.provide.sources import TREE_TITLE
from harness.source.codefacts import Facts
from harness.subsystems.table import SUBSYSTEMS, mutants

if TYPE_CHECKING:
    from harness.check.subject import Specification
    from harness.host.progress import Progress
    from harness.kernel.artifact import KernelArtifact
    from harness.mutation.mutant import Mutant
    from harness.onhost.build import HostBuilder
    from harness.onhost.programs import HostProgram
    from harness.onhost.variations import ProgramVariations
    from harness.provide.kernels import Kernels
    from harness.provide.revisions import Revisions
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest
    from harness.source.revision import Snapshot
    from harness.source.tree import SourceTree
    from harness.subsystems.specifications import Specifications
    from harness.subsystems.subsystem import Subsystem


@dataclass(frozen=True, slots=True)
class TreeProvider:
    """Builds kernels from a tree of this host, or a clone; see ``Provider``.

    Args:
        host: builds them.
    """

    host: Kernels
    _read: dict[str, SourceTree] = field(default_factory=dict, compare=False)

    @property
    def title(self) -> str:
        """See ``Provider``."""
        return TREE_TITLE

    @property
    def boot_methods(self) -> tuple[BootMethod, ...]:
        """See ``Provider``."""
        return tuple(BootMethod)

    @property
    def subsystems(self) -> tuple[Subsystem, ...]:
        """See ``Provider``."""
        return SUBSYSTEMS

    @property
    def mutants(self) -> Mapping[str, Mutant]:
        """See ``Provider``."""
        return mutants()

    def pair(self, what: KernelRequest) -> None:
        """See ``Provider``."""
        del what

    def kernel(
        self,
        what: KernelRequest,
        sanitizers: Sanitizers,
        progress: Progress,
        *,
        modules: Sequence[str] = (),
    ) -> KernelArtifact:
        """See ``Provider``."""
        # not imported for kernels that are cached
        from harness.kernel.build import Builder
        from harness.kernel.spec import kernel_config
        from harness.source.treelocks import healed

        host, tree = self.host, self.host.open_tree(what.source)
        builder = Builder(
            host.workspace, host.runner, host.clock, progress, host.sandboxed, host.logs,
            host.clean,
        )  # fmt: skip
        config = kernel_config(sanitizers, what.kernconf, what.options, userland=what.userland)
        build = partial(
            builder.build, tree, what.change, config, modules=modules, loadable=what.modules
        )
        return healed(tree, host.workspace, progress.note, build)

    def host_program(
        self, what: KernelRequest, progress: Progress, operations: int,
        instrumentation: Instrumentation = PLAIN,
    ) -> HostProgram:  # fmt: skip
        """See ``Provider``."""
        from harness.onhost.build import optimisation_for

        builder, tree, snapshot, config = self._host_build(what, progress)
        optimisation = "-O0" if instrumentation.covered else optimisation_for(operations)
        return builder.build(tree, snapshot, config, optimisation, instrumentation)

    @contextmanager
    def host_variations(
        self, what: KernelRequest, progress: Progress
    ) -> Iterator[ProgramVariations]:
        """See ``Provider``."""
        builder, tree, snapshot, config = self._host_build(what, progress)
        with builder.variations(tree, snapshot, config) as variations:
            yield variations

    def _host_build(
        self, what: KernelRequest, progress: Progress
    ) -> tuple[HostBuilder, SourceTree, Snapshot, str]:
        from harness.host.workspace import note_holder
        from harness.kernel.spec import kernel_config
        from harness.onhost.build import HostBuilder
        from harness.sanitizers import NONE
        from harness.source.treelocks import being_read

        host, tree = self.host, self._tree(what.source)
        waiting = note_holder(progress.note, "is using the same tree")
        with being_read(tree, host.workspace, waiting):
            snapshot = tree.snapshot(what.change)
        parts = [part for each in SUBSYSTEMS if (part := each.on_host) is not None]
        builder = HostBuilder(host.workspace, host.runner, progress, parts, host.sandboxed)
        return builder, tree, snapshot, kernel_config(NONE, what.kernconf, what.options).text

    def specification(self, subsystem: Subsystem, what: KernelRequest, asked: str) -> Specification:
        """See ``Provider``."""
        return self._specifications(subsystem).of(what, asked)

    def code(self, subsystem: Subsystem, what: KernelRequest, asked: str | None) -> KernelCode:
        """See ``Provider``: without ``--spec``, as it is, or as it is without its changes."""
        specifications = self._specifications(subsystem)
        snapshot, facts = specifications.own_facts(what)
        guest = f"FreeBSD {snapshot.release} {snapshot.label}"
        if asked is None:
            return KernelCode(guest, facts, (facts.assumed or "its own source",))
        values, where = specifications.facts(what, asked)
        return KernelCode(guest, Facts(values), (f"{asked}: {where}",))

    def history(self, what: KernelRequest) -> SourceTree:
        """See ``Provider``."""
        tree = self.host.open_tree(what.source)
        if not tree.versioned:
            raise UsageError(
                f"{what.source} is a plain directory, so it has no history to search",
                remedy="name a git clone with --source",
            )
        return tree

    def world_tree(self, what: KernelRequest) -> SourceTree:
        """See ``Provider``."""
        return self.host.open_tree(what.source)

    def revisions(
        self,
        tree: SourceTree,
        what: KernelRequest,
        sanitizers: Sanitizers,
        ends: Sequence[str],
        *,
        modules: Sequence[str] = (),
    ) -> Revisions:
        """See ``Provider``: also of a repository that holds the built-in guest's sources."""
        from harness.provide.revisions import revisions_of

        return revisions_of(self.host, tree, what, sanitizers, ends, modules=modules)

    def _specifications(self, subsystem: Subsystem) -> Specifications:
        return replace(self.host.specifications(subsystem), open_tree=self._tree)

    def _tree(self, source: str) -> SourceTree:
        """Open a tree whose snapshots are reused, so that the checked code is the built one."""
        if source not in self._read:
            self._read[source] = replace(self.host.open_tree(source), taken={})
        return self._read[source]
