"""What a part of the kernel is to the harness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from harness.source.knowledge import CodeReader, Facts

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelIdentity
    from harness.mutation.mutant import Mutant
    from harness.outcome import Expectation


class Subsystem(CodeReader, Protocol):
    """A part of the kernel: reads its facts of a tree, and knows what follows from them."""

    @property
    def mutants(self) -> Mapping[str, Mutant]:
        """The changes of its code that have a name."""

    def of_built_in(self, mutant: str | None) -> Facts:
        """The facts of the built-in guest, with that mutant or none."""

    def expected(self, identity: KernelIdentity, topology: Topology) -> Expectation | None:
        """What a kernel should come to on a guest with that topology; None if this part of the
        kernel has no say in it.
        """
