"""From a tree, its changes and ``--spec`` to the specification that its kernel is held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from harness.cedit.definitions import FunctionChange, changes
from harness.errors import UsageError, given_with
from harness.source.treelocks import being_read

if TYPE_CHECKING:
    from harness.check.subject import Specification
    from harness.host.workspace import Workspace
    from harness.source.baseline import Baseline
    from harness.source.codefacts import Facts
    from harness.source.request import KernelRequest
    from harness.source.revision import Snapshot
    from harness.source.tree import SourceTree
    from harness.subsystems.subsystem import Subsystem

#: The form below a tree's changes, with the commit.
AUTO: Final = "auto"
#: The tree's own form, changes included.
AS_BUILT: Final = "as-built"


@dataclass(frozen=True, slots=True)
class Specifications:
    """Finds what kernels are held to.

    Args:
        subsystem: the part of the kernel.
        open_tree: gives the source tree at a directory or URL.
        workspace: of the trees' locks.
        waiting: told who holds a tree, if somebody does.
    """

    subsystem: Subsystem
    open_tree: Callable[[str], SourceTree]
    workspace: Workspace
    waiting: Callable[[str], None]

    def of(self, what: KernelRequest, asked: str = AUTO) -> Specification:
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
        tree = self.open_tree(what.source)
        with being_read(tree, self.workspace, self.waiting):
            snapshot = tree.snapshot(what.change)
            values, why, below = self._of_snapshot(tree, snapshot, asked)
            found = self._changes(tree, below, snapshot)
        return replace(
            self._held_to(values, why, asked),
            changed=tuple(change.name for change in found),
            diff="\n".join(change.diff for change in found),
        )

    def facts(self, what: KernelRequest, asked: str) -> tuple[Mapping[str, bool], str]:
        """The facts of what a kernel is held to, and where they come from; raises as ``of``."""
        tree = self.open_tree(what.source)
        with being_read(tree, self.workspace, self.waiting):
            values, why, _ = self._of_snapshot(tree, tree.snapshot(what.change), asked)
            return values, why

    def own_facts(self, what: KernelRequest) -> tuple[Snapshot, Facts]:
        """The content of a tree, and the facts of its code, or of the code below its changes."""
        tree = self.open_tree(what.source)
        with being_read(tree, self.workspace, self.waiting):
            snapshot = tree.snapshot(what.change)
            return snapshot, snapshot.facts[self.subsystem.name]

    def of_revision(self, tree: SourceTree, revision: str) -> Specification:
        """What a range of revisions is held to, by the form of one of them, with the commit."""
        with being_read(tree, self.workspace, self.waiting):
            below = self._read(tree, tree.repository.commit(revision))
            return self._held_to(*self._with_commit(below), AUTO)

    def _held_to(self, values: Mapping[str, bool], why: str, asked: str) -> Specification:
        return replace(self.subsystem.held_to(values), why=why, asked=asked)

    def _of_snapshot(
        self, tree: SourceTree, snapshot: Snapshot, asked: str
    ) -> tuple[Mapping[str, bool], str, str]:
        """The facts, where they come from, and whose text changes are shown against."""
        below = self._read(tree, snapshot.base)
        if asked == AUTO:
            return *self._with_commit(below), below.of
        if asked == AS_BUILT:
            return self._as_built(tree, snapshot), "its own source", below.of
        if asked in self.subsystem.variant_names:
            return self.subsystem.variant(asked), "you named it", below.of
        named = self._of_name(tree, asked)
        return named.values, named.why, named.of

    def _read(self, tree: SourceTree, base: str) -> Baseline:
        reader = tree.baselines(self.subsystem)
        return reader.read(base, tree.label_of(base), history=tree.versioned)

    def _with_commit(self, below: Baseline) -> tuple[Mapping[str, bool], str]:
        complete = self.subsystem.with_commit(below.values)
        added = ", with the commit" if complete != below.values else ""
        return complete, below.why + added

    def _as_built(self, tree: SourceTree, snapshot: Snapshot) -> Mapping[str, bool]:
        reading = tree.baselines(self.subsystem).reading(snapshot.tree)
        if reading.values is None:
            raise UsageError(
                "--spec as-built: the model knows no such form of " + ", ".join(reading.unknown),
                remedy="leave --spec out to hold the kernel to the form below its changes, or name "
                f"one of {', '.join(self.subsystem.variant_names)}",
            )
        return reading.values

    def _of_name(self, tree: SourceTree, name: str) -> Baseline:
        if not tree.versioned:
            with given_with("--spec"):
                self.subsystem.variant(name)  # which tells what there is
        try:
            return self._read(tree, tree.repository.commit(name))
        except UsageError as error:
            known = ", ".join((AUTO, AS_BUILT, *self.subsystem.variant_names))
            raise UsageError(
                f"--spec {name} is neither a variant of the model nor a revision of "
                f"{tree.location}",
                remedy=f"name one of {known}, or a commit",
            ) from error

    def _changes(
        self, tree: SourceTree, below: str, snapshot: Snapshot
    ) -> tuple[FunctionChange, ...]:
        texts = tree.baselines(self.subsystem).texts
        pairs = zip(self.subsystem.paths, texts(below), texts(snapshot.tree), strict=True)
        return tuple(change for path, old, new in pairs for change in changes(path, old, new))
