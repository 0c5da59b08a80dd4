"""Stages of a night, and those that a group runs together."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.nightly.cells import NightCell
from harness.nightly.result import Purpose, Slot
from harness.runs.nights.cellrunner import NightTask
from harness.runs.nights.stages import NightStage, batches

CELL = NightCell(Slot("tree:main", "boot"), "boot", "none")


def tasks(count: int) -> list[NightTask]:
    return [NightTask(CELL, "c", Purpose.PLANNED, number) for number in range(count)]


FIRST, LATER = {"first": True}, {"share": True}
MORE: dict[str, bool] = {}


def sizes(stages: list[NightStage], least: int) -> list[int]:
    return [len(stage.tasks) for stage in batches(stages, least)]


@pytest.mark.parametrize(("least", "expected"), [(1, [1, 3, 2, 2, 2, 1, 1]), (4, [1, 3, 4, 2, 2]),
                                                 (99, [1, 3, 6, 2])])  # fmt: skip
def test_first_stages_run_alone_and_others_together(least: int, expected: list[int]) -> None:
    counts = [(1, FIRST), (3, FIRST), (2, LATER), (2, LATER), (2, LATER), (1, MORE), (1, MORE)]
    assert sizes([NightStage(tasks(count), **kind) for count, kind in counts], least) == expected


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([FIRST, LATER, MORE]))),
       st.integers(1, 9))  # fmt: skip
def test_no_task_is_lost_or_moved_before_another(
    made: list[tuple[int, dict[str, bool]]], least: int
) -> None:
    stages = [NightStage(tasks(count), **kind) for count, kind in made]
    found = list(batches(stages, least))
    of_all = itertools.chain.from_iterable
    assert list(of_all(each.tasks for each in found)) == list(of_all(e.tasks for e in stages))
    kinds = [(each.first, each.share) for each in stages for _ in each.tasks]
    assert [(each.first, each.share) for each in found for _ in each.tasks] == kinds
