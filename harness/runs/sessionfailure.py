"""How the guest of a session fails, and a panic that its user expects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from harness.outcome import Ending, Outcome
from harness.shell.shell import ShellSilentError

if TYPE_CHECKING:
    from harness.boot.evaluation import Booted
    from harness.console.symbolize import SymbolizedFrame
    from harness.results.record import Cell
    from harness.shell.shell import Completed, ShellError
    from harness.verdict import Verdict

PANICS: Final = (Outcome.PANIC, Outcome.TRAP, Outcome.KASAN, Outcome.KMSAN)
"""Outcomes that a kernel's own failure has."""


class GuestFailed(Exception):  # noqa: N818 - a verdict on the kernel, not an error of the caller
    """The guest failed: it panicked, hangs, or ended.

    Args:
        cell: the verdict and what led to it, as in the record.
        directory: the directory of the record.
    """

    def __init__(self, cell: Cell, verdict: Verdict, directory: Path) -> None:
        super().__init__(f"{verdict.outcome}: {verdict.title} ({cell.name}, {cell.guest})")
        self.cell = cell
        self.verdict = verdict
        self.directory = directory

    @property
    def frames(self) -> Sequence[SymbolizedFrame]:
        """The backtrace, with functions, files and lines."""
        return self.verdict.symbolized

    @property
    def console(self) -> tuple[str, ...]:
        """The lines of the console around the failure, escaped."""
        return self.cell.console


class PanicMissingError(AssertionError):
    """A guest did not panic where it was expected to, or its panic has another title."""


@dataclass(slots=True)
class ExpectedPanic:
    """The panic of ``GuestSession.panic_expected``; ``failure`` is None until it has come."""

    failure: GuestFailed | None = None


class Panicking(Protocol):
    """What can be expected to panic."""

    panics: bool

    def run(self, command: str) -> Completed:
        """Run a command line of sh(1)."""
        ...


@contextmanager
def expect_panic(guest: Panicking, match: str) -> Iterator[ExpectedPanic]:
    """Expect that a guest's kernel fails in the context; see ``GuestSession.panic_expected``."""
    expected, guest.panics = ExpectedPanic(), True
    try:
        yield expected
        guest.run("true")  # a panic that has begun ends it
    except GuestFailed as failed:
        require_panic(failed, match)
        expected.failure = failed
    else:
        raise PanicMissingError("the guest did not panic")
    finally:
        guest.panics = False


def session_verdict(booted: Booted, lost: ShellError | None, *, closed: bool) -> Verdict:
    """Return the verdict on a guest that was to run until it is closed.

    Args:
        booted: its boot.
        lost: why its shell was lost; None if it was not.
        closed: whether it ran until it was closed.
    """
    verdict = booted.verdict
    if closed or verdict.outcome is not Outcome.BOOTED:
        return verdict
    if booted.ending is Ending.RESET:
        return replace(verdict, outcome=Outcome.RESET, title="reset during a session")
    if isinstance(lost, ShellSilentError):
        title = "silent during a session"
        return replace(verdict, outcome=Outcome.HANG, title=title, message=str(lost))
    gone = lost is None or booted.ending is Ending.EXITED
    title = "ended during a session" if gone else f"no shell: {lost}"
    return replace(verdict, outcome=Outcome.ENDED, title=title)


def require_panic(failed: GuestFailed, match: str) -> None:
    """Check that a guest failed by its kernel's own failure, and with that title.

    Raises:
        PanicMissingError: it did not.
    """
    verdict = failed.verdict
    if verdict.outcome not in PANICS:
        raise PanicMissingError(f"the guest did not panic: {failed}") from failed
    if re.search(match, verdict.title) is None:
        raise PanicMissingError(
            f"the guest's panic is not the expected one: {match!r} is not in {verdict.title!r}"
        ) from failed
