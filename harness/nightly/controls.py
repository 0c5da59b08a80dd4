"""What the attempts of a night's negative controls come to. Pure.

A control is a mutant that must fail as stated. One attempt that does so shows that failures are
found. An attempt says nothing if the host failed, or if the revision fails in the same way without
the mutant: it ended, or did not build, before the mutant could be seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.nightly.result import Purpose, Result, Slot, Status
from harness.outcome import Outcome

if TYPE_CHECKING:
    from harness.nightly.night import JudgedNight, Problem

_FAILURES: Final = (Status.FAILED, Status.UNBUILT)

#: Repeats of a control that boots, on which no flake can be blamed, or that fails only as its
#: revision does without it; and of one that fails in another way: that a flake which hits six of
#: ten boots hits all eleven attempts is one in 275.
_REPEATS: Final = 5
_REPEATS_OF_FAILURES: Final = 10

#: So many attempts that say something must differ from what is stated.
_NEEDED: Final = 3

Shown = Collection[tuple[str, str]]
"""Titles with which the revisions fail without a mutant, each with its branch."""


@dataclass(frozen=True, slots=True)
class ControlResult:
    """A negative control that did not fail as stated.

    Args:
        result: one of its attempts.
        attempts: the number of attempts.
    """

    result: Result
    attempts: int


def shown_without(results: Iterable[Result], problems: Iterable[Problem]) -> Shown:
    """Return the titles with which a night's revisions fail without a mutant.

    Args:
        results: the night's results.
        problems: problems that were open in the night before, or that it judged.
    """
    tonight = {
        (each.slot.branch, each.title)
        for each in results
        if each.purpose is not Purpose.CONTROL and each.status in _FAILURES
    }
    return tonight | {(slot.branch, each.title) for each in problems for slot in each.slots}


def wants_repeat(attempts: Sequence[Result], shown: Shown) -> bool:
    """Return whether a control must be run again.

    Args:
        attempts: its attempts so far.
        shown: see ``shown_without``.
    """
    told = [each for each in attempts if each.status.tells]
    if not told or any(each.status is Status.PASSED for each in told):
        return False  # the host failed, which has its own retries; or it is seen
    if unmade := [each for each in told if not each.outcome]:
        once = len(attempts) == 1 and unmade[0].status is Status.UNBUILT
        return once and not _is_spoilt(unmade[0], shown)
    saying = [each for each in told if not _is_spoilt(each, shown)]
    booted = sum(each.outcome == Outcome.BOOTED for each in saying)
    alike = not saying or booted == len(told)
    return len(told) <= _REPEATS if alike else len(attempts) <= _REPEATS_OF_FAILURES


def broken_controls(results: Iterable[Result], shown: Shown) -> list[ControlResult]:
    """Return the controls that did not fail as stated, although they could."""
    return [
        ControlResult(saying[-1], len(attempts))
        for attempts in attempts_of_controls(results).values()
        if (saying := _saying(attempts, shown))
        and (len(saying) >= _NEEDED or not all(each.outcome for each in saying))
    ]


def silent_controls(results: Iterable[Result], shown: Shown) -> list[ControlResult]:
    """Return the controls that say nothing, because something else spoilt their attempts."""
    results = list(results)
    broken = {each.result.slot for each in broken_controls(results, shown)}
    return [
        ControlResult(told[-1], len(attempts))
        for slot, attempts in attempts_of_controls(results).items()
        if slot not in broken
        and (told := [each for each in attempts if each.status.tells])
        and all(each.status is not Status.PASSED for each in told)
    ]


def spoilt_attempts(judged: JudgedNight) -> list[Result]:
    """Return the attempts of a night's controls that failed otherwise, and do not count."""
    shown = shown_without(judged.results, judged.problems)
    broken = {each.result.slot for each in broken_controls(judged.results, shown)}
    return [
        each
        for slot, attempts in attempts_of_controls(judged.results).items()
        for each in attempts
        if each.status in _FAILURES and (slot not in broken or _is_spoilt(each, shown))
    ]


def attempts_of_controls(results: Iterable[Result]) -> Mapping[Slot, Sequence[Result]]:
    """Return the results of each control, in the order of its attempts."""
    found: dict[Slot, list[Result]] = {}
    for each in results:
        if each.purpose is Purpose.CONTROL:
            found.setdefault(each.slot, []).append(each)
    return {
        slot: sorted(attempts, key=lambda each: each.attempt) for slot, attempts in found.items()
    }


def _saying(attempts: Sequence[Result], shown: Shown) -> list[Result]:
    """Return the attempts that say that failures are not found; empty if one was found."""
    if any(each.status is Status.PASSED for each in attempts):
        return []
    return [each for each in attempts if each.status in _FAILURES and not _is_spoilt(each, shown)]


def _is_spoilt(result: Result, shown: Shown) -> bool:
    return bool(result.title) and (result.slot.branch, result.title) in shown
