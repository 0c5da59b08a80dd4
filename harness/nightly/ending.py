"""How a night ends: its exit code, and what is left out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from harness.errors import BuildError, InfraError
from harness.nightly.night import Classification, Problem
from harness.nightly.result import Purpose, Result, Status

REGRESSED: Final = 1
"""Exit code of a night with an open regression."""


def exit_code(problems: Iterable[Problem], *, controls_failed: bool, host_trouble: bool) -> int:
    """Return the exit code of a night.

    3: a negative control did not fail as stated; else 1: a regression is open; else 4: a branch
    does not build; else 3: the host failed in spite of retries; else 0. Known issues do not count.
    """
    if controls_failed:
        return InfraError.exit_code
    counting = [each for each in problems if each.open and not each.known_issue]
    found = {each.classification for each in counting}
    if Classification.REGRESSION in found:
        return REGRESSED
    if Classification.BUILD in found:
        return BuildError.exit_code
    return InfraError.exit_code if host_trouble else 0


def unmended(results: Iterable[Result]) -> list[Result]:
    """Return a result for each cell and revision in which the host failed in every attempt."""
    planned = (Purpose.PLANNED, Purpose.CONTROL)
    failed: dict[tuple[str, str, str], Result] = {}
    told = set()
    for each in results:
        key = each.slot.branch, each.slot.cell, each.commit
        if each.purpose not in planned:
            continue
        if each.status is Status.HOST_FAILED:
            failed[key] = each
        elif each.status is not Status.NOT_RUN:
            told.add(key)
    return [each for key, each in failed.items() if key not in told]
