"""What a bisection is handed to build and test revisions with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from harness.bisect.evidence import Kind
    from harness.host.progress import Progress


@dataclass(frozen=True, slots=True)
class Built:
    """A kernel that can be tested.

    Args:
        digest: of its code and data: equal digests mean equal kernels, wherever they come from.
        seconds: that the build took.
        reads: the sources that the compilers read, by their paths in the tree; None if unknown.
    """

    digest: str
    seconds: float = 0.0
    reads: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What one test came to; see ``Observation``."""

    kind: Kind
    titles: tuple[str, ...] = ()
    outcome: str = ""
    seconds: float = 0.0
    error: str = ""


class Tester(Protocol):
    """Builds and tests revisions. A ``build`` and several ``test`` may run at once, in threads."""

    def build(self, commit: str, progress: Progress) -> Built:
        """The kernel of a revision, from a cache where it is there.

        Raises:
            BuildError: the revision does not build.
            UsageError: it cannot be built as it was asked for, such as with an option that it
                does not know.
            InfraError: the host is at fault.
        """
        ...

    def test(self, commit: str, cell: str, progress: Progress) -> Trial:
        """Test the kernel of a revision once, after ``build``; the host's failures are a Trial.

        Args:
            commit: the revision.
            cell: a name for this test, unique in the bisection.
            progress: told of stages.
        """
        ...

    def close(self) -> None:
        """End what runs, and start nothing more."""
        ...
