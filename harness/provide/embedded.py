"""Kernels of the built-in guest, cached or built from ``images/embedded``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NoReturn

from harness.errors import UsageError, given_with
from harness.image.embedded import CommitSide, EmbeddedBuild, build_embedded, embedded_key
from harness.image.media import BootMethod
from harness.kernel.artifact import (
    KernelArtifact,
    KernelCache,
    KernelIdentity,
    rebuilding,
)
from harness.onhost.instrumentation import PLAIN, Instrumentation
from harness.provide.provider import KernelCode
from harness.provide.sources import BUILT_IN, BUILT_IN_TITLE
from harness.sanitizers import KASAN, NONE, Sanitizers
from harness.source.change import Change
from harness.source.codefacts import Facts
from harness.source.request import BEFORE_MUTANT, KernelRequest
from harness.subsystems.specifications import AS_BUILT, AUTO
from harness.subsystems.table import SUBSYSTEMS, facts_of_built_in, find_mutant

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from harness.check.subject import Specification
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.host.workspace import Workspace
    from harness.mutation.mutant import Mutant
    from harness.onhost.variations import ProgramVariations
    from harness.provide.revisions import Revisions
    from harness.source.tree import SourceTree
    from harness.subsystems.subsystem import Subsystem

GUEST: Final = "built-in guest (not FreeBSD)"


@dataclass(frozen=True, slots=True)
class BuiltInProvider:
    """Provides the built-in guest; see ``Provider``.

    Args:
        workspace: the cache.
        runner: starts the compiler.
    """

    workspace: Workspace
    runner: Runner

    @property
    def title(self) -> str:
        """See ``Provider``."""
        return BUILT_IN_TITLE

    @property
    def boot_methods(self) -> tuple[BootMethod, ...]:
        """See ``Provider``: the direct start only."""
        return (BootMethod.DIRECT,)

    @property
    def subsystems(self) -> tuple[Subsystem, ...]:
        """See ``Provider``."""
        return tuple(subsystem for subsystem in SUBSYSTEMS if subsystem.in_built_in)

    @property
    def mutants(self) -> Mapping[str, Mutant]:
        """See ``Provider``."""
        return MappingProxyType({BEFORE_MUTANT: find_mutant(BEFORE_MUTANT)})

    def pair(self, what: KernelRequest) -> tuple[KernelRequest, KernelRequest]:
        """See ``Provider``."""
        return replace(what, change=Change(mutant=BEFORE_MUTANT)), what

    def kernel(
        self,
        what: KernelRequest,
        sanitizers: Sanitizers,
        progress: Progress,
        *,
        modules: Sequence[str] = (),
    ) -> KernelArtifact:
        """See ``Provider``; the built-in kernel contains the check module."""
        del modules
        build = EmbeddedBuild(variant_of(what), sanitizers)
        label = f"built-in, {build.variant} the commit"
        return built_in_kernel(build, label, self.workspace, self.runner, progress)

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
            "the built-in guest is not compiled as a host program",
            remedy="name a FreeBSD tree with --source",
        )

    def specification(self, subsystem: Subsystem, what: KernelRequest, asked: str) -> Specification:
        """See ``Provider``."""
        values, why = _values(subsystem, what, asked)
        return replace(subsystem.held_to(values), why=why, asked=asked)

    def code(self, subsystem: Subsystem, what: KernelRequest, asked: str | None) -> KernelCode:
        """See ``Provider``."""
        variant_of(what)  # which tells what it does not have
        values, where = _values(subsystem, what, asked or AS_BUILT)
        why = (f"{where}; it takes the reserve at boot with any sanitizer or none",)
        return KernelCode(GUEST, Facts(values), why, is_freebsd=False)

    def history(self, what: KernelRequest) -> SourceTree:
        """See ``Provider``."""
        del what
        self._refuse_history()

    def world_tree(self, what: KernelRequest) -> NoReturn:
        """See ``Provider``."""
        del what
        raise UsageError(
            "the built-in guest is not FreeBSD, and has no userland",
            remedy="name a FreeBSD tree: --source TREE",
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
        self._refuse_history()

    def _refuse_history(self) -> NoReturn:
        raise UsageError(
            "the harness's own built-in guest has no history",
            remedy="name a git repository with its sources: --source DIR",
        )


def control_kernels(
    workspace: Workspace, runner: Runner, progress: Progress
) -> Iterator[KernelArtifact]:
    """Yield kernels that boot on every working host, to compare with one that fails.

    Raises as ``Provider.kernel``.
    """
    provider = BuiltInProvider(workspace, runner)
    for sanitizers in (NONE, Sanitizers({KASAN})):
        yield provider.kernel(KernelRequest(BUILT_IN), sanitizers, progress)


def built_in_kernel(
    build: EmbeddedBuild,
    label: str,
    workspace: Workspace,
    runner: Runner,
    progress: Progress,
    commit: str | None = None,
    sources: Path | None = None,
) -> KernelArtifact:
    """Return a kernel of the built-in guest, cached or built.

    Args:
        build: the build's options.
        label: the revision and its changes, for reports.
        workspace: holds the cache.
        runner: starts the compiler.
        progress: shows the build.
        commit: the revision of ``sources``.
        sources: see ``embedded_key``.

    Raises:
        BuildError: it does not compile.
        InfraError: no compiler is installed.
    """
    cache = KernelCache(workspace)
    key = embedded_key(build, sources)[:40]
    identity = _identity(build, key, label, commit)
    found = cache.find(key, rebuilding(progress.note))
    if found is None:
        progress.stage("kernel")
        with workspace.scratch("embedded") as directory:
            kernel = build_embedded(build, runner, directory, sources)
            found = cache.store(identity, {"kernel": kernel})
    return replace(found, identity=replace(identity, files=found.identity.files))


def _identity(build: EmbeddedBuild, key: str, label: str, commit: str | None) -> KernelIdentity:
    """Return the inputs of a kernel of the built-in guest."""
    mutant = BEFORE_MUTANT if build.variant is CommitSide.BEFORE else None
    return KernelIdentity(
        key=key,
        source=BUILT_IN,
        label=label,
        commit=commit,
        tree=key,
        dirty=False,
        patch=None,
        mutant=mutant,
        release="embedded",
        kernconf=build.ident,
        sanitizer=build.sanitizers,
        compiler="",
        facts=facts_of_built_in(mutant),
        is_freebsd=False,
    )


def _values(
    subsystem: Subsystem, what: KernelRequest, asked: str
) -> tuple[Mapping[str, bool], str]:
    """Return the facts of its specification, and their origin."""
    if asked == AUTO:
        return subsystem.of_built_in(None).values, "the built-in guest is made after 13.x"
    if asked == AS_BUILT:
        return subsystem.of_built_in(what.change.mutant).values, "its own source"
    with given_with("--spec"):
        return subsystem.variant(asked), "you named it"


def variant_of(what: KernelRequest) -> CommitSide:
    """Return the side of the commit on which a requested built-in guest is.

    Raises:
        UsageError: it does not have what is asked.
    """
    change = what.change
    foreign = [option for option in change.options if option != "--mutant"]
    foreign += ["--kernconf"] if what.kernconf else []
    foreign += ["--option"] if what.options else []
    if foreign:
        raise UsageError(
            "the built-in guest has no revisions, patches, configurations or kernel options",
            remedy=f"leave {' and '.join(foreign)} out, or name a FreeBSD tree with --source",
        )
    if change.mutant not in (None, BEFORE_MUTANT):
        raise UsageError(
            f"the built-in guest has no mutant {change.mutant!r}",
            remedy=f"it has one: --mutant {BEFORE_MUTANT}",
        )
    return CommitSide.AFTER if change.mutant is None else CommitSide.BEFORE
