"""Provides the kernel that the user names: from a tree, the built-in guest, or a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.loglimits import USUAL_LIMITS, LogLimits
from harness.provide.sources import BUILT_IN

if TYPE_CHECKING:
    from harness.host.clock import Clock
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.host.workspace import Workspace
    from harness.kernel.artifact import KernelArtifact
    from harness.provide.provider import Provider
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest
    from harness.source.tree import SourceTree
    from harness.subsystems.specifications import Specifications
    from harness.subsystems.subsystem import Subsystem


@dataclass(frozen=True, slots=True)
class Kernels:
    """Provides kernels, cached or built.

    Args:
        workspace: holds the caches.
        runner: starts compilers.
        clock: see ``Builder``.
        trusted: source trees of other users that may be read.
        sandboxed: whether FreeBSD trees are built in a sandbox.
        logs: see ``Builder``.
        note: called with a message if another process holds a tree's lock.
        clean: see ``Builder``.
        given: provides all kernels; None: that of their origin.
    """

    workspace: Workspace
    runner: Runner
    clock: Clock
    trusted: Sequence[Path] = ()
    sandboxed: bool = True
    logs: LogLimits = USUAL_LIMITS
    note: Callable[[str], None] = lambda _: None
    clean: bool = False
    given: Provider | None = None

    def provider(self, what: KernelRequest) -> Provider:
        """Return the provider of that kernel."""
        if self.given is not None:
            return self.given
        if what.kernel is not None:
            from harness.provide.file import FileProvider

            return FileProvider(self.workspace, what.kernel)
        if what.source == BUILT_IN:
            from harness.provide.embedded import BuiltInProvider

            return BuiltInProvider(self.workspace, self.runner)
        from harness.provide.tree import TreeProvider

        return TreeProvider(self)

    def provide(
        self,
        what: KernelRequest,
        sanitizers: Sanitizers,
        progress: Progress,
        *,
        modules: Sequence[str] = (),
    ) -> KernelArtifact:
        """See ``Provider.kernel``; a kernel that is damaged later can be rebuilt."""
        kernel = self.provider(what).kernel(what, sanitizers, progress, modules=modules)
        if what.kernel is not None:
            return kernel
        return replace(kernel, remake=partial(self.provide, what, sanitizers, modules=modules))

    def open_tree(self, source: str) -> SourceTree:
        """Return the tree at a directory or URL; raises as ``opentree.open_tree``."""
        from harness.source.opentree import open_tree
        from harness.subsystems.table import KNOWLEDGE

        return open_tree(source, self.workspace, self.runner, self.trusted, KNOWLEDGE)

    def specifications(self, subsystem: Subsystem) -> Specifications:
        """Finds the specifications of trees' kernels."""
        from harness.host.workspace import note_holder
        from harness.subsystems.specifications import Specifications

        return Specifications(
            subsystem, self.open_tree, self.workspace,
            note_holder(self.note, "is using the same tree"),
        )  # fmt: skip
