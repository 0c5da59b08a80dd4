"""Repeats the negative controls of a night that ended otherwise."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.nightly.controls import (
    ControlResult,
    Shown,
    attempts_of_controls,
    broken_controls,
    shown_without,
    silent_controls,
    wants_repeat,
)
from harness.nightly.result import Purpose, Status
from harness.runs.nights.cellrunner import NightTask

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from harness.nightly.cells import NightCell
    from harness.nightly.night import Problem
    from harness.nightly.result import Slot
    from harness.runs.nights.cells import NightCells

#: Number of the first repeat: those before are retries after a failure of the host.
_FIRST = 100


@dataclass(frozen=True, slots=True)
class ControlAnswer:
    """What a night's controls say.

    Args:
        broken: those that did not fail as stated, although they could.
        silent: those that say nothing.
    """

    broken: list[ControlResult]
    silent: list[ControlResult]

    def notes(self) -> list[str]:
        """Return sentences about the controls that say nothing."""
        return [
            f"the negative control {each.result.slot.cell} of {each.result.slot.branch} says "
            f"nothing: something else made {_attempts(each.attempts)} fail"
            for each in self.silent
        ]


def _attempts(count: int) -> str:
    return "its attempt" if count == 1 else f"its {count} attempts"


def tried_controls(
    cells: NightCells, slots: Mapping[Slot, NightCell], problems: Collection[Problem]
) -> ControlAnswer:
    """Repeat each control until it is seen to fail as stated, or is known not to.

    The budget does not count: without controls, nothing of the night is claimed.

    Args:
        cells: runs boots, and has the night's results.
        slots: the plan's cells by slot.
        problems: the problems that were open in the night before.
    """
    shown = shown_without(cells.results.values(), problems)
    for slot in attempts_of_controls(cells.results.values()):
        if slot in slots:
            _repeat(cells, slots[slot], shown)
    results = list(cells.results.values())
    return ControlAnswer(broken_controls(results, shown), silent_controls(results, shown))


def _repeat(cells: NightCells, cell: NightCell, shown: Shown) -> None:
    for number in itertools.count(_FIRST):
        attempts = attempts_of_controls(cells.results.values())[cell.slot]
        if not wants_repeat(attempts, shown):
            return
        commit, unbuilt = attempts[0].commit, attempts[0].status is Status.UNBUILT
        task = NightTask(cell, commit, Purpose.CONTROL, number, trusted=True, clean=unbuilt)
        cells.alone(task)
