"""Finds the known issue that a failure is an incident of, in limited time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.errors import UsageError
from harness.host.timelimit import time_limit
from harness.nightly.issues import issue_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from harness.nightly.issues import KnownIssue
    from harness.nightly.result import Slot

#: Seconds for one issue's patterns. Usual ones take microseconds.
_SECONDS: Final = 10.0


def known_issue(
    title: str, slots: Sequence[Slot], issues: Sequence[KnownIssue], today: date,
    seconds: float = _SECONDS,
) -> str:  # fmt: skip
    """Return the name of the known issue that a failure is an incident of; empty for none.

    Args:
        title: the failure's title, or the name of a test.
        slots: where it shows.
        issues: the known issues.
        today: issues that have expired by then match nothing.
        seconds: the most time for one issue.

    Raises:
        UsageError: a pattern takes too long, as one with nested repetitions can.
    """
    for issue in issues:
        try:
            with time_limit(seconds):
                found = issue_of(title, slots, (issue,), today)
        except TimeoutError as error:
            raise UsageError(
                f"the title pattern of the known issue {issue.name} takes more than {seconds:g} s "
                f"to compare with {title[:200]!r}",
                remedy="write it without a repetition in another, such as (a+)+",
            ) from error
        if found:
            return found
    return ""
