"""Boots that became slower: by QEMU's CPU time, which depends least on what else runs. Pure.

A boot of the night is compared with the history only to find suspects. Whether one is slower is
decided by boots of both revisions, alone and in turn.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.nightly.result import Status
from harness.nightly.statistics import slower_by_chance

if TYPE_CHECKING:
    from harness.nightly.night import ProvenCulprit
    from harness.nightly.result import Result, Slot
    from harness.nightly.statistics import Look

#: A boot is slower if it takes so much more CPU time.
_NOTABLE: Final = 1.05

#: Seconds; a shorter boot, such as the built-in guest's, is mostly QEMU's own start.
_SHORT: Final = 0.5

#: Earlier boots without which nothing is suspect.
_LEAST: Final = 5


@dataclass(frozen=True, slots=True)
class Suspect:
    """A cell whose boot took more CPU time than before.

    Args:
        slot: the cell.
        ratio: tonight's CPU time by the median of before.
    """

    slot: Slot
    ratio: float


@dataclass(frozen=True, slots=True)
class Slowdown:
    """A cell whose boots became slower.

    Args:
        slot: the cell.
        base: the revision that it is compared with.
        tip: the revision that is slower.
        before, after: median CPU time of their boots, in seconds.
        boots: the number of boots of each.
        culprit: what made it slower; None if unknown.
    """

    slot: Slot
    base: str
    tip: str
    before: float
    after: float
    boots: int
    culprit: ProvenCulprit | None = None


def boot_cpu(result: Result) -> float | None:
    """Return the CPU time from the kernel's start to init, in seconds; None if unknown."""
    begin, end = result.cpu.get("kernel"), result.cpu.get("init")
    if result.status is not Status.PASSED or begin is None or end is None or end <= begin:
        return None
    return end - begin


def suspect(now: Result, before: Sequence[Result]) -> Suspect | None:
    """Return a cell that may have become slower; None if its boot was not notably slow.

    Args:
        now: its boot of tonight.
        before: its boots of earlier nights; only those with equal accelerator, method and host
            count.
    """
    seconds = boot_cpu(now)
    known = [
        each for result in before
        if (result.accelerator, result.method, result.host, result.topology)
        == (now.accelerator, now.method, now.host, now.topology)
        and (each := boot_cpu(result)) is not None
    ]  # fmt: skip
    if seconds is None or seconds < _SHORT or len(known) < _LEAST:
        return None
    ratio = seconds / statistics.median(known)
    slower = sum(each >= seconds for each in known)
    if ratio < _NOTABLE or slower > len(known) // 10:
        return None
    return Suspect(now.slot, ratio)


def slower_times(
    ends: Sequence[Look], timed: Callable[[int], tuple[Sequence[float], Sequence[float]]]
) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return the times of boots of two revisions if they show that the second one is slower.

    Args:
        ends: the looks at which it may show.
        timed: returns the times of so many boots of each; fewer if more cannot be had.
    """
    for look in ends:
        old, new = timed(look.boots)
        if min(len(old), len(new)) < look.boots:
            return None
        if statistics.median(new) < _NOTABLE * statistics.median(old):
            return None
        if slower_by_chance(old, new) <= look.chance:
            return old, new
    return None


def first_slow(commits: Sequence[str], is_slow: Callable[[str], bool | None]) -> tuple[str, str]:
    """Return the last fast and the first slow of some revisions; empty if they cannot be found.

    Args:
        commits: revisions, the oldest first; the first is fast, and the last is slow.
        is_slow: tests one; None if it says nothing.
    """
    fast, slow = 0, len(commits) - 1
    while slow - fast > 1:
        middle = (fast + slow) // 2
        answer = is_slow(commits[middle])
        if answer is None:
            return "", ""
        fast, slow = (fast, middle) if answer else (middle, slow)
    return (commits[fast], commits[slow]) if slow > fast else ("", "")
