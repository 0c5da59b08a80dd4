"""From what the user names (a tree, the built-in guest, a file) to a kernel that boots."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import UsageError
from harness.host.clock import Clock
from harness.host.process import Runner
from harness.host.progress import Progress
from harness.host.workspace import Workspace
from harness.image.embedded import EmbeddedBuild, Variant, build_embedded, embedded_key
from harness.kernel.artifact import KernelArtifact, KernelCache, KernelIdentity, sanitizer_of
from harness.kernel.build import Builder
from harness.kernel.spec import Sanitizer, kernel_config
from harness.source.revision import Change
from harness.source.tree import open_tree

#: ``--source`` of the built-in guest.
EMBEDDED = "embedded"

#: The mutant whose kernel is the one before the commit; the built-in guest has it as well.
BEFORE_MUTANT = "drop-commit"


@dataclass(frozen=True, slots=True)
class What:
    """A kernel as the user names it.

    Args:
        source: a tree, a git URL, or ``embedded``.
        change: the revision and what is changed on top.
        kernconf: a configuration's name or file; None for the slim one.
        kernel: a kernel file that is there already; all else is then not looked at.
    """

    source: str
    change: Change = field(default_factory=Change)
    kernconf: str | None = None
    kernel: Path | None = None

    @property
    def is_embedded(self) -> bool:
        """Whether the built-in guest is meant."""
        return self.kernel is None and self.source == EMBEDDED


@dataclass(frozen=True, slots=True)
class Kernels:
    """Provides kernels, from caches where they are there.

    Args:
        workspace: the caches.
        runner: starts compilers.
        clock: see ``Builder``.
    """

    workspace: Workspace
    runner: Runner
    clock: Clock

    def provide(
        self, what: What, sanitizer: Sanitizer, progress: Progress, *, module: bool = False
    ) -> KernelArtifact:
        """The kernel, built if it must be; with ``module``, its check module, too.

        Raises:
            UsageError: what the user named is at fault.
            BuildError: the revision does not build.
            InfraError: the host is at fault.
        """
        if what.kernel is not None:
            return self._from_file(what.kernel, sanitizer)
        if what.is_embedded:
            return self._embedded(what, sanitizer, progress)
        tree = open_tree(what.source, self.workspace, self.runner)
        builder = Builder(self.workspace, self.runner, self.clock, progress)
        config = kernel_config(sanitizer, what.kernconf)
        return builder.build(tree, what.change, config, module=module)

    def _embedded(self, what: What, sanitizer: Sanitizer, progress: Progress) -> KernelArtifact:
        build = EmbeddedBuild(_variant(what), sanitizer)
        cache = KernelCache(self.workspace)
        key = embedded_key(build)[:40]
        found = cache.find(key)
        if found is not None:
            return found
        progress.stage("kernel")
        identity = embedded_identity(build, key, f"built-in, {build.variant} the commit")
        with self.workspace.scratch("embedded") as folder:
            return cache.store(identity, {"kernel": build_embedded(build, self.runner, folder)})

    def _from_file(self, kernel: Path, asked: Sanitizer) -> KernelArtifact:
        """A kernel file, with the newest loader of the cache: any release's starts any other's."""
        found = sanitizer_of(kernel)
        if asked not in (Sanitizer.NONE, found):
            raise UsageError(
                f"{kernel} was built with {found}, not {asked}",
                remedy="leave the sanitizer's flag out: a kernel file brings its own",
            )
        loader = KernelCache(self.workspace).newest_loader()
        if loader is None:
            raise UsageError(
                f"there is no loader yet that could start {kernel}",
                remedy="build any tree once (harness build --source TREE): its loader is kept",
            )
        digest = hashlib.sha256(kernel.read_bytes()).hexdigest()[:40]
        debug = kernel.with_name(kernel.name + ".debug")
        identity = KernelIdentity(
            key=digest,
            source=str(kernel),
            label=f"file {kernel.name}",
            commit=None,
            tree="",
            dirty=False,
            patch=None,
            mutant=None,
            release="unknown",
            kernconf="unknown",
            sanitizer=found,
            compiler="",
        )
        return KernelArtifact(
            identity, kernel.resolve(), debug.resolve() if debug.is_file() else kernel, loader
        )


def embedded_identity(
    build: EmbeddedBuild, key: str, label: str, commit: str | None = None
) -> KernelIdentity:
    """What a kernel of the built-in guest was made from."""
    before, sanitizer = build.variant is Variant.BEFORE, build.sanitizer
    return KernelIdentity(
        key=key,
        source=EMBEDDED,
        label=label,
        commit=commit,
        tree=key,
        dirty=False,
        patch=None,
        mutant=BEFORE_MUTANT if before else None,
        release="embedded",
        kernconf="EMBEDDED" + ("" if sanitizer is Sanitizer.NONE else f"-{sanitizer.upper()}"),
        sanitizer=sanitizer,
        compiler="",
        reserve_fallback=not before,
        advances_first=True,
        reserve_at_boot=True,
    )


def _variant(what: What) -> Variant:
    change = what.change
    if change.revision or change.patch or what.kernconf:
        raise UsageError(
            "the built-in guest has no revisions, patches or configurations",
            remedy="leave --rev, --patch and --kernconf out, or name a FreeBSD tree with --source",
        )
    if change.mutant not in (None, BEFORE_MUTANT):
        raise UsageError(
            f"the built-in guest has no mutant {change.mutant!r}",
            remedy=f"it has one: {BEFORE_MUTANT}",
        )
    return Variant.AFTER if change.mutant is None else Variant.BEFORE


def pair_of(what: What, before: Change | None, after: Change | None) -> tuple[What, What]:
    """The two sides of a comparison."""
    if what.is_embedded:
        return replace(what, change=Change(mutant=BEFORE_MUTANT)), what
    return replace(what, change=before or Change()), replace(what, change=after or Change())


def guest_in_words(identity: KernelIdentity) -> str:
    """What a kernel is, for every line and record, so that no guest is taken for another."""
    if identity.source == EMBEDDED:
        return "built-in guest (not FreeBSD)"
    return f"FreeBSD {identity.release}"
