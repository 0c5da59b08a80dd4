"""What pages show of earlier nights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class NightLine:
    """A night in a list.

    Args:
        number: its number.
        started: when it started.
        state: see ``NightState``.
        exit_code: see ``nightly run``; None while it runs.
        seconds: its duration.
        tested: results with a verdict.
        failed: those that failed, or did not build.
        host_failed: results in which the host failed.
        not_run: cells that were left out.
        news: the number of news of each kind, the loudest first.
    """

    number: int
    started: datetime
    state: str
    exit_code: int | None
    seconds: float
    tested: int
    failed: int
    host_failed: int
    not_run: int
    news: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ProblemNight:
    """A problem in one night.

    Args:
        number: the night's number.
        started: when it started.
        classification: as that night judged it.
        open: whether it was open at its end.
        incidents: the cells that showed it.
        failed: boots that showed it, since it is counted.
        boots: all boots of its cells with a verdict, since it is counted.
    """

    number: int
    started: datetime
    classification: str
    open: bool
    incidents: int
    failed: int
    boots: int


@dataclass(frozen=True, slots=True)
class CellBoot:
    """A passed boot of a cell.

    Args:
        number: the night's number.
        commit: the revision.
        seconds: from the guest's start to its end.
        stages: seconds from the guest's start to each stage.
    """

    number: int
    commit: str
    seconds: float
    stages: Mapping[str, float]
