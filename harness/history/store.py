"""Writes nights into a history; each call is one transaction."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from harness.history.outbox import queue
from harness.history.rows import (
    case_values,
    news_values,
    night_values,
    problem_values,
    result_values,
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
    TestCaseRow,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from harness.history.database import Database
    from harness.history.outbox import Message
    from harness.nightly.night import News, Night, Problem
    from harness.nightly.result import Result

#: Rows of one statement.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class NightStore:
    """Writes the nights of one plan.

    Args:
        database: the history.
        plan: name of the plan.
    """

    database: Database
    plan: str

    def begin(self, night: Night, cells: Sequence[Mapping[str, Any]], every: float) -> Night:
        """Store a night that starts, with its branches and revisions; return it with its number.

        Args:
            night: the night; its number is ignored.
            cells: the plan's cells, as JSON documents.
            every: how often the plan runs, in seconds.

        Raises:
            InfraError: the history cannot be written.
        """
        with self.database.writing() as connection:
            plan = self._plan_id(connection)
            newest = select(func.max(NightRow.number)).where(NightRow.plan_id == plan)
            night = replace(night, number=(connection.execute(newest).scalar() or 0) + 1)
            values = {**night_values(night), "plan_id": plan, "cells": cells, "every": every}
            row = _inserted(connection, NightRow, values)
            branches = [_own(each, night_id=row) for each in night.branches]
            revisions = [_own(each, night_id=row) for each in night.revisions]
            _insert_all(connection, BranchRow, branches)
            _insert_all(connection, RevisionRow, revisions)
        return night

    def replan(self, night: Night, cells: Sequence[Mapping[str, Any]]) -> None:
        """Store that the plan has other cells, and the notes of a night that goes on.

        Raises:
            InfraError: the history cannot be written.
        """
        with self.database.writing() as connection:
            row = self._night_id(connection, night)
            values = {"cells": cells, "notes": list(night.notes)}
            connection.execute(update(NightRow).where(NightRow.id == row).values(**values))

    def add(self, night: Night, result: Result, console: bytes = b"") -> Result:
        """Store a result; return it with its number and the hash of its console.

        A result of the same slot, revision, purpose and attempt that is already stored stays as it
        is.

        Args:
            night: the night.
            result: the result; one that shares another's verdict has the other's console already.
            console: the console; empty if there is none, or it is stored.

        Raises:
            InfraError: the history cannot be written.
        """
        with self.database.writing() as connection:
            if console:
                result = replace(result, console=_keep_console(connection, console))
            values = {**result_values(result), "night_id": self._night_id(connection, night)}
            number = _existing(connection, values)
            if number is None:
                number = _inserted(connection, ResultRow, values)
                cases = [{**case_values(each), "result_id": number} for each in result.tests]
                _insert_all(connection, TestCaseRow, cases)
        return replace(result, id=number)

    def spend(self, night: Night, seconds: float) -> None:
        """Store how much time of its budget a night has spent.

        Raises:
            InfraError: the history cannot be written.
        """
        with self.database.writing() as connection:
            row = self._night_id(connection, night)
            connection.execute(update(NightRow).where(NightRow.id == row).values(spent=seconds))

    def finish(
        self, night: Night, results: Iterable[Result], problems: Iterable[Problem],
        news: Iterable[News], messages: Iterable[Message] = (),
    ) -> None:  # fmt: skip
        """Store all that a night ends with, in one transaction.

        Args:
            night: the night with its state, end, exit code and notes.
            results: what did not run.
            problems: the judged problems, whose incidents are stored results.
            news: what is told; what the plan has told before is left out.
            messages: what is to be sent.

        Raises:
            InfraError: the history cannot be written.
        """
        with self.database.writing() as connection:
            plan, row = self._plan_id(connection), self._night_id(connection, night)
            left_out = [{**result_values(each), "night_id": row} for each in results]
            _insert_all(connection, ResultRow, left_out)
            for problem in problems:
                _keep_problem(connection, plan, row, problem)
            told = set(connection.execute(select(NewsRow.key).where(NewsRow.plan_id == plan))
                       .scalars())  # fmt: skip
            fresh = [each for each in news if each.key not in told]
            rows = [{**news_values(each), "plan_id": plan, "night_id": row} for each in fresh]
            _insert_all(connection, NewsRow, rows)
            queue(connection, row, messages, night.ended or night.started)
            values = night_values(night)
            connection.execute(update(NightRow).where(NightRow.id == row).values(**values))

    def _plan_id(self, connection: Connection) -> int:
        found = connection.execute(select(PlanRow.id).where(PlanRow.name == self.plan)).scalar()
        return found or _inserted(connection, PlanRow, {"name": self.plan})

    def _night_id(self, connection: Connection, night: Night) -> int:
        wanted = (
            select(NightRow.id)
            .join(PlanRow, PlanRow.id == NightRow.plan_id)
            .where(PlanRow.name == self.plan, NightRow.number == night.number)
        )
        return connection.execute(wanted).scalar_one()


def _own(each: Any, **more: Any) -> dict[str, Any]:
    return {**{name: getattr(each, name) for name in each.__slots__}, **more}


def _inserted(connection: Connection, table: type, values: Mapping[str, Any]) -> int:
    """Insert a row, and return its number."""
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    return int(key[0]) if key is not None else 0


def _insert_all(connection: Connection, table: type, rows: Sequence[Mapping[str, Any]]) -> None:
    for first in range(0, len(rows), _BATCH):
        connection.execute(insert(table), list(rows[first : first + _BATCH]))


def _existing(connection: Connection, values: Mapping[str, Any]) -> int | None:
    names = ("night_id", "branch", "cell", "commit", "purpose", "attempt")
    same = (getattr(ResultRow, name) == values[name] for name in names)
    return connection.execute(select(ResultRow.id).where(*same)).scalar()


def _keep_console(connection: Connection, console: bytes) -> str:
    """Store a console unless an equal one is stored; return its hash."""
    digest = hashlib.sha256(console).hexdigest()
    known = connection.execute(select(ConsoleRow.hash).where(ConsoleRow.hash == digest)).scalar()
    if known is None:
        row = {"hash": digest, "size": len(console), "data": zlib.compress(console)}
        connection.execute(insert(ConsoleRow).values(**row))
    return digest


def _keep_problem(connection: Connection, plan: int, night: int, problem: Problem) -> None:
    same = (ProblemRow.plan_id == plan, ProblemRow.key == problem.id)
    number = connection.execute(select(ProblemRow.id).where(*same)).scalar()
    if number is None:
        row = {"key": problem.id, "kind": problem.kind, "title": problem.title, "plan_id": plan}
        number = _inserted(connection, ProblemRow, row)
    values = {**problem_values(problem), "problem_id": number, "night_id": night}
    judged = _inserted(connection, JudgedRow, values)
    incidents = [
        {
            "judged_id": judged,
            "branch": each.slot.branch,
            "cell": each.slot.cell,
            "first_bad": each.first_bad,
            "last_good": each.last_good,
            "failing_id": each.failing.id,
            "passing_id": each.passing.id if each.passing else None,
        }
        for each in problem.incidents
    ]
    _insert_all(connection, IncidentRow, incidents)
