"""Copies nights from a history in a file to one on a server, all or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Table, func, select

from harness.errors import UsageError
from harness.history.columns import storable
from harness.history.schema import Base, ConsoleRow, NightRow, PlanRow

if TYPE_CHECKING:
    from psycopg import Connection as Session
    from sqlalchemy import Connection

    from harness.history.database import Database

#: Conditions of the rows that belong to some plans; what is named in braces is a subquery.
_ROWS: Final = {
    "plans": "id IN {plans}",
    "nights": "plan_id IN {plans}",
    "branches": "night_id IN {nights}",
    "revisions": "night_id IN {nights}",
    "results": "night_id IN {nights}",
    "test_cases": "result_id IN (SELECT id FROM results WHERE night_id IN {nights})",
    "problems": "plan_id IN {plans}",
    "judged": "night_id IN {nights}",
    "incidents": "judged_id IN (SELECT id FROM judged WHERE night_id IN {nights})",
    "news": "plan_id IN {plans}",
    "outbox": "night_id IN {nights}",
    "consoles": "hash IN (SELECT console FROM results WHERE night_id IN {nights})",
}

#: What belongs to no plan, or to nights that run.
_OTHER: Final = frozenset({"locks", "hosts", "leases", "file_parts"})


@dataclass(frozen=True, slots=True)
class CopiedPlan:
    """A plan of a file.

    Args:
        name: its name.
        nights: the number of its nights.
        is_new: False if the server had them already.
    """

    name: str
    nights: int
    is_new: bool


def copy_history(source: Database, target: Database) -> list[CopiedPlan]:
    """Copy all plans of a history that another does not have; return all plans.

    Args:
        source: a history in a file.
        target: a history on a server.

    Raises:
        UsageError: the target has other nights of a plan.
        InfraError: a history cannot be read or written; then nothing is copied.
    """
    with source.reading() as reading, target.writing() as writing:
        plans = list(_compared(reading, writing, target.place))
        new = [each.name for each in plans if each.is_new]
        if new:
            wanted = select(PlanRow.id).where(PlanRow.name.in_(new))
            _copy(reading, writing, list(reading.execute(wanted).scalars()))
    return plans


def _compared(reading: Connection, writing: Connection, place: str) -> Iterator[CopiedPlan]:
    """Yield each plan of the source, and whether it is new.

    Raises:
        UsageError: the target has other nights of it.
    """
    for plan in reading.execute(select(PlanRow.name).order_by(PlanRow.name)).scalars().all():
        ours, theirs = (_nights(connection, plan) for connection in (reading, writing))
        if theirs and not set(ours) <= set(theirs):
            raise UsageError(
                f"{place} has other nights of the plan {plan} than the file",
                remedy="import into a new database, or give the plan another name",
            )
        yield CopiedPlan(plan, len(ours), bool(ours) and not theirs)


def _nights(connection: Connection, plan: str) -> list[tuple[Any, ...]]:
    """Return what identifies the nights of a plan."""
    wanted = (
        select(NightRow.number, NightRow.started, NightRow.host)
        .join(PlanRow, PlanRow.id == NightRow.plan_id)
        .where(PlanRow.name == plan)
    )
    return [tuple(row) for row in connection.execute(wanted)]


def _copy(reading: Connection, writing: Connection, plans: Sequence[int]) -> None:
    """Copy all rows of some plans, with numbers after those that the target has."""
    tables = [each for each in Base.metadata.sorted_tables if each.name not in _OTHER]
    numbered = [each for each in tables if "id" in each.columns]
    first = {each.name: _largest(writing, each) for each in numbered}
    _adopt_plans(reading, writing, plans)
    for table in tables:
        _copy_table(reading, writing, table, plans, first)
    for table in numbered:
        own = f"pg_get_serial_sequence('{table.name}', 'id')"
        largest = max(_largest(writing, table), 1)
        writing.exec_driver_sql(f"SELECT setval({own}, {largest})")
    for table in tables:  # otherwise the server plans queries as if the tables were empty
        writing.exec_driver_sql(f"ANALYZE {table.name}")


def _largest(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.max(table.columns["id"]))).scalar() or 0)


def _adopt_plans(reading: Connection, writing: Connection, plans: Sequence[int]) -> None:
    """Remove plans without nights from the target, which would have the copies' names."""
    names = list(reading.execute(select(PlanRow.name).where(PlanRow.id.in_(plans))).scalars())
    table = PlanRow.__table__
    writing.execute(table.delete().where(table.c.name.in_(names)))  # type: ignore[attr-defined]


def _copy_table(
    reading: Connection, writing: Connection, table: Table, plans: Sequence[int],
    first: dict[str, int],
) -> None:  # fmt: skip
    """Copy the rows of a table that belong to some plans."""
    names = [column.name for column in table.columns]
    listed = ", ".join(f'"{name}"' for name in names)
    added = [first.get(_numbered_by(table, name) or "", 0) for name in names]
    known = _known_consoles(writing) if table.name == ConsoleRow.__tablename__ else frozenset()
    own = f"({', '.join(map(str, plans))})"
    nights = f"(SELECT id FROM nights WHERE plan_id IN {own})"  # noqa: S608 - numbers
    condition = _ROWS[table.name].format(plans=own, nights=nights)
    statement = f"SELECT {listed} FROM {table.name} WHERE {condition}"  # noqa: S608 - our names
    if "id" in names:
        statement += " ORDER BY id"
    session: Session = writing.connection.driver_connection  # type: ignore[assignment]
    with (
        session.cursor() as cursor,
        cursor.copy(f"COPY {table.name} ({listed}) FROM STDIN") as copy,
    ):
        for row in reading.exec_driver_sql(statement).yield_per(1000):
            if row[0] not in known:
                copy.write_row([_moved(*each) for each in zip(row, added, strict=True)])


def _numbered_by(table: Table, name: str) -> str | None:
    """Return the table whose numbers a column contains."""
    column = table.columns[name]
    if name == "id":
        return table.name
    return next((each.column.table.name for each in column.foreign_keys), None)


def _moved(value: Any, added: int) -> Any:
    if isinstance(value, str):
        return storable(value)
    return value + added if added and value is not None else value


def _known_consoles(writing: Connection) -> frozenset[str]:
    return frozenset(writing.execute(select(ConsoleRow.hash)).scalars())
