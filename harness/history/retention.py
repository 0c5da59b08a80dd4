"""What a history keeps of its problems, and what of it expires."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, or_, select

from harness.errors import InfraError
from harness.history.schema import (
    ConsoleRow,
    IncidentRow,
    JudgedRow,
    NightRow,
    PlanRow,
    ProblemRow,
    ResultRow,
)

if TYPE_CHECKING:
    from sqlalchemy import Executable

    from harness.history.database import Database

#: Rows of one statement.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Pinned:
    """What the problems of a history need, so that a person can look into them.

    Args:
        kernels: keys in the cache of the kernels of each open problem's last good and first bad.
        consoles: hashes of the consoles of each problem's last good and first bad.
    """

    kernels: frozenset[str]
    consoles: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeptConsole:
    """A console in a history.

    Args:
        hash: its hash.
        size: bytes that it takes, compressed.
        used: when the newest guest that printed it started.
    """

    hash: str
    size: int
    used: datetime | None


def pinned(database: Database) -> Pinned:
    """Return what the problems of all plans of a history need.

    First bad and last good are those of the first and of the newest night that show a problem.

    Raises:
        InfraError: the history cannot be read.
    """
    newest = select(func.max(JudgedRow.id)).group_by(JudgedRow.problem_id)
    still_open = select(JudgedRow.problem_id).where(JudgedRow.id.in_(newest), JudgedRow.open)
    with database.reading() as connection:
        shown = list(connection.execute(_shown()))
        opened = set(connection.execute(still_open).scalars())
    return Pinned(
        frozenset(row.kernel for row in shown if row.kernel and row.problem_id in opened),
        frozenset(row.console for row in shown if row.console),
    )


def _shown() -> Executable:
    """Return the problems with the kernels and consoles of their first bad and last good."""
    newest = (
        select(func.max(JudgedRow.id))
        .join(IncidentRow, IncidentRow.judged_id == JudgedRow.id)
        .group_by(JudgedRow.problem_id)
    )
    return (
        select(JudgedRow.problem_id, ResultRow.kernel, ResultRow.console)
        .join(IncidentRow, IncidentRow.judged_id == JudgedRow.id)
        .join(NightRow, NightRow.id == JudgedRow.night_id)
        .join(
            ResultRow,
            or_(ResultRow.id == IncidentRow.failing_id, ResultRow.id == IncidentRow.passing_id),
        )
        .where(or_(NightRow.number == JudgedRow.first_night, JudgedRow.id.in_(newest)))
    )


def consoles(database: Database) -> list[KeptConsole]:
    """Return all consoles, the oldest first.

    Raises:
        InfraError: the history cannot be read.
    """
    used = func.max(ResultRow.started)
    wanted = (
        select(ConsoleRow.hash, func.length(ConsoleRow.data), used)
        .outerjoin(ResultRow, ResultRow.console == ConsoleRow.hash)
        .group_by(ConsoleRow.hash)
        .order_by(used.nulls_first())
    )
    with database.reading() as connection:
        return [KeptConsole(*row) for row in connection.execute(wanted)]


def consoles_to_remove(
    found: Sequence[KeptConsole], kept: Collection[str], now: datetime, age: float | None,
    limit: int | None,
) -> list[KeptConsole]:  # fmt: skip
    """Return the consoles that expire, the oldest first.

    Args:
        found: all consoles, the oldest first.
        kept: hashes of those that stay.
        now: the present.
        age: seconds after which a console expires; None: no limit.
        limit: bytes that all consoles may take; None: no limit.
    """
    excess = sum(each.size for each in found) - limit if limit is not None else 0
    gone = []
    for each in found:
        if each.hash in kept:
            continue
        seconds = (now - each.used).total_seconds() if each.used is not None else 0.0
        if (age is not None and seconds > age) or excess > 0:
            gone.append(each)
            excess -= each.size
    return gone


def remove_consoles(database: Database, hashes: Sequence[str]) -> None:
    """Remove consoles; their results stay.

    Raises:
        InfraError: the history cannot be written.
    """
    with database.writing() as connection:
        for first in range(0, len(hashes), _BATCH):
            part = hashes[first : first + _BATCH]
            connection.execute(delete(ConsoleRow).where(ConsoleRow.hash.in_(part)))
    if hashes:
        with contextlib.suppress(InfraError):  # on a full disk, the history uses the space again
            database.shrink()


def issues_seen(database: Database, plan: str) -> dict[str, date]:
    """Return the day on which a night last saw each known issue, by its name.

    Raises:
        InfraError: the history cannot be read.
    """
    wanted = (
        select(JudgedRow.known_issue, func.max(NightRow.started))
        .join(NightRow, NightRow.id == JudgedRow.night_id)
        .join(ProblemRow, ProblemRow.id == JudgedRow.problem_id)
        .join(PlanRow, PlanRow.id == ProblemRow.plan_id)
        .where(
            PlanRow.name == plan,
            JudgedRow.known_issue != "",
            JudgedRow.last_night == NightRow.number,
        )
        .group_by(JudgedRow.known_issue)
    )
    with database.reading() as connection:
        return {name: moment.date() for name, moment in connection.execute(wanted)}
