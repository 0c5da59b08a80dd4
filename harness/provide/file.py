"""Provides an existing kernel file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from harness.errors import UsageError
from harness.host.sealedstore import DamageError
from harness.image.media import BootMethod
from harness.kernel.artifact import KERNEL, KernelArtifact, KernelCache, KernelIdentity
from harness.onhost.instrumentation import PLAIN, Instrumentation
from harness.sanitizers import NONE, Sanitizers

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from harness.check.subject import Specification
    from harness.host.progress import Progress
    from harness.host.workspace import Workspace
    from harness.mutation.mutant import Mutant
    from harness.onhost.variations import ProgramVariations
    from harness.provide.provider import KernelCode
    from harness.provide.revisions import Revisions
    from harness.source.request import KernelRequest
    from harness.source.tree import SourceTree
    from harness.subsystems.subsystem import Subsystem


@dataclass(frozen=True, slots=True)
class FileProvider:
    """Provides a kernel file; see ``Provider``.

    Args:
        workspace: holds the cache of loaders.
        file: the kernel.
    """

    workspace: Workspace
    file: Path

    @property
    def title(self) -> str:
        """See ``Provider``."""
        return f"the kernel file {self.file}"

    @property
    def boot_methods(self) -> tuple[BootMethod, ...]:
        """See ``Provider``."""
        return tuple(BootMethod)

    @property
    def subsystems(self) -> tuple[Subsystem, ...]:
        """See ``Provider``: none, as its source is unknown."""
        return ()

    @property
    def mutants(self) -> Mapping[str, Mutant]:
        """See ``Provider``."""
        return MappingProxyType({})

    def pair(self, what: KernelRequest) -> None:
        """See ``Provider``."""
        del what

    def host_program(
        self, what: KernelRequest, progress: Progress, operations: int,
        instrumentation: Instrumentation = PLAIN,
    ) -> None:  # fmt: skip
        """See ``Provider``: always None."""
        del what, progress, operations, instrumentation

    def host_variations(
        self, what: KernelRequest, progress: Progress
    ) -> AbstractContextManager[ProgramVariations]:
        """See ``Provider``: there are none."""
        del what, progress
        raise UsageError(
            "a kernel file is not compiled as a host program",
            remedy="name a FreeBSD tree with --source",
        )

    def specification(self, subsystem: Subsystem, what: KernelRequest, asked: str) -> Specification:
        """See ``Provider``."""
        del subsystem, what, asked
        self._refuse()

    def code(self, subsystem: Subsystem, what: KernelRequest, asked: str | None) -> KernelCode:
        """See ``Provider``."""
        del subsystem, what, asked
        self._refuse()

    def history(self, what: KernelRequest) -> SourceTree:
        """See ``Provider``."""
        del what
        self._refuse()

    def world_tree(self, what: KernelRequest) -> NoReturn:
        """See ``Provider``."""
        raise UsageError(
            f"{what.kernel} is a kernel file, without a tree to build a world from",
            remedy="name a world that is built already: --world NAME; harness image ls lists them",
        )

    def revisions(
        self,
        tree: SourceTree,
        what: KernelRequest,
        sanitizers: Sanitizers,
        ends: Sequence[str],
        *,
        modules: Sequence[str] = (),
    ) -> Revisions:
        """See ``Provider``."""
        del tree, what, sanitizers, ends, modules
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UsageError(
            f"the source of {self.file} is not known",
            remedy="name the tree that it was built from with --source",
        )

    def kernel(
        self,
        what: KernelRequest,
        sanitizers: Sanitizers,
        progress: Progress,
        *,
        modules: Sequence[str] = (),
    ) -> KernelArtifact:
        """See ``Provider``.

        The newest cached loader starts it, as any release's loader starts any release's kernel.
        Without a loader, it can only be started directly. A file of the cache has its identity
        there.
        """
        del what, progress, modules
        known = self._of_cache()
        if known is not None and sanitizers in (NONE, known.identity.sanitizer):
            return known
        from harness.kernel.elf import kernel_facts
        from harness.verification import banners_of

        kernel = self.file
        facts = kernel_facts(kernel)
        found, banner = facts.sanitizers, next(banners_of(facts.version), None)
        if sanitizers not in (NONE, found):
            raise UsageError(
                f"{kernel} was built with {found}, not {sanitizers}",
                remedy=f"leave out {sanitizers.flags}, or a --vm that has it: the kernel file "
                "determines the sanitizers",
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

    def _of_cache(self) -> KernelArtifact | None:
        """Return the cached kernel of which the file is part; None for other files.

        Raises:
            DamageError: the file is in the cache, and differs from what was stored.
        """
        kernel = self.file.resolve()
        if not kernel.parent.is_relative_to(self.workspace.cache.resolve() / "kernels"):
            return None
        damage: list[str] = []
        found = KernelCache(self.workspace).find(kernel.parent.name, damage.append)
        if damage:
            raise DamageError(
                f"{self.file} differs from what was built: {damage[0]}",
                remedy="build it again from its tree: harness build --source TREE",
            )
        return found if found is not None and found.kernel.resolve() == kernel else None
