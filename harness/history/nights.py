"""Reads nights of a history."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Executable, Select, and_, func, select

from harness.errors import UsageError
from harness.history.cellresults import TOLD, CellResults, results_where
from harness.history.rows import (
    branch_of,
    news_of_row,
    night_of,
    problem_of,
    revision_of,
)
from harness.history.schema import (
    BranchRow,
    ConsoleRow,
    IncidentRow,
    JudgedRow,
    NewsRow,
    NightRow,
    PlanRow,
    ProblemRow,
    ResultRow,
    RevisionRow,
)
from harness.nightly.ending import unmended
from harness.nightly.night import (
    Classification,
    Incident,
    JudgedNight,
    Night,
    NightState,
    Problem,
)
from harness.nightly.result import Purpose, Result, Slot, Status

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from harness.history.database import Database

#: The worst first.
_WORST = tuple(Classification)


@dataclass(frozen=True, slots=True)
class NightCount:
    """A night with the number of its results.

    Args:
        number, started, state, exit_code, spent: see ``Night``.
        ran: results with a verdict.
        failed: those that failed, or did not build.
        host_failed: results in which the host failed.
        not_run: cells that were left out.
    """

    number: int
    started: datetime
    state: str
    exit_code: int | None
    spent: float
    ran: int
    failed: int
    host_failed: int
    not_run: int

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return {**asdict(self), "started": self.started.isoformat()}


@dataclass(frozen=True, slots=True)
class NightReader:
    """Reads the nights of one plan.

    Args:
        database: the history.
        plan: name of the plan.
    """

    database: Database
    plan: str

    @property
    def cell_results(self) -> CellResults:
        """Reads the results of single cells."""
        return CellResults(self.database, self.plan)

    def nights(self, last: int | None = 30) -> list[Night]:
        """Return the newest nights without branches and revisions, the newest first; None: all."""
        with self.database.reading() as connection:
            wanted = self._nights().order_by(NightRow.number.desc()).limit(last)
            return [night_of(self.plan, row, (), ()) for row in _rows(connection, wanted)]

    def trend(self, last: int = 30) -> list[NightCount]:
        """Return the newest nights with the number of their results, the newest last."""
        with self.database.reading() as connection:
            wanted = self._nights().order_by(NightRow.number.desc()).limit(last)
            rows = _rows(connection, wanted)
            counted = (
                select(ResultRow.night_id, ResultRow.status, func.count().label("count"))
                .where(ResultRow.night_id.in_([row["id"] for row in rows]))
                .group_by(ResultRow.night_id, ResultRow.status)
            )
            counts = {(each["night_id"], each["status"]): each["count"]
                      for each in _rows(connection, counted)}  # fmt: skip
        return [_night_count(row, counts) for row in reversed(rows)]

    def last(self) -> Night | None:
        """Return the newest night; None if there is none."""
        with self.database.reading() as connection:
            wanted = self._nights().order_by(NightRow.number.desc()).limit(1)
            row = next(iter(_rows(connection, wanted)), None)
            return None if row is None else _whole(connection, self.plan, row)

    def every(self) -> float | None:
        """Return how often the plan of the newest night runs, in seconds."""
        with self.database.reading() as connection:
            wanted = self._nights().order_by(NightRow.number.desc()).limit(1)
            row = next(iter(_rows(connection, wanted)), None)
            return None if row is None else row["every"]

    def judged_night(self, number: int | None = None) -> JudgedNight:
        """Return a night with all that its page shows; None: the newest.

        Raises:
            UsageError: there is no such night.
        """
        with self.database.reading() as connection:
            wanted = self._nights().order_by(NightRow.number.desc()).limit(1)
            if number is not None:
                wanted = wanted.where(NightRow.number == number)
            row = next(iter(_rows(connection, wanted)), None)
            if row is None:
                which = "no night yet" if number is None else f"no night {number}"
                run, trend = (
                    "run one: harness nightly run",
                    "list its nights: harness nightly trend",
                )
                raise UsageError(
                    f"the plan {self.plan} has {which} in {self.database.place}",
                    remedy=run if number is None else trend,
                )
            night = _whole(connection, self.plan, row)
            results = results_where(connection, ResultRow.night_id == row["id"])
            by_id = {each.id: each for each in results}
            found = [
                problem_of(each, _incidents(connection, each["judged_id"], by_id))
                for each in _rows(connection, _judged().where(JudgedRow.night_id == row["id"]))
            ]
            news = _rows(connection, select(NewsRow.__table__).where(NewsRow.night_id == row["id"]))
            problems = sorted(found, key=_badness)
            return JudgedNight(night, results, tuple(problems), tuple(map(news_of_row, news)))

    def results(self, night: Night) -> tuple[Result, ...]:
        """Return all results of a night so far."""
        with self.database.reading() as connection:
            wanted = self._nights().where(NightRow.number == night.number)
            row = next(iter(_rows(connection, wanted)))
            return results_where(connection, ResultRow.night_id == row["id"])

    def problems(self) -> dict[str, Problem]:
        """Return each problem as the last night that judged it did, by its id."""
        newest = (
            select(func.max(JudgedRow.id))
            .join(ProblemRow, ProblemRow.id == JudgedRow.problem_id)
            .join(PlanRow, PlanRow.id == ProblemRow.plan_id)
            .where(PlanRow.name == self.plan)
            .group_by(JudgedRow.problem_id)
        )
        with self.database.reading() as connection:
            rows = _rows(connection, _judged().where(JudgedRow.id.in_(newest)))
            return {row["key"]: problem_of(row) for row in rows}

    def told(self) -> frozenset[str]:
        """Return the keys of all news that were told."""
        wanted = (
            select(NewsRow.key)
            .join(PlanRow, PlanRow.id == NewsRow.plan_id)
            .where(PlanRow.name == self.plan)
        )
        with self.database.reading() as connection:
            return frozenset(connection.execute(wanted).scalars())

    def judged_tip(self, branch: str) -> tuple[int, str] | None:
        """Return the last night that judged a branch, and its tip then; None if none did."""
        wanted = (
            select(NightRow.number, BranchRow.tip)
            .join(PlanRow, PlanRow.id == NightRow.plan_id)
            .join(BranchRow, BranchRow.night_id == NightRow.id)
            .join(
                ResultRow,
                and_(
                    ResultRow.night_id == NightRow.id,
                    ResultRow.branch == BranchRow.name,
                    ResultRow.commit == BranchRow.tip,
                ),
            )
            .where(
                PlanRow.name == self.plan,
                NightRow.state == NightState.ENDED.value,
                BranchRow.name == branch,
                ResultRow.purpose == Purpose.PLANNED.value,
                ResultRow.status.in_(TOLD),
            )
            .order_by(NightRow.number.desc())
            .limit(1)
        )
        with self.database.reading() as connection:
            row = connection.execute(wanted).first()
            return None if row is None else (row[0], row[1])

    def had_host_trouble(self, number: int) -> bool:
        """Return whether a host failed in a night, in spite of retries, or a fetch did."""
        night = self.judged_night(number)
        unfetched = any(branch.problem for branch in night.night.branches)
        return unfetched or bool(unmended(night.results))

    def cells(self, number: int) -> tuple[Slot, ...]:
        """Return the slots of the plan in a night."""
        with self.database.reading() as connection:
            wanted = self._nights().where(NightRow.number == number)
            row = next(iter(_rows(connection, wanted)), None)
            cells = [] if row is None else row["cells"]
            return tuple(Slot(each["slot"]["branch"], each["slot"]["cell"]) for each in cells)

    def first_incidents(self, problem: Problem) -> dict[Slot, Incident]:
        """Return the first incident of each slot since the night that first showed a problem."""
        wanted = (
            select(JudgedRow.id)
            .join(ProblemRow, ProblemRow.id == JudgedRow.problem_id)
            .join(NightRow, NightRow.id == JudgedRow.night_id)
            .join(PlanRow, PlanRow.id == ProblemRow.plan_id)
            .where(
                PlanRow.name == self.plan,
                ProblemRow.key == problem.id,
                NightRow.number >= problem.first_night,
            )
            .order_by(NightRow.number)
        )
        found: dict[Slot, Incident] = {}
        with self.database.reading() as connection:
            for judged in connection.execute(wanted).scalars():
                for each in _incidents(connection, judged, {}):
                    found.setdefault(each.slot, each)
                if found.keys() >= set(problem.slots):
                    break
        return found

    def console(self, digest: str) -> bytes:
        """Return a console by its hash; empty if it has expired."""
        wanted = select(ConsoleRow.data).where(ConsoleRow.hash == digest)
        with self.database.reading() as connection:
            data = connection.execute(wanted).scalar()
            return b"" if data is None else zlib.decompress(data)

    def _nights(self) -> Select[Any]:
        return (
            select(NightRow.__table__)
            .join(PlanRow, PlanRow.id == NightRow.plan_id)
            .where(PlanRow.name == self.plan)
        )


def plans_of(database: Database) -> list[str]:
    """Return the names of all plans of a history."""
    with database.reading() as connection:
        return list(connection.execute(select(PlanRow.name).order_by(PlanRow.name)).scalars())


def _night_count(row: dict[str, Any], counts: dict[tuple[int, str], int]) -> NightCount:
    own = {status: counts.get((row["id"], status.value), 0) for status in Status}
    return NightCount(
        row["number"], row["started"], row["state"], row["exit_code"], row["spent"],
        sum(own[status] for status in Status if status.tells),
        own[Status.FAILED] + own[Status.UNBUILT], own[Status.HOST_FAILED], own[Status.NOT_RUN],
    )  # fmt: skip


def _rows(connection: Connection, wanted: Executable) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(wanted)]


def _whole(connection: Connection, plan: str, row: dict[str, Any]) -> Night:
    branches = select(BranchRow.__table__).where(BranchRow.night_id == row["id"])
    revisions = select(RevisionRow.__table__).where(RevisionRow.night_id == row["id"])
    return night_of(
        plan,
        row,
        [branch_of(each) for each in _rows(connection, branches.order_by(BranchRow.id))],
        [revision_of(each) for each in _rows(connection, revisions.order_by(RevisionRow.id))],
    )


def _judged() -> Select[Any]:
    columns = [each for each in JudgedRow.__table__.columns if each.name != "id"]
    return select(
        *columns, JudgedRow.id.label("judged_id"), ProblemRow.key, ProblemRow.kind, ProblemRow.title
    ).join(ProblemRow, ProblemRow.id == JudgedRow.problem_id)


def _incidents(
    connection: Connection, judged: int, results: dict[int, Result]
) -> tuple[Incident, ...]:
    rows = _rows(connection, select(IncidentRow.__table__).where(IncidentRow.judged_id == judged))
    wanted = {number for row in rows for number in (row["failing_id"], row["passing_id"])}
    missing = [number for number in wanted if number is not None and number not in results]
    if missing:  # the base's results are those of an earlier night
        results |= {each.id: each for each in results_where(connection, ResultRow.id.in_(missing))}
    return tuple(
        Incident(
            Slot(row["branch"], row["cell"]), row["first_bad"], row["last_good"],
            results[row["failing_id"]], results.get(row["passing_id"]),
        )
        for row in rows
    )  # fmt: skip


def _badness(problem: Problem) -> tuple[bool, int, int, str]:
    return (
        not problem.open, _WORST.index(problem.classification), -problem.last_night, problem.id
    )  # fmt: skip
