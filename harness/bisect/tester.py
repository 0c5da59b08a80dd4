"""The protocol with which a bisection builds and tests revisions."""

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
        digest: digest of its code and data; equal digests mean equal kernels.
        seconds: duration of the build.
        reads: paths in the tree of the sources that compilers read; None if unknown.
    """

    digest: str
    seconds: float = 0.0
    reads: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """Result of one test; see ``RevisionTest``."""

    kind: Kind
    titles: tuple[str, ...] = ()
    outcome: str = ""
    seconds: float = 0.0
    error: str = ""


class Tester(Protocol):
    """Builds and tests revisions; ``build`` and several ``test`` can run at once, in threads."""

    def build(self, commit: str, progress: Progress) -> Built:
        """Return a revision's kernel, built or from the cache.

        Raises:
            BuildError: the revision does not build.
            UsageError: it cannot be built with the given options, such as an option that is
                unknown to it.
            InfraError: the host is at fault.
        """
        ...

    def test(self, commit: str, cell: str, progress: Progress) -> Trial:
        """Test a revision's kernel once, after ``build``; host failures are returned as a Trial.

        Args:
            commit: the revision.
            cell: unique name of this test.
            progress: shows the stages.
        """
        ...

    def close(self) -> None:
        """Stop what runs, and start nothing more."""
        ...
