"""``harness group``: one history for several machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import platformdirs

from harness.cli.commandgroup import CommandGroup
from harness.cli.nightlyplan import require_group
from harness.cli.options import DIRECTORY, FILE, common_options
from harness.history.url import DatabaseUrl

if TYPE_CHECKING:
    from harness.cli.app import App


def _url(ctx: click.Context, param: click.Parameter, value: str) -> DatabaseUrl:
    del ctx, param
    return DatabaseUrl.parse(value)


@click.group(cls=CommandGroup)
def group() -> None:
    """Share one history of nights among machines, in a PostgreSQL database.

    A plan names the database: history = "postgresql://USER@HOST/DATABASE?passfile=/FILE".

    \b
    Examples:
      harness group init "postgresql://postgres@db/harness?sslrootcert=/ca.pem"
      harness group import history.sqlite "postgresql:///harness"
    """


@group.command()
@click.argument("url", callback=_url)
@click.option("--owner", default="harness_owner", show_default=True, metavar="ROLE",
              help="Role that owns the tables, and writes nights.")  # fmt: skip
@click.option("--worker", default="harness_worker", show_default=True, metavar="ROLE",
              help="Role of workers, which run what is leased to their hosts.")  # fmt: skip
@click.option("--passwords", type=DIRECTORY, metavar="DIR",
              help="Directory for their passwords; default: that of the settings.")  # fmt: skip
@common_options
def init(app: App, url: DatabaseUrl, owner: str, worker: str, passwords: Path | None) -> None:
    """Make the tables of a history, and the roles that use them; what exists is kept.

    URL names the database and a role that may create roles and schemas in it. Passwords are random,
    and written into files that only you can read. If anything fails, nothing is made.

    \b
    Examples:
      harness group init "postgresql://postgres@/harness?host=/run/postgresql"
    """
    require_group()
    from harness.group.roles import Roles, make_group

    directory = passwords or platformdirs.user_config_path("harness")
    made = make_group(url, Roles(owner, worker), directory)
    for role in made:
        word = "made the role" if role.is_new else "kept the role"
        app.paper.print(f"{word} {role.name}: {role.url}", markup=False, soft_wrap=True)
    app.emit(
        {"roles": [{"name": role.name, "url": str(role.url), "new": role.is_new} for role in made]}
    )


@group.command("import")
@click.argument("file", type=FILE)
@click.argument("url", callback=_url)
@common_options
def import_(app: App, file: Path, url: DatabaseUrl) -> None:
    """Copy the history in FILE to the database at URL, all or nothing.

    Plans that the database has already stay as they are. FILE is not removed; plans must name URL
    from then on.

    \b
    Examples:
      harness group import nightly.sqlite "postgresql:///harness"
    """
    require_group()
    from harness.runs.nights.importing import import_history

    plans = import_history(file, url, app)
    for plan in plans:
        words = "copied" if plan.is_new else "was there already, or is empty"
        line = f"plan {plan.name}: {plan.nights} nights, {words}"
        app.paper.print(line, markup=False, soft_wrap=True)
    if plans:
        line = f'write into each plan: history = "{url}"'
        app.paper.print(line, markup=False, soft_wrap=True)
    app.emit(
        {
            "history": url.label,
            "plans": [
                {"name": plan.name, "nights": plan.nights, "copied": plan.is_new} for plan in plans
            ],
        }
    )
