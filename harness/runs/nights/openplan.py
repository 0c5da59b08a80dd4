"""A plan with its history: what a night, its news and its pages stand on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import InfraError
from harness.history.database import Database
from harness.history.nights import NightReader
from harness.history.outbox import Outbox
from harness.history.store import NightStore
from harness.history.url import HistoryLocation, history_location
from harness.nightly.cells import NightCell, PlannedBranch, branches_of, cells_of
from harness.nightly.issues import read_issues
from harness.nightly.planfile import read_plan
from harness.runs.nights.histories import default_history, remember_history

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.nightly.issues import KnownIssue
    from harness.nightly.plan import NightlyPlan
    from harness.runs.environment import Environment


@dataclass(frozen=True, slots=True)
class NightRequest:
    """A night to run.

    Args:
        plan: file of the plan.
        budget: seconds, in place of the plan's.
        since: revision after which commits are tested, in place of the last judged tips.
        history: where the history is, in place of the plan's.
        silence: run cells on the workers of the history's group, of which one is gone that is
            silent for so many seconds; None: run them on this host.
    """

    plan: Path
    budget: float | None = None
    since: str | None = None
    history: HistoryLocation | None = None
    silence: float | None = None


@dataclass(frozen=True, slots=True)
class OpenPlan:
    """A plan with its history.

    Args:
        plan: the plan.
        branches: its branches.
        cells: its cells.
        issues: the known issues.
        database: the history.
        pages: directory of the pages; None: none are written.
    """

    plan: NightlyPlan
    branches: tuple[PlannedBranch, ...]
    cells: tuple[NightCell, ...]
    issues: tuple[KnownIssue, ...]
    database: Database
    pages: Path | None = None

    @property
    def reader(self) -> NightReader:
        """Reads the plan's nights."""
        return NightReader(self.database, self.plan.name)

    @property
    def outbox(self) -> Outbox:
        """What is to be sent, and was."""
        return Outbox(self.database, self.plan.name)

    @property
    def store(self) -> NightStore:
        """Writes the plan's nights."""
        return NightStore(self.database, self.plan.name)


def open_plan(request: NightRequest, env: Environment) -> OpenPlan:
    """Read a plan, and open its history.

    Raises:
        UsageError: the plan, its known issues or its history are invalid.
        InfraError: the history cannot be read.
    """
    plan = read_plan(request.plan)
    directory = request.plan.resolve().parent
    location = request.history
    if location is None and plan.history is not None:
        location = history_location(plan.history, directory)
    location = location or default_history(env.workspace, plan.name)
    database = Database.open(location)
    remember_history(env.workspace, location)
    issues = read_issues(directory / plan.issues)
    pages = None if plan.pages is None else directory / Path(plan.pages).expanduser()
    return OpenPlan(plan, branches_of(plan), cells_of(plan), issues, database, pages)


def night_lock(plan: str) -> str:
    """Return the name of the lock that a night of a plan holds."""
    return f"nightly-{plan}"


def refuse_second(plan: str) -> Callable[[str], None]:
    """Return what refuses to wait for the lock of a plan's night."""

    def refuse(holder: str) -> None:
        raise InfraError(
            f"a night of the plan {plan} is running, in process {holder}",
            remedy=f"wait for it, or end it: kill {holder}",
        )

    return refuse
