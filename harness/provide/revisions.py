"""Kernels of a history's revisions: a FreeBSD tree's, or the built-in guest's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.bisect.history import FREEBSD, Relevance
from harness.errors import BuildError, UsageError
from harness.host.workspace import Workspace, make_directory
from harness.image.embedded import OWN, SHARED, SOURCE_SUFFIXES, EmbeddedBuild
from harness.provide.embedded import built_in_kernel, variant_of
from harness.provide.sources import BUILT_IN_TITLE, TREE_TITLE
from harness.source.change import Change
from harness.source.git import DamagedObjectsError
from harness.source.synthetic import combined
from harness.source.treelocks import being_read, healed
from harness.source.treeparts import KERNEL, LOADER, Part
from harness.subsystems.specifications import AUTO
from harness.subsystems.table import SUBSYSTEMS

if TYPE_CHECKING:
    from harness.check.subject import Specification
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.kernel.artifact import KernelArtifact
    from harness.provide.kernels import Kernels
    from harness.sanitizers import Sanitizers
    from harness.source.git import Repository
    from harness.source.request import KernelRequest
    from harness.source.tree import SourceTree
    from harness.subsystems.subsystem import Subsystem


class Revisions(Protocol):
    """Provides the kernels of a history."""

    @property
    def title(self) -> str:
        """See ``Provider``."""
        ...

    @property
    def relevance(self) -> Relevance:
        """The files that its kernels are made from."""
        ...

    @property
    def subsystems(self) -> tuple[Subsystem, ...]:
        """The subsystems of its kernels that can be checked."""
        ...

    def kernel(self, commit: str, progress: Progress) -> KernelArtifact:
        """Return the kernel of a revision; raises as ``Provider.kernel``."""
        ...

    def specification(self, subsystem: Subsystem, commit: str) -> Specification:
        """Return the specification of all revisions, by the form of a good one."""
        ...


@dataclass(frozen=True, slots=True)
class TreeRevisions:
    """Revisions of a FreeBSD tree.

    A revision's kernel and loader are built with the toolchain of one revision, ``base``, if
    possible: other differences between revisions would rebuild the toolchain.

    Args:
        kernels: builds them.
        tree: contains the revisions.
        what: source and configuration, and the mutant of each kernel.
        sanitizers: the kernels' sanitizers.
        base: the revision from which all else is taken.
        modules: the subsystems whose check modules are built.
    """

    kernels: Kernels
    tree: SourceTree
    what: KernelRequest
    sanitizers: Sanitizers
    base: str
    modules: Sequence[str] = ()

    @property
    def title(self) -> str:
        """See ``Revisions``."""
        return TREE_TITLE

    @property
    def relevance(self) -> Relevance:
        """See ``Revisions``."""
        return FREEBSD

    @property
    def subsystems(self) -> tuple[Subsystem, ...]:
        """See ``Revisions``."""
        return SUBSYSTEMS

    def kernel(self, commit: str, progress: Progress) -> KernelArtifact:
        """See ``Revisions``."""
        work = partial(self._kernel, commit, progress)
        found = healed(self.tree, self.kernels.workspace, progress.note, work)
        mutant = self.what.change.mutant
        label = f"{commit[:10]} +mutant {mutant}" if mutant else commit[:10]
        identity = replace(found.identity, commit=commit, label=label)
        return replace(found, identity=identity, remake=partial(self.kernel, commit))

    def specification(self, subsystem: Subsystem, commit: str) -> Specification:
        """See ``Revisions``."""
        return self.kernels.specifications(subsystem).of_revision(self.tree, commit)

    def _kernel(self, commit: str, progress: Progress) -> KernelArtifact:
        repository = self.tree.repository
        paths = sorted(KERNEL.taken | LOADER.taken)
        made = combined(repository, commit, self.base, paths)
        try:
            return self._provide(made, progress)
        except (BuildError, UsageError):
            if repository.missing([made]):
                raise DamagedObjectsError(f"{commit[:12]} was rebuilt meanwhile") from None
            if _same_rest(repository, commit, self.base, paths):
                raise
            progress.note(f"{commit[:12]} may need its own toolchain")
            return self._provide(commit, progress)

    def _provide(self, commit: str, progress: Progress) -> KernelArtifact:
        what = replace(self.what, change=Change(commit, mutant=self.what.change.mutant))
        return self.kernels.provide(what, self.sanitizers, progress, modules=self.modules)


def warm_base(tree: SourceTree, workspace: Workspace, candidates: Sequence[str]) -> str:
    """Return the first revision whose toolchain is already built; else the first.

    Args:
        tree: contains them.
        workspace: holds the tree's lock.
        candidates: full hashes.
    """
    stamps = tree.home.glob("obj-*/toolchain.done")
    built = {stamp.read_text("utf-8", "replace") for stamp in stamps}
    if built:
        with being_read(tree, workspace, lambda _: None):
            for commit in candidates:
                if tree.snapshot(Change(commit)).toolchain in built:
                    return commit
    return candidates[0]


def _same_rest(repository: Repository, one: str, other: str, paths: Sequence[str]) -> bool:
    """Return whether two revisions have the same toolchain sources."""
    rest = (":!*.md", ":!UPDATING", ":!share", ":!tests", *(f":!{path}" for path in paths))
    found = repository.git("diff-tree", "-r", "--quiet", one, other, "--", ".", *rest, check=False)
    return found.returncode == 0


@dataclass(frozen=True, slots=True)
class BuiltInRevisions:
    """Revisions of a git repository with the built-in guest's sources.

    Args:
        workspace: holds scratch files and the cache.
        runner: starts compilers.
        repository: contains the revisions.
        directory: path of ``images`` in it; empty if its directories are at the top.
        build: the build's options.
    """

    workspace: Workspace
    runner: Runner
    repository: Repository
    directory: str
    build: EmbeddedBuild

    @property
    def title(self) -> str:
        """See ``Revisions``."""
        return BUILT_IN_TITLE

    @property
    def relevance(self) -> Relevance:
        """See ``Revisions``."""
        shared = (f"{directory}/{name}" for directory, names in SHARED.items() for name in names)
        taken = frozenset(map(self._path, (OWN, *shared)))
        return Relevance((Part(taken, left_out=frozenset({""})),), SOURCE_SUFFIXES)

    def _path(self, path: str) -> str:
        """Return a path of a checkout of the harness as a path in the repository."""
        return path if self.directory else path.removeprefix("images/")

    @property
    def subsystems(self) -> tuple[Subsystem, ...]:
        """See ``Revisions``."""
        return tuple(each for each in SUBSYSTEMS if each.in_built_in)

    def kernel(self, commit: str, progress: Progress) -> KernelArtifact:
        """See ``Revisions``."""
        with self.workspace.scratch("embedded") as scratch:
            progress.stage("source")
            sources = scratch / "sources"
            self._extract(commit, sources)
            found = built_in_kernel(
                self.build, f"built-in, {commit[:10]}", self.workspace, self.runner, progress,
                commit, sources,
            )  # fmt: skip
            return replace(found, remake=partial(self.kernel, commit))

    def specification(self, subsystem: Subsystem, commit: str) -> Specification:
        """See ``Revisions``."""
        del commit
        own = subsystem.of_built_in(None).values
        return replace(subsystem.held_to(own), why="the built-in guest's", asked=AUTO)

    def _extract(self, commit: str, checkout: Path) -> None:
        """Extract the sources in the layout of ``build_embedded``."""
        for directory in (OWN, *SHARED):
            make_directory(checkout / directory)
            listing = self.repository.lines(
                "ls-tree", "-z", "--full-tree", commit, "--", f"{self._path(directory)}/"
            )
            for line in listing:
                meta, path = line.split("\t", 1)
                if Path(path).suffix in SOURCE_SUFFIXES:
                    blob = self.repository.git("cat-file", "blob", meta.split(" ")[2])
                    (checkout / directory / Path(path).name).write_bytes(blob.stdout)


#: Files that identify the built-in guest's sources.
_BUILT_IN_MARKS = ("entry.S", "init_main.c", "keg.c", "kernel.ld", "plant.c")


def _built_in_directory(repository: Repository, commit: str) -> str | None:
    """Return the directory of the built-in guest's sources; None if there is none."""
    for directory in ("", "images/"):
        names = (f"{commit}:{directory}embedded/{name}\n" for name in _BUILT_IN_MARKS)
        asked = "".join(names).encode()
        answers = repository.git("cat-file", "--batch-check", stdin=asked).text
        if "missing" not in answers:
            return directory.rstrip("/")
    return None


def revisions_of(
    kernels: Kernels,
    tree: SourceTree,
    what: KernelRequest,
    sanitizers: Sanitizers,
    ends: Sequence[str],
    *,
    modules: Sequence[str] = (),
) -> Revisions:
    """Return the revisions of a FreeBSD tree, or of a repository with the built-in guest.

    Args:
        kernels: builds them.
        tree: contains the revisions.
        what: source and configuration, and the mutant of each kernel.
        sanitizers: the kernels' sanitizers.
        ends: hashes of the newest revision and of those with which the history starts.
        modules: the subsystems whose check modules are built.

    Raises:
        UsageError: the built-in guest does not have the mutant, or what else is asked.
    """
    directory = _built_in_directory(tree.repository, ends[0])
    if directory is not None:
        own = replace(what, change=Change(mutant=what.change.mutant))
        build = EmbeddedBuild(variant_of(own), sanitizers)
        return BuiltInRevisions(
            kernels.workspace, kernels.runner, tree.repository, directory, build
        )
    base = warm_base(tree, kernels.workspace, ends)
    return TreeRevisions(kernels, tree, what, sanitizers, base, modules)
