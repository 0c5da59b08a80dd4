"""Moves a history from a file to a server."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.group.historycopy import CopiedPlan, copy_history
from harness.history.database import Database
from harness.history.nights import plans_of
from harness.runs.nights.openplan import night_lock, refuse_second

if TYPE_CHECKING:
    from pathlib import Path

    from harness.history.url import DatabaseUrl
    from harness.runs.environment import Environment


def import_history(file: Path, url: DatabaseUrl, env: Environment) -> list[CopiedPlan]:
    """Copy the nights of all plans from a file to a server, all or nothing; return the plans.

    Plans that the server has already are left as they are.

    Raises:
        UsageError: there is no such file, or the server has other nights of a plan.
        InfraError: a night of a plan is running, or a history cannot be read or written.
    """
    if not file.is_file():
        raise UsageError(f"there is no history {file}", remedy="name an existing file")
    with ExitStack() as stack:
        source = Database.open(file)
        stack.callback(source.close)
        target = Database.open(url)
        stack.callback(target.close)
        for plan in plans_of(source):
            stack.enter_context(env.workspace.lock(night_lock(plan), refuse_second(plan)))
        return copy_history(source, target)
