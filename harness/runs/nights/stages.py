"""The stages of a night: cells that run side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.runs.nights.cellrunner import NightTask


@dataclass(frozen=True, slots=True)
class NightStage:
    """Cells that run side by side.

    Args:
        tasks: the cells.
        first: controls and tips, which run while there is any budget.
        share: whether a verdict on an equal kernel counts, in place of a boot.
    """

    tasks: Sequence[NightTask]
    first: bool = False
    share: bool = False


def batches(stages: Iterable[NightStage], least: int) -> Iterator[NightStage]:
    """Yield stages; after the first ones, several become one until it has enough tasks.

    Args:
        stages: the stages of a night.
        least: tasks of a stage, but for the last and for those before one of another kind.
    """
    batch: NightStage | None = None
    for stage in stages:
        if batch is not None and (stage.first, stage.share) == (batch.first, batch.share):
            batch = replace(batch, tasks=(*batch.tasks, *stage.tasks))
        else:
            if batch is not None:
                yield batch
            batch = stage
        if batch.first or len(batch.tasks) >= least:
            yield batch
            batch = None
    if batch is not None:
        yield batch
