"""How a night ends: its exit code, and what is left out. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from harness.errors import BuildError, InfraError
from harness.nightly.night import Classification, Problem, Purpose, Result, Status

REGRESSED: Final = 1
"""Exit code of a night with an open regression."""

_FAILURES: Final = (Status.FAILED, Status.UNBUILT)


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


def broken_controls(results: Collection[Result]) -> list[Result]:
    """Return the negative controls that did not fail as stated, although they could."""
    masked = masked_controls(results)
    return [each for each in _failed_otherwise(results) if each not in masked]


def masked_controls(results: Collection[Result]) -> list[Result]:
    """Return the negative controls whose revision fails in the same way without the mutant.

    They say nothing: a boot ends, or does not build, before the mutant could be seen.
    """
    shown = {
        (each.slot.branch, each.commit, each.title)
        for each in results
        if each.purpose is Purpose.PLANNED and each.status in _FAILURES
    }
    return [
        each
        for each in _failed_otherwise(results)
        if (each.slot.branch, each.commit, each.title) in shown
    ]


def _failed_otherwise(results: Iterable[Result]) -> list[Result]:
    return [
        each for each in results if each.purpose is Purpose.CONTROL and each.status in _FAILURES
    ]


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
