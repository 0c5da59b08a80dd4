"""From a tree, its changes and ``--spec`` to the specification that its kernel is held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.cedit.definitions import FunctionChange, changes
from harness.errors import UsageError
from harness.source.tree import being_read
from harness.subsystems.uma.expectation import variant_of
from harness.subsystems.uma.model.specification import AS_BUILT, AUTO, Specification
from harness.subsystems.uma.model.variants import VARIANTS, find_variant, is_variant
from harness.subsystems.uma.subsystem import UMA

if TYPE_CHECKING:
    from harness.host.workspace import Workspace
    from harness.pipeline.what import What
    from harness.source.baseline import Baseline
    from harness.source.revision import Snapshot
    from harness.source.tree import SourceTree


@dataclass(frozen=True, slots=True)
class Specifications:
    """Finds what kernels are held to.

    Args:
        open_tree: gives the source tree at a directory or URL.
        workspace: of the trees' locks.
        waiting: told who holds a tree, if somebody does.
    """

    open_tree: Callable[[str], SourceTree]
    workspace: Workspace
    waiting: Callable[[str], None]

    def of(self, what: What, asked: str = AUTO) -> Specification:
        """What a kernel is held to.

        Changed code never chooses: with ``auto`` the form below the changes does, always with the
        commit; ``as-built`` is the code's own form; else a variant is named, or a revision, whose
        form is taken as it is.

        Args:
            what: the kernel.
            asked: ``--spec``.

        Raises:
            UsageError: no such variant, revision or tree, or ``as-built`` code of no known form.
            InfraError: a clone failed for the host's or the network's reasons.
        """
        if what.is_embedded:
            return _of_embedded(what, asked)
        tree = self.open_tree(what.source)
        with being_read(tree, self.workspace, self.waiting):
            snapshot = tree.snapshot(what.change)
            return self._of_snapshot(tree, snapshot, asked)

    def snapshot(self, what: What) -> Snapshot:
        """The content of a tree, with the form of its code or of the code below its changes."""
        tree = self.open_tree(what.source)
        with being_read(tree, self.workspace, self.waiting):
            return tree.snapshot(what.change)

    def of_revision(self, tree: SourceTree, revision: str) -> Specification:
        """What a range of revisions is held to, by the form of one of them, with the commit."""
        with being_read(tree, self.workspace, self.waiting):
            return _with_commit(_read(tree, tree.repository.commit(revision)))

    def _of_snapshot(self, tree: SourceTree, snapshot: Snapshot, asked: str) -> Specification:
        below = _read(tree, snapshot.base)
        found = _changes(tree, below, snapshot)
        names = tuple(change.name for change in found)
        if asked == AUTO:
            chosen = _with_commit(below)
        elif asked == AS_BUILT:
            chosen = _as_built(tree, snapshot)
        elif is_variant(asked):
            chosen = Specification(find_variant(asked), asked, "you named it")
        else:
            below = _of_name(tree, asked)
            chosen = Specification(variant_of(below.values), asked, below.why)
        return replace(chosen, changed=names, diff="\n".join(change.diff for change in found))


def _read(tree: SourceTree, base: str) -> Baseline:
    return tree.baselines(UMA).read(base, tree.label_of(base), history=tree.versioned)


def _with_commit(below: Baseline) -> Specification:
    variant = variant_of(below.values)
    complete = replace(variant, reserve_fallback=True, domain_wait=True)
    added = ", with the commit" if complete != variant else ""
    return Specification(complete, AUTO, below.why + added)


def _as_built(tree: SourceTree, snapshot: Snapshot) -> Specification:
    reading = tree.baselines(UMA).reading(snapshot.tree)
    if reading.values is None:
        raise UsageError(
            "--spec as-built: the model knows no such form of " + ", ".join(reading.unknown),
            remedy="leave --spec out to hold the kernel to the form below its changes, or name "
            f"one of {', '.join(VARIANTS)}",
        )
    return Specification(variant_of(reading.values), AS_BUILT, "its own source")


def _of_name(tree: SourceTree, name: str) -> Baseline:
    if not tree.versioned:
        find_variant(name)  # which tells what there is
    try:
        return _read(tree, tree.repository.commit(name))
    except UsageError as error:
        raise UsageError(
            f"--spec {name} is neither a variant of the model nor a revision of {tree.location}",
            remedy=f"name one of auto, as-built, {', '.join(VARIANTS)}, or a commit",
        ) from error


def _changes(tree: SourceTree, below: Baseline, snapshot: Snapshot) -> tuple[FunctionChange, ...]:
    before, after = (tree.baselines(UMA).texts(name) for name in (below.of, snapshot.tree))
    pairs = zip(UMA.paths, before, after, strict=True)
    return tuple(change for path, old, new in pairs for change in changes(path, old, new))


def _of_embedded(what: What, asked: str) -> Specification:
    if asked == AUTO:
        return Specification(VARIANTS["13-after"], AUTO, "the built-in guest is made after 13.x")
    if asked == AS_BUILT:
        own = UMA.of_built_in(what.change.mutant).values
        return Specification(variant_of(own), AS_BUILT, "its own source")
    return Specification(find_variant(asked), asked, "you named it")
