"""From what the user names (a tree, the built-in guest, a file) to a kernel that boots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.host.loglimits import USUAL_LIMITS, LogLimits
from harness.host.sealed import DamageError
from harness.kernel.artifact import (
    KERNEL,
    KernelArtifact,
    KernelCache,
    KernelIdentity,
)
from harness.kernel.spec import kernel_config
from harness.sanitizers import NONE, Sanitizers

if TYPE_CHECKING:
    from harness.host.clock import Clock
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.host.workspace import Workspace
    from harness.source.what import What


@dataclass(frozen=True, slots=True)
class Kernels:
    """Provides kernels, from caches where they are there.

    Args:
        workspace: the caches.
        runner: starts compilers.
        clock: see ``Builder``.
        trusted: source trees that are read although another user owns them.
        sandboxed: whether FreeBSD trees are built in a sandbox.
        logs: see ``Builder``.
    """

    workspace: Workspace
    runner: Runner
    clock: Clock
    trusted: Sequence[Path] = ()
    sandboxed: bool = True
    logs: LogLimits = USUAL_LIMITS

    def provide(
        self, what: What, sanitizers: Sanitizers, progress: Progress, *, module: bool = False
    ) -> KernelArtifact:
        """The kernel, built if it must be; with ``module``, its check module, too.

        Raises:
            UsageError: what the user named is at fault.
            BuildError: the revision does not build.
            InfraError: the host is at fault.
        """
        if what.kernel is not None:
            return self._from_file(what.kernel, sanitizers)
        kernel = self._made(what, sanitizers, progress, module=module)
        return replace(kernel, remake=partial(self.provide, what, sanitizers, module=module))

    def _made(
        self, what: What, sanitizers: Sanitizers, progress: Progress, *, module: bool
    ) -> KernelArtifact:
        if what.is_embedded:
            from harness.provide.embedded import embedded_kernel

            return embedded_kernel(what, sanitizers, self.workspace, self.runner, progress)
        # A boot of what is built already waits for none of this.
        from harness.kernel.build import Builder
        from harness.source.tree import healed, open_tree
        from harness.subsystems.table import KNOWLEDGE

        tree = open_tree(what.source, self.workspace, self.runner, self.trusted, KNOWLEDGE)
        builder = Builder(
            self.workspace, self.runner, self.clock, progress, self.sandboxed, self.logs
        )
        config = kernel_config(sanitizers, what.kernconf)
        build = partial(builder.build, tree, what.change, config, module=module)
        return healed(tree, self.workspace, progress.note, build)

    def _from_file(self, kernel: Path, asked: Sanitizers) -> KernelArtifact:
        """A kernel file, with the newest loader of the cache: any release's starts any other's.
        Without one, it can only be started directly.

        A kernel of the cache is known already.
        """
        known = self._of_cache(kernel)
        if known is not None and asked in (NONE, known.identity.sanitizer):
            return known
        from harness.kernel.elf import kernel_facts
        from harness.verification import banners_of

        facts = kernel_facts(kernel)
        found, banner = facts.sanitizers, next(banners_of(facts.version), None)
        if asked not in (NONE, found):
            raise UsageError(
                f"{kernel} was built with {found}, not {asked}",
                remedy=f"leave out {asked.flags}, or a --vm that has it: a kernel file brings "
                "its own",
            )
        loader, loader_seal = KernelCache(self.workspace).newest_loader() or (None, None)
        seal = self.workspace.verified.seal(kernel.resolve(), KERNEL)
        debug = kernel.with_name(kernel.name + ".debug")
        identity = KernelIdentity(
            key=seal.sha256[:40],
            source=str(kernel),
            label=f"file {kernel.name}",
            commit=None,
            tree="",
            dirty=False,
            patch=None,
            mutant=None,
            release=banner.release if banner else "unknown",
            kernconf=(banner.ident if banner else "") or "unknown",
            sanitizer=found,
            compiler="",
            files=(seal, loader_seal) if loader_seal else (seal,),
        )
        return KernelArtifact(
            identity, kernel.resolve(), debug.resolve() if debug.is_file() else kernel, loader
        )

    def _of_cache(self, kernel: Path) -> KernelArtifact | None:
        """The kernel of the cache that a file is; None for any other file.

        Raises:
            DamageError: it is in the cache, and not what was stored there.
        """
        folder = kernel.resolve().parent
        if not folder.is_relative_to(self.workspace.cache.resolve() / "kernels"):
            return None
        damage: list[str] = []
        found = KernelCache(self.workspace).find(folder.name, damage.append)
        if damage:
            raise DamageError(
                f"{kernel} is not what was built: {damage[0]}",
                remedy="build it again from its tree: harness build --source TREE",
            )
        return found if found is not None and found.kernel.resolve() == kernel.resolve() else None
