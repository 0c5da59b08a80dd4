"""The tables of the history.

Each has a class of ``harness.nightly.night`` that states the meaning of its columns. A change of a
table needs a migration in ``harness/history/migrations/versions``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from harness.history.columns import GuestJson, GuestText, Seed, UtcTime, words

#: A number of a row; SQLite numbers rows by itself only in a column of type INTEGER.
_ROW = BigInteger().with_variant(Integer(), "sqlite")

#: Names that are the same in every database, so that a migration can refer to them.
NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


#: Bytes of a part of a file, compressed, at most.
PART_LIMIT: Final = 1_100_000


class Base(DeclarativeBase):
    """The base class of the tables."""

    metadata = MetaData(naming_convention=NAMING)


class PlanRow(Base):
    """A plan, by its name."""

    __tablename__ = "plans"

    id: Mapped[int] = mapped_column(_ROW, primary_key=True)
    name: Mapped[str] = mapped_column(words(200), unique=True)


class NightRow(Base):
    """See ``harness.nightly.night.Night``."""

    __tablename__ = "nights"
    __table_args__ = (UniqueConstraint("plan_id", "number"),)

    id: Mapped[int] = mapped_column(_ROW, primary_key=True)
    plan_id: Mapped[int] = mapped_column(ForeignKey("plans.id"))
    number: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(words(20))
    started: Mapped[datetime] = mapped_column(UtcTime)
    ended: Mapped[datetime | None] = mapped_column(UtcTime)
    compared_with: Mapped[int | None] = mapped_column(Integer)
    exit_code: Mapped[int | None] = mapped_column(Integer)
    version: Mapped[str] = mapped_column(words())
    host: Mapped[str] = mapped_column(words())
    command: Mapped[list[str]] = mapped_column(GuestJson)
    budget: Mapped[float | None] = mapped_column(Float)
    spent: Mapped[float] = mapped_column(Float)
    notes: Mapped[list[str]] = mapped_column(GuestJson)
    cells: Mapped[list[dict[str, Any]]] = mapped_column(GuestJson)
    """The plan's cells in this night, as JSON documents."""
    every: Mapped[float] = mapped_column(Float)
    """How often the plan says that it runs, in seconds."""


class BranchRow(Base):
    """See ``harness.nightly.night.BranchNight``."""

    __tablename__ = "branches"
    __table_args__ = (UniqueConstraint("night_id", "name"),)

    id: Mapped[int] = mapped_column(_ROW, primary_key=True)
    night_id: Mapped[int] = mapped_column(ForeignKey("nights.id"))
    name: Mapped[str] = mapped_column(words(400))
    source: Mapped[str] = mapped_column(words())
    tip: Mapped[str] = mapped_column(words(64))
    base: Mapped[str] = mapped_column(words(64))
    rewritten: Mapped[bool] = mapped_column(Boolean)
    problem: Mapped[str] = mapped_column(GuestText)


class RevisionRow(Base):
    """See ``harness.nightly.night.RevisionNight``."""

    __tablename__ = "revisions"
    __table_args__ = (UniqueConstraint("night_id", "branch", "commit"),)

    id: Mapped[int] = mapped_column(_ROW, primary_key=True)
    night_id: Mapped[int] = mapped_column(ForeignKey("nights.id"))
    branch: Mapped[str] = mapped_column(words(400))
    commit: Mapped[str] = mapped_column(words(64))
    parent: Mapped[str] = mapped_column(words(64))
    place: Mapped[int] = mapped_column(Integer)
    rank: Mapped[int] = mapped_column(Integer)
    subject: Mapped[str] = mapped_column(GuestText)
    author: Mapped[str] = mapped_column(GuestText)
    date: Mapped[datetime | None] = mapped_column(UtcTime)


class ConsoleRow(Base):
    """A console, stored once by the SHA-256 of its bytes."""

    __tablename__ = "consoles"

    hash: Mapped[str] = mapped_column(words(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    """Its size in bytes before compression."""
    data: Mapped[bytes] = mapped_column(LargeBinary)
    """The bytes, compressed by zlib."""


class ResultRow(Base):
    """See ``harness.nightly.result.Result``."""

    __tablename__ = "results"
    __table_args__ = (
        UniqueConstraint("night_id", "branch", "cell", "commit", "purpose", "attempt"),
        Index(None, "branch", "cell", "night_id"),
        Index(None, "artifact", "cell"),
        Index(None, "console"),
    )

    id: Mapped[int] = mapped_column(_ROW, primary_key=True)
    night_id: Mapped[int] = mapped_column(ForeignKey("nights.id"))
    branch: Mapped[str] = mapped_column(words(400))
    cell: Mapped[str] = mapped_column(words(400))
    commit: Mapped[str] = mapped_column(words(64))
    purpose: Mapped[str] = mapped_column(words(20))
    attempt: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(words(20))
    kind: Mapped[str] = mapped_column(words(20))
    outcome: Mapped[str] = mapped_column(words(40))
    title: Mapped[str] = mapped_column(GuestText)
    detail: Mapped[str] = mapped_column(GuestText)
    artifact: Mapped[str] = mapped_column(words(64))
    kernel: Mapped[str] = mapped_column(words(100))
    configuration: Mapped[str] = mapped_column(words())
    topology: Mapped[str] = mapped_column(words())
    guest: Mapped[str] = mapped_column(GuestText)
    host: Mapped[str] = mapped_column(words())
    accelerator: Mapped[str] = mapped_column(words(20))
    method: Mapped[str] = mapped_column(words(20))
    started: Mapped[datetime | None] = mapped_column(UtcTime)
    seconds: Mapped[float] = mapped_column(Float)
    stages: Mapped[dict[str, float]] = mapped_column(GuestJson)
    cpu: Mapped[dict[str, float]] = mapped_column(GuestJson)
    frames: Mapped[list[dict[str, Any]]] = mapped_column(GuestJson)
    seed: Mapped[int | None] = mapped_column(Seed)
    console: Mapped[str] = mapped_column(words(64))
    offset: Mapped[int | None] = mapped_column(BigInteger)
    run: Mapped[str] = mapped_column(words())
    record_cell: Mapped[str] = mapped_column(words())
    shared: Mapped[int | None] = mapped_column(ForeignKey("results.id"))
    opinions: Mapped[list[dict[str, Any]]] = mapped_column(GuestJson)


class TestCaseRow(Base):
    """A test of a suite that a cell ran, with its own result."""

    __tablename__ = "test_cases"
    __table_args__ = (UniqueConstraint("result_id", "name"),)

    id: Mapped[int] = mapped_column(_ROW, primary_key=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("results.id"))
    name: Mapped[str] = mapped_column(GuestText)
    status: Mapped[str] = mapped_column(words(20))
    outcome: Mapped[str] = mapped_column(words(40))
    reason: Mapped[str] = mapped_column(GuestText)
    seconds: Mapped[float] = mapped_column(Float)


class ProblemRow(Base):
    """What identifies a problem; see ``harness.nightly.night.Problem``."""

    __tablename__ = "problems"
    __table_args__ = (UniqueConstraint("plan_id", "key"),)

    id: Mapped[int] = mapped_column(_ROW, primary_key=True)
    plan_id: Mapped[int] = mapped_column(ForeignKey("plans.id"))
    key: Mapped[str] = mapped_column(words(16))
    """``harness.nightly.night.Problem.id``"""
    kind: Mapped[str] = mapped_column(words(20))
    title: Mapped[str] = mapped_column(GuestText)


class JudgedRow(Base):
    """A problem as one night judged it; see ``harness.nightly.night.Problem``.

    A problem's newest row is its state.
    """

    __tablename__ = "judged"
    __table_args__ = (UniqueConstraint("problem_id", "night_id"), Index(None, "night_id"))

    id: Mapped[int] = mapped_column(_ROW, primary_key=True)
    problem_id: Mapped[int] = mapped_column(ForeignKey("problems.id"))
    night_id: Mapped[int] = mapped_column(ForeignKey("nights.id"))
    classification: Mapped[str] = mapped_column(words(20))
    open: Mapped[bool] = mapped_column(Boolean)
    last_night: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    boots: Mapped[int] = mapped_column(Integer)
    low: Mapped[float] = mapped_column(Float)
    high: Mapped[float] = mapped_column(Float)
    first_night: Mapped[int] = mapped_column(Integer)
    streak: Mapped[int] = mapped_column(Integer)
    repeats_failed: Mapped[int] = mapped_column(Integer)
    repeats: Mapped[int] = mapped_column(Integer)
    slots: Mapped[list[list[str]]] = mapped_column(GuestJson)
    culprit: Mapped[dict[str, Any] | None] = mapped_column(GuestJson)
    fixed_by: Mapped[dict[str, Any] | None] = mapped_column(GuestJson)
    why_unknown: Mapped[str] = mapped_column(GuestText)
    known_issue: Mapped[str] = mapped_column(words())
    why: Mapped[str] = mapped_column(GuestText)


class IncidentRow(Base):
    """See ``harness.nightly.night.Incident``."""

    __tablename__ = "incidents"
    __table_args__ = (UniqueConstraint("judged_id", "branch", "cell"),)

    id: Mapped[int] = mapped_column(_ROW, primary_key=True)
    judged_id: Mapped[int] = mapped_column(ForeignKey("judged.id"))
    branch: Mapped[str] = mapped_column(words(400))
    cell: Mapped[str] = mapped_column(words(400))
    first_bad: Mapped[str] = mapped_column(words(64))
    last_good: Mapped[str] = mapped_column(words(64))
    failing_id: Mapped[int] = mapped_column(ForeignKey("results.id"))
    passing_id: Mapped[int | None] = mapped_column(ForeignKey("results.id"))


class NewsRow(Base):
    """See ``harness.nightly.night.News``."""

    __tablename__ = "news"
    __table_args__ = (UniqueConstraint("plan_id", "key"), Index(None, "night_id"))

    id: Mapped[int] = mapped_column(_ROW, primary_key=True)
    plan_id: Mapped[int] = mapped_column(ForeignKey("plans.id"))
    night_id: Mapped[int] = mapped_column(ForeignKey("nights.id"))
    kind: Mapped[str] = mapped_column(words(30))
    key: Mapped[str] = mapped_column(words(200))
    text: Mapped[str] = mapped_column(GuestText)
    problem: Mapped[str] = mapped_column(words(16))
    branch: Mapped[str | None] = mapped_column(words(400))
    cell: Mapped[str | None] = mapped_column(words(400))
    commit: Mapped[str] = mapped_column(words(64))


class OutboxRow(Base):
    """A message that is to be sent, or was; see ``harness.history.outbox``."""

    __tablename__ = "outbox"
    __table_args__ = (UniqueConstraint("night_id", "recipient", "kind"), Index(None, "state"))

    id: Mapped[int] = mapped_column(_ROW, primary_key=True)
    night_id: Mapped[int] = mapped_column(ForeignKey("nights.id"))
    kind: Mapped[str] = mapped_column(words(20))
    recipient: Mapped[str] = mapped_column(words(400))
    """A mail address, or the name of a chat in the plan; never a secret."""
    message: Mapped[bytes] = mapped_column(LargeBinary)
    created: Mapped[datetime] = mapped_column(UtcTime)
    state: Mapped[str] = mapped_column(words(20))
    attempts: Mapped[int] = mapped_column(Integer)
    error: Mapped[str] = mapped_column(GuestText)
    sent: Mapped[datetime | None] = mapped_column(UtcTime)


class LockRow(Base):
    """Who holds a lock against other hosts, or held it last; see ``harness.history.serverlock``."""

    __tablename__ = "locks"

    name: Mapped[str] = mapped_column(words(), primary_key=True)
    token: Mapped[str] = mapped_column(words())
    taken: Mapped[datetime] = mapped_column(UtcTime)


class HostRow(Base):
    """A host of a group, as its worker announced it; see ``harness.group.leases``."""

    __tablename__ = "hosts"

    name: Mapped[str] = mapped_column(words(100), primary_key=True)
    role: Mapped[str] = mapped_column(words())
    """The database's role that it works as."""
    version: Mapped[str] = mapped_column(words())
    offer: Mapped[dict[str, Any]] = mapped_column(GuestJson)
    """``HostOffer`` as JSON."""
    kernels: Mapped[list[str]] = mapped_column(GuestJson)
    """Keys of the kernels in its cache."""
    seen: Mapped[datetime] = mapped_column(UtcTime)
    """When it last reported, by the server's clock."""
    leaving: Mapped[bool] = mapped_column(Boolean)
    """Whether it takes no more cells."""


class LeaseRow(Base):
    """One attempt at a cell or a build, leased to a host; see ``harness.group.leases``."""

    __tablename__ = "leases"
    __table_args__ = (UniqueConstraint("night_id", "job", "attempt"), Index(None, "host", "state"))

    id: Mapped[int] = mapped_column(_ROW, primary_key=True)
    night_id: Mapped[int] = mapped_column(ForeignKey("nights.id"))
    job: Mapped[str] = mapped_column(words())
    attempt: Mapped[int] = mapped_column(Integer)
    host: Mapped[str] = mapped_column(words(100))
    cores: Mapped[float] = mapped_column(Float)
    memory: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(words(20))
    result: Mapped[dict[str, Any] | None] = mapped_column(GuestJson)
    console: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The console, compressed by zlib, until it is stored."""
    seen: Mapped[datetime | None] = mapped_column(UtcTime)
    """When the cell last reported, by the server's clock."""


class FilePartRow(Base):
    """A part of a file that a host sent for others; see ``harness.group.files``."""

    __tablename__ = "file_parts"
    __table_args__ = (
        CheckConstraint(f"length(data) <= {PART_LIMIT}", name="ck_file_parts_data"),
        CheckConstraint("number BETWEEN 0 AND 2047", name="ck_file_parts_number"),
    )

    host: Mapped[str] = mapped_column(words(100), primary_key=True)
    """The host that sent it."""
    sha256: Mapped[str] = mapped_column(words(64), primary_key=True)
    """Of the whole file."""
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    """Its place in the file, from 0."""
    data: Mapped[bytes] = mapped_column(LargeBinary)
    """Its bytes, compressed by zlib."""
    sent: Mapped[datetime] = mapped_column(UtcTime)
    """When it was sent, by the server's clock."""
