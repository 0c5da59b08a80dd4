"""What a failed test's report has of its guest: verdict, frames and console."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from harness.console.excerpt import excerpt
from harness.printable import printable_text
from harness.results.record import backtrace_lines
from harness.runs.sessionfailure import GuestFailed

if TYPE_CHECKING:
    from harness.plugin.guest import SharedGuest

_MOST_CAUSES = 16


@dataclass(frozen=True, slots=True)
class GuestReportPart:
    """A section of a test's report, and property of its JUnit XML.

    Args:
        title: the section's title.
        key: the property's name.
        text: both's content.
    """

    title: str
    key: str
    text: str


def failure_in(error: BaseException | None) -> GuestFailed | None:
    """Return the guest's failure that an exception is, or that caused it."""
    for _ in range(_MOST_CAUSES):
        if error is None or isinstance(error, GuestFailed):
            return error
        error = error.__cause__ or error.__context__
    return None


def report_parts(guest: SharedGuest, failure: GuestFailed | None) -> list[GuestReportPart]:
    """Return what a report has of a guest, which failed, or in which a test failed."""
    found = _of_failure(failure) if failure else _of_running(guest)
    return [
        GuestReportPart(title, f"harness_{title.rpartition(' ')[2]}", printable_text(text))
        for title, text in found
        if text
    ]


def _of_running(guest: SharedGuest) -> Iterator[tuple[str, str]]:
    yield "guest", f"{guest.variant.id} ({guest.kernel})"
    if guest.console_log is not None:
        yield "guest console", "\n".join(excerpt(guest.console_log, None))


def _of_failure(failure: GuestFailed) -> Iterator[tuple[str, str]]:
    cell, verdict = failure.cell, failure.verdict
    kernel = f", {cell.kernel.label}" if cell.kernel else ""
    yield "guest", f"{cell.name} ({cell.guest}{kernel})"
    yield "guest verdict", f"{verdict.outcome}: {verdict.title}"
    yield "guest frames", "\n".join(backtrace_lines([asdict(each) for each in failure.frames]))
    yield "guest console", "\n".join(failure.console)
    yield "guest record", str(failure.directory)
