"""Arguments of the commands of nightly plans."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import FILE, F, NamedPath
from harness.errors import InfraError, UsageError, given_with
from harness.history.url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.history.url import HistoryLocation
    from harness.runs.nights.openplan import NightRequest

#: Packages of the extra, of which one lacks if none was installed.
_PACKAGES = ("sqlalchemy", "alembic", "apprise", "jinja2", "tomlkit")
_GROUP_PACKAGES = ("psycopg", "procrastinate")


class HistoryOption(NamedPath):
    """The file of a history, or the URL of its database."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path or the URL, or fail if it is neither."""
        if not isinstance(value, str) or "://" not in value:
            return super().convert(value, param, ctx)
        with given_with("--history"):
            return DatabaseUrl.parse(value)


HISTORY = HistoryOption(path_type=Path, dir_okay=False)


def plan_options(command: F) -> F:
    """Add the plan's file, and the options that every command of a plan has."""
    for option in (
        click.option(
            "--history", type=HISTORY, help="File or URL of the history, in place of the plan's."
        ),
        click.argument("plan", type=FILE, default="nightly.toml"),
    ):
        command = option(command)
    return command


def night_request(
    plan: Path, history: HistoryLocation | None, budget: str | None = None, since: str | None = None
) -> NightRequest:
    """Return the request of a command's arguments.

    Raises:
        UsageError: the budget is not a duration.
        InfraError: the packages of the extra are not installed.
    """
    require_packages()
    from harness.nightly.plan import seconds_of
    from harness.runs.nights.openplan import NightRequest

    seconds = None
    if budget is not None:
        with given_with(f"--budget {budget}"):
            try:
                seconds = seconds_of(budget)
            except ValueError as error:
                raise UsageError(str(error), remedy="write --budget 6h") from None
    return NightRequest(plan, seconds, since, history)


def require_packages() -> None:
    """Check that the packages of the extra ``nightly`` are installed.

    Raises:
        InfraError: one is missing.
    """
    _require("nightly runs need", _PACKAGES, "nightly")


def require_group() -> None:
    """Check that the packages of the extras ``nightly`` and ``group`` are installed.

    Raises:
        InfraError: one is missing.
    """
    _require("groups of machines need", (*_PACKAGES, *_GROUP_PACKAGES), "nightly,group")


def _require(what: str, names: Iterable[str], extra: str) -> None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise InfraError(
            f"{what} Python packages that are not installed: {', '.join(missing)}",
            remedy=f"install them: pip install 'harness[{extra}]'",
        )
