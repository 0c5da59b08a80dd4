"""The view of a run: progress, notes and warnings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from harness.host.progress import Progress, Recorded

if TYPE_CHECKING:
    from harness.bisect.evidence import Mark, RevisionTest
    from harness.bisect.run import Show
    from harness.bisect.search import Outlook
    from harness.boot.listen import Terminal
    from harness.debug.plan import PanicDebugger


class Rows(Protocol):
    """A progress for each kernel and each cell."""

    def row(self, name: str) -> Progress:
        """Return the progress called ``name``."""
        ...

    def done(self, name: str, outcome: str, *, good: bool) -> None:
        """The row has ended, with its outcome in words."""
        ...

    def failed(self, name: str, error: BaseException) -> None:
        """The row has ended with an error or a signal, which is reported elsewhere."""
        ...


@contextlib.contextmanager
def shown_row(rows: Rows, name: str) -> Iterator[Progress]:
    """Yield the progress of a row, which an error or a signal within the context ends."""
    progress = rows.row(name)
    try:
        yield progress
    except BaseException as error:
        rows.failed(name, error)
        raise


class View(Protocol):
    """Shows a run, its notes and warnings."""

    def rows(self) -> AbstractContextManager[Rows]:
        """Show kernels and cells while the context lasts."""
        ...

    def bisection(self, subjects: Mapping[str, str]) -> AbstractContextManager[Show]:
        """Show a bisection while the context lasts.

        Args:
            subjects: the first lines of the revisions' messages.
        """
        ...

    def terminal(self, rows: Rows) -> Terminal | None:
        """Return a terminal for the guest's console; None if the user wants none.

        Args:
            rows: the progress that is shown until then.
        """
        ...

    def debugger(self, rows: Rows) -> PanicDebugger | None:
        """Return what shows gdb to the user where a panic begins; None: gdb's output is recorded.

        Args:
            rows: the progress that is shown until then.
        """
        ...

    def note(self, line: str) -> None:
        """Show a note on a line of its own."""
        ...

    def warn(self, message: str) -> None:
        """Show a warning; the run continues."""
        ...


@dataclass(frozen=True, slots=True)
class Unseen:
    """A view that shows nothing and keeps notes and warnings.

    Attributes:
        notes: all notes, in order.
        warnings: all warnings, in order.
    """

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def rows(self) -> AbstractContextManager[Rows]:
        """See ``View``."""
        return contextlib.nullcontext(_UnseenRows(self.notes))

    def bisection(self, subjects: Mapping[str, str]) -> AbstractContextManager[Show]:
        """See ``View``."""
        return contextlib.nullcontext(_UnseenBisection(self.notes))

    def terminal(self, rows: Rows) -> None:
        """See ``View``."""

    def debugger(self, rows: Rows) -> None:
        """See ``View``."""

    def note(self, line: str) -> None:
        """See ``View``."""
        self.notes.append(line)

    def warn(self, message: str) -> None:
        """See ``View``."""
        self.warnings.append(message)


@dataclass(frozen=True, slots=True)
class _UnseenRows:
    """See ``Rows``."""

    notes: list[str]

    def row(self, name: str) -> Progress:
        return _noting(self.notes)

    def done(self, name: str, outcome: str, *, good: bool) -> None:
        pass

    def failed(self, name: str, error: BaseException) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _UnseenBisection:
    """See ``harness.bisect.run.Show``."""

    notes: list[str]

    def building(self, commit: str) -> Progress:
        return _noting(self.notes)

    def built(self, commit: str, problem: str) -> None:
        pass

    def testing(self, commit: str, cell: str) -> Progress:
        return _noting(self.notes)

    def tested(self, one: RevisionTest, mark: Mark) -> None:
        pass

    def ahead(self, outlook: Outlook, seconds: float) -> None:
        pass


def _noting(notes: list[str]) -> Progress:
    progress = Recorded()
    progress.notes = notes
    return progress
