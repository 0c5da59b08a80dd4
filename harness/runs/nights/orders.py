"""Orders of a night to the hosts of a group, and their answers: small JSON documents.

The types here are the schema that both are held to. An order says what a plan can say. Files never
travel in either.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from harness.errors import BuildError, HarnessError, InfraError, UsageError
from harness.host.tables import Complaint, Table, read_table
from harness.nightly.cells import NightCell, PlannedBranch
from harness.nightly.result import Purpose, Result
from harness.runs.nights.cellrunner import NightTask
from harness.runs.replicas import KernelReplica, WorldReplica

if TYPE_CHECKING:
    from collections.abc import Mapping


class BranchOrder(Table, frozen=True, kw_only=True):
    """The branch of an order, and its end points in the night; see ``BranchNight``."""

    planned: PlannedBranch
    tip: str
    base: str
    rewritten: bool


class HeldOrder(Table, frozen=True, kw_only=True):
    """The files that a cell needs."""

    kernel: KernelReplica
    world: WorldReplica | None = None

    @property
    def all(self) -> tuple[KernelReplica | WorldReplica, ...]:
        """The kernel, and the world if there is one."""
        return (self.kernel, *([self.world] if self.world else []))


class _Message(Table, frozen=True, kw_only=True):
    """What travels between the night and its hosts."""

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document


class NightOrder(_Message, frozen=True, kw_only=True):
    """What a host is to do: build a kernel, send or receive it, or run a cell with it."""

    version: str
    """The harness by its content."""
    kind: Literal["kernel", "send", "receive", "cell"]
    commands: bool
    """Whether it runs commands on the host outside the sandbox."""
    plan: str
    night: int
    host: str
    """The host of the night, not of the cell."""
    branch: BranchOrder
    cell: NightCell
    commit: str
    purpose: Purpose
    attempt: int
    trusted: bool
    loader: bool
    clean: bool
    cores: float
    memory: int
    held: HeldOrder | None = None
    """The kernel that is sent, received or booted; None before it is built."""
    sender: str = ""
    """The host from which it is received."""
    specification: SpecificationOrder | None = None
    """What a check holds the kernel to."""

    @property
    def task(self) -> NightTask:
        """What is to be run."""
        return NightTask(
            self.cell, self.commit, self.purpose, self.attempt, self.trusted, self.loader,
            self.clean,
        )  # fmt: skip


class SpecificationOrder(Table, frozen=True, kw_only=True):
    """What a kernel is held to; see ``Specification``."""

    values: dict[str, bool]
    why: str
    asked: str


class ErrorAnswer(Table, frozen=True, kw_only=True):
    """Why a kernel was not had."""

    kind: Literal["build", "usage", "host"]
    message: str
    remedy: str
    detail: str

    @classmethod
    def of(cls, error: HarnessError) -> ErrorAnswer:
        """Return the answer of an error."""
        kind: Literal["build", "usage", "host"] = "host"
        if isinstance(error, BuildError):
            kind = "build"
        elif isinstance(error, UsageError):
            kind = "usage"
        return cls(kind=kind, message=error.message, remedy=error.remedy, detail=error.detail)

    @property
    def error(self) -> HarnessError:
        """The error."""
        kinds = {"build": BuildError, "usage": UsageError, "host": InfraError}
        return kinds[self.kind](self.message, remedy=self.remedy, detail=self.detail)


class NightAnswer(_Message, frozen=True, kw_only=True):
    """What came out: a kernel, a result, or an error."""

    held: HeldOrder | None = None
    """The kernel that was built."""
    keys: tuple[str, ...] = ()
    """What a host that has it announces of its cache."""
    result: Result | None = None
    error: ErrorAnswer | None = None


def read_order(document: Mapping[str, Any]) -> NightOrder:
    """Return the order of a document.

    Raises:
        UsageError: it is none.
    """
    try:
        return read_table(dict(document), NightOrder)
    except Complaint as complaint:
        raise UsageError(f"the order is invalid: {complaint.key}: {complaint.what}") from None


def read_answer(document: object) -> NightAnswer:
    """Return the answer of a document.

    Raises:
        UsageError: it is none.
    """
    try:
        return read_table(dict(document) if isinstance(document, dict) else {}, NightAnswer)
    except Complaint as complaint:
        raise UsageError(f"its answer is invalid: {complaint.key}: {complaint.what}") from None


def told_result(answer: Result, planned: Result, host: str) -> Result:
    """Return the result of a host's answer; what identifies it is the asker's.

    Args:
        answer: the result that the host reported.
        planned: the result before it ran.
        host: name of the host.
    """
    return replace(
        answer, id=0, slot=planned.slot, commit=planned.commit, purpose=planned.purpose,
        attempt=planned.attempt, configuration=planned.configuration, seed=planned.seed,
        console="", shared=None, host=host,
    )  # fmt: skip
