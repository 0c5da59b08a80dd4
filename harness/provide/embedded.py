"""Kernels of the built-in guest, from the cache or made from ``images/embedded``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.image.embedded import EmbeddedBuild, Variant, build_embedded, embedded_key
from harness.kernel.artifact import (
    KernelArtifact,
    KernelCache,
    KernelIdentity,
    rebuilding,
)
from harness.source.location import EMBEDDED
from harness.source.what import BEFORE_MUTANT, What
from harness.subsystems.table import facts_of_built_in

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.host.workspace import Workspace
    from harness.sanitizers import Sanitizers


def embedded_kernel(
    what: What, sanitizers: Sanitizers, workspace: Workspace, runner: Runner, progress: Progress
) -> KernelArtifact:
    """The built-in guest that ``what`` names, with those sanitizers.

    Raises:
        UsageError: it has no such change.
        BuildError: it does not compile.
        InfraError: no compiler on this host.
    """
    build = EmbeddedBuild(_variant(what), sanitizers)
    cache = KernelCache(workspace)
    key = embedded_key(build)[:40]
    found = cache.find(key, rebuilding(progress.note))
    if found is not None:
        return found
    progress.stage("kernel")
    identity = embedded_identity(build, key, f"built-in, {build.variant} the commit")
    with workspace.scratch("embedded") as folder:
        return cache.store(identity, {"kernel": build_embedded(build, runner, folder)})


def embedded_identity(
    build: EmbeddedBuild, key: str, label: str, commit: str | None = None
) -> KernelIdentity:
    """What a kernel of the built-in guest was made from."""
    mutant = BEFORE_MUTANT if build.variant is Variant.BEFORE else None
    return KernelIdentity(
        key=key,
        source=EMBEDDED,
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
    )


def _variant(what: What) -> Variant:
    change = what.change
    foreign = [option for option in change.options if option != "--mutant"]
    foreign += ["--kernconf"] if what.kernconf else []
    if foreign:
        raise UsageError(
            "the built-in guest has no revisions, patches or configurations",
            remedy=f"leave {' and '.join(foreign)} out, or name a FreeBSD tree with --source",
        )
    if change.mutant not in (None, BEFORE_MUTANT):
        raise UsageError(
            f"the built-in guest has no mutant {change.mutant!r}",
            remedy=f"it has one: --mutant {BEFORE_MUTANT}",
        )
    return Variant.AFTER if change.mutant is None else Variant.BEFORE
