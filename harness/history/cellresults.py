"""Reads what earlier nights of a plan know of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, and_, func, select, tuple_

from harness.history.rows import case_of, result_of
from harness.history.schema import NightRow, PlanRow, ResultRow, RevisionRow, TestCaseRow
from harness.nightly.result import CaseResult, Purpose, Result, Slot, Status

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from harness.history.database import Database

TOLD = (Status.PASSED.value, Status.FAILED.value, Status.UNBUILT.value)
"""The statuses that are verdicts."""


#: What a boot of the plan that passed fulfils.
_PASSED_BOOT = (
    ResultRow.purpose == Purpose.PLANNED.value,
    ResultRow.status == Status.PASSED.value,
    ResultRow.shared.is_(None),
)

#: Results of which the median cost of a cell is taken.
_RECENT = 25


@dataclass(frozen=True, slots=True)
class CellResults:
    """Reads results of one plan.

    Args:
        database: the history.
        plan: name of the plan.
    """

    database: Database
    plan: str

    def known(self, branch: str, commit: str) -> tuple[Result, ...]:
        """Return the newest verdict of each cell on a revision of a branch, of any night."""
        newest = (
            self._results_with(func.max(ResultRow.id))
            .where(
                ResultRow.branch == branch,
                ResultRow.commit == commit,
                ResultRow.purpose == Purpose.PLANNED.value,
                ResultRow.status.in_(TOLD),
            )
            .group_by(ResultRow.cell)
        )
        with self.database.reading() as connection:
            return results_where(connection, ResultRow.id.in_(newest))

    def with_kernel(self, slot: Slot, artifact: str) -> Result | None:
        """Return the newest verdict of a cell on an equal kernel, which others can share."""
        wanted = self._results_with(func.max(ResultRow.id)).where(
            ResultRow.artifact == artifact,
            ResultRow.cell == slot.cell,
            ResultRow.branch == slot.branch,
            ResultRow.purpose == Purpose.PLANNED.value,
            ResultRow.shared.is_(None),
            ResultRow.status.in_(TOLD),
        )
        with self.database.reading() as connection:
            number = connection.execute(wanted).scalar()
            found = results_where(connection, ResultRow.id == number) if number is not None else ()
            return found[0] if found else None

    def seconds(self, slot: Slot) -> list[float]:
        """Return the durations of the newest boots of a slot."""
        wanted = (
            self._results_with(ResultRow.seconds)
            .where(
                ResultRow.branch == slot.branch,
                ResultRow.cell == slot.cell,
                ResultRow.shared.is_(None),
                ResultRow.seconds > 0,
            )
            .order_by(ResultRow.id.desc())
            .limit(_RECENT)
        )
        with self.database.reading() as connection:
            return list(connection.execute(wanted).scalars())

    def boots(self, slot: Slot, before: int, most: int = 10) -> tuple[Result, ...]:
        """Return the newest boots of a slot that passed before a night."""
        wanted = (
            self._results_with(ResultRow.id)
            .where(
                NightRow.number < before,
                ResultRow.branch == slot.branch,
                ResultRow.cell == slot.cell,
                *_PASSED_BOOT,
            )
            .order_by(ResultRow.id.desc())
            .limit(most)
        )
        with self.database.reading() as connection:
            numbers = list(connection.execute(wanted).scalars())
            return results_where(connection, ResultRow.id.in_(numbers))

    def uncompared(self, night: int) -> dict[Slot, str]:
        """Return the slots whose boots a night could not compare with a revision's, and that one.

        Args:
            night: the night's number.
        """
        wanted = self._results_with(ResultRow.id).where(
            NightRow.number == night,
            ResultRow.purpose == Purpose.TIMING.value,
            ResultRow.status == Status.NOT_RUN.value,
        )
        with self.database.reading() as connection:
            found = results_where(connection, ResultRow.id.in_(wanted))
        return {result.slot: result.commit for result in found}

    def tests(self, slot: Slot, before: int) -> tuple[CaseResult, ...]:
        """Return the tests of the newest suite that a slot ran to its end before a night."""
        wanted = (
            self._results_with(ResultRow.id)
            .join(TestCaseRow, TestCaseRow.result_id == ResultRow.id)
            .where(
                NightRow.number < before,
                ResultRow.branch == slot.branch,
                ResultRow.cell == slot.cell,
                ResultRow.purpose == Purpose.PLANNED.value,
            )
            .order_by(NightRow.number.desc(), ResultRow.id.desc())
            .limit(1)
        )
        with self.database.reading() as connection:
            number = connection.execute(wanted).scalar()
            found = results_where(connection, ResultRow.id == number) if number is not None else ()
            return found[0].tests if found else ()

    def passes(self, slots: Sequence[Slot], before: int) -> int:
        """Return how many boots of the plan's cells passed in some slots before a night."""
        pairs = tuple_(ResultRow.branch, ResultRow.cell)
        wanted = self._results_with(func.count()).where(
            NightRow.number < before,
            *_PASSED_BOOT,
            pairs.in_([(slot.branch, slot.cell) for slot in slots]),
        )
        with self.database.reading() as connection:
            return int(connection.execute(wanted).scalar() or 0)

    def passed(self, slot: Slot, before: int, most: int = 200) -> list[str]:
        """Return the revisions of a slot that passed before a night, the newest first.

        A revision that was booted several times is returned as often.
        """
        wanted = (
            self._results_with(ResultRow.commit)
            .join(
                RevisionRow,
                and_(
                    RevisionRow.night_id == NightRow.id,
                    RevisionRow.branch == ResultRow.branch,
                    RevisionRow.commit == ResultRow.commit,
                ),
            )
            .where(
                NightRow.number < before,
                ResultRow.branch == slot.branch,
                ResultRow.cell == slot.cell,
                *_PASSED_BOOT,
            )
            .order_by(NightRow.number.desc(), RevisionRow.place.desc(), ResultRow.id)
            .limit(most)
        )
        with self.database.reading() as connection:
            return list(connection.execute(wanted).scalars())

    def _results_with(self, column: Any) -> Select[Any]:
        """Return the query of a column of the plan's results."""
        return (
            select(column)
            .select_from(ResultRow)
            .join(NightRow, NightRow.id == ResultRow.night_id)
            .join(PlanRow, PlanRow.id == NightRow.plan_id)
            .where(PlanRow.name == self.plan)
        )


def results_where(connection: Connection, which: Any) -> tuple[Result, ...]:
    """Return the results that fulfil a condition, in the order in which they were stored."""
    wanted = select(ResultRow.__table__).where(which).order_by(ResultRow.id)
    found = [result_of(dict(row._mapping)) for row in connection.execute(wanted)]
    ran = [ResultRow.record_cell != "", ResultRow.status.in_(TOLD)]  # few of them have tests
    tests = (
        select(TestCaseRow.__table__)
        .join(ResultRow, ResultRow.id == TestCaseRow.result_id)
        .where(which, *ran)
        .order_by(TestCaseRow.id)
    )
    cases: dict[int, list[CaseResult]] = {}
    for row in connection.execute(tests):
        cases.setdefault(row.result_id, []).append(case_of(dict(row._mapping)))
    return tuple(replace(each, tests=tuple(cases.get(each.id, ()))) for each in found)
