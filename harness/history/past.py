"""Reads what pages show of earlier nights."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, and_, func, select

from harness.history.rows import result_of
from harness.history.schema import (
    IncidentRow,
    JudgedRow,
    NewsRow,
    NightRow,
    PlanRow,
    ProblemRow,
    ResultRow,
    RevisionRow,
)
from harness.nightly.night import NewsKind
from harness.nightly.past import CellBoot, NightLine, ProblemNight
from harness.nightly.result import Purpose, Result, Slot, Status

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from harness.history.nights import NightReader

#: Nights whose results are read first.
_NIGHTS = 4


@dataclass(frozen=True, slots=True)
class PastNights:
    """Reads earlier nights of one plan.

    Args:
        reader: reads the plan's nights.
    """

    reader: NightReader

    def console(self, digest: str) -> bytes:
        """Return a console by its hash; empty if it has expired."""
        return self.reader.console(digest)

    def months(self) -> list[str]:
        """Return the months in which nights started, ``2026-11``, the newest first."""
        with self._reading() as connection:
            wanted = self._of_plan(select(NightRow.started)).order_by(NightRow.number.desc())
            started = connection.execute(wanted).scalars()
            return list(dict.fromkeys(f"{moment:%Y-%m}" for moment in started))

    def lines(self, last: int | None = None, month: str = "") -> list[NightLine]:
        """Return nights with the number of their results and news, the newest first.

        Args:
            last: the newest so many.
            month: only those that started in this month, ``2026-11``.
        """
        wanted = self._of_plan(select(NightRow.__table__)).order_by(NightRow.number.desc())
        with self._reading() as connection:
            rows = [dict(row._mapping) for row in connection.execute(wanted.limit(last))]
            rows = [row for row in rows if f"{row['started']:%Y-%m}".startswith(month)]
            own = [row["id"] for row in rows]
            counts = _counts(connection, ResultRow.night_id, ResultRow.status, own)
            news = _counts(connection, NewsRow.night_id, NewsRow.kind, own)
        return [_line(row, counts.get(row["id"], {}), news.get(row["id"], {})) for row in rows]

    def beside(self, number: int) -> tuple[int | None, int | None]:
        """Return the numbers of the nights before and after one; None for none."""
        before = self._of_plan(select(func.max(NightRow.number))).where(NightRow.number < number)
        after = self._of_plan(select(func.min(NightRow.number))).where(NightRow.number > number)
        with self._reading() as connection:
            return connection.execute(before).scalar(), connection.execute(after).scalar()

    def problem_nights(self, key: str, last: int) -> list[ProblemNight]:
        """Return the newest nights that judged a problem, the newest last."""
        shown = (
            select(func.count())
            .where(IncidentRow.judged_id == JudgedRow.id)
            .scalar_subquery()
        )  # fmt: skip
        wanted = (
            self._of_plan(
                select(
                    NightRow.number, NightRow.started, JudgedRow.classification, JudgedRow.open,
                    shown.label("incidents"), JudgedRow.failed, JudgedRow.boots,
                )
            )
            .join(JudgedRow, JudgedRow.night_id == NightRow.id)
            .join(ProblemRow, ProblemRow.id == JudgedRow.problem_id)
            .where(ProblemRow.key == key)
            .order_by(NightRow.number.desc())
            .limit(last)
        )  # fmt: skip
        with self._reading() as connection:
            rows = [ProblemNight(**row._mapping) for row in connection.execute(wanted)]
        return rows[::-1]

    def good(self, slot: Slot, before: int) -> Result | None:
        """Return the newest passed result of a cell with a console, up to a night."""
        rows = self._passed([ResultRow.__table__], slot, before, 1, ResultRow.console != "")
        return next(map(result_of, rows), None)

    def boots(self, slot: Slot, before: int, last: int) -> Sequence[CellBoot]:
        """Return the newest passed boots of a cell up to a night, the newest last.

        Those of one night are in the order of their revisions; its tip is booted first.
        """
        columns = NightRow.number, ResultRow.commit, ResultRow.seconds, ResultRow.stages
        rows = self._passed(columns, slot, before, last)
        return [CellBoot(**row) for row in reversed(rows)]

    def operations(self, slot: Slot, nights: Collection[int]) -> dict[int, int]:
        """Return the operations of a check in each of some nights, by the nights' numbers."""
        wanted = self._of_plan(select(NightRow.number, NightRow.cells))
        with self._reading() as connection:
            rows = connection.execute(wanted.where(NightRow.number.in_(nights))).all()
        key = {"branch": slot.branch, "cell": slot.cell}
        return {
            number: cell["operations"]
            for number, cells in rows
            for cell in cells
            if cell["slot"] == key
        }

    def cells(self, number: int) -> list[dict[str, Any]]:
        """Return the plan's cells in a night, as ``NightCell`` documents."""
        wanted = self._of_plan(select(NightRow.cells)).where(NightRow.number == number)
        with self._reading() as connection:
            return connection.execute(wanted).scalar() or []

    def _passed(
        self, columns: Sequence[Any], slot: Slot, before: int, last: int, *conditions: Any
    ) -> list[dict[str, Any]]:
        """Return the newest passed results of a cell, up to a night, the newest first.

        All results of a cell would be a hundred times as many: few nights are read at once.
        """
        nights = self._of_plan(select(NightRow.id)).where(NightRow.number <= before)
        wanted = (
            select(*columns)
            .select_from(ResultRow)
            .join(NightRow, NightRow.id == ResultRow.night_id)
            .outerjoin(
                RevisionRow,  # not of the base, with which a night begins
                and_(
                    RevisionRow.night_id == ResultRow.night_id,
                    RevisionRow.branch == ResultRow.branch,
                    RevisionRow.commit == ResultRow.commit,
                ),
            )
            .where(
                ResultRow.branch == slot.branch,
                ResultRow.cell == slot.cell,
                ResultRow.purpose == Purpose.PLANNED.value,
                ResultRow.status == Status.PASSED.value,
                ResultRow.shared.is_(None),
                *conditions,
            )
            .order_by(
                NightRow.number.desc(), func.coalesce(RevisionRow.place, 0).desc(),
                ResultRow.id.desc(),
            )
        )  # fmt: skip
        found: list[dict[str, Any]] = []
        with self._reading() as connection:
            left = list(connection.execute(nights.order_by(NightRow.number.desc())).scalars())
            size = _NIGHTS
            while left and len(found) < last:
                some = wanted.where(ResultRow.night_id.in_(left[:size]))
                rows = connection.execute(some.limit(last - len(found)))
                found += [dict(row._mapping) for row in rows]
                left, size = left[size:], size * 4
        return found

    def _reading(self) -> Any:
        return self.reader.database.reading()

    def _of_plan(self, wanted: Select[Any]) -> Select[Any]:
        return wanted.join(PlanRow, PlanRow.id == NightRow.plan_id).where(
            PlanRow.name == self.reader.plan
        )


def _counts(
    connection: Connection, night: Any, kind: Any, nights: Sequence[int]
) -> dict[int, dict[str, int]]:
    """Return the number of rows of each kind, by the id of their night."""
    found: dict[int, dict[str, int]] = {}
    wanted = select(night, kind, func.count()).where(night.in_(nights)).group_by(night, kind)
    for row, name, count in connection.execute(wanted):
        found.setdefault(row, {})[name] = count
    return found


def _line(row: dict[str, Any], counts: dict[str, int], news: dict[str, int]) -> NightLine:
    own = {status: counts.get(status.value, 0) for status in Status}
    return NightLine(
        row["number"], row["started"], row["state"], row["exit_code"], row["spent"],
        tested=sum(own[status] for status in Status if status.tells),
        failed=own[Status.FAILED] + own[Status.UNBUILT],
        host_failed=own[Status.HOST_FAILED],
        not_run=own[Status.NOT_RUN],
        news={kind.value: news[kind.value] for kind in NewsKind if kind.value in news},
    )  # fmt: skip
