"""``harness nightly``: what broke since the last night, by which commit."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.commandgroup import CommandGroup
from harness.cli.nightlyissues import issues
from harness.cli.nightlyplan import night_request, plan_options, require_group
from harness.cli.nightlytell import tell
from harness.cli.options import DIRECTORY, FILE, common_options
from harness.errors import InfraError, UsageError
from harness.group.silence import USUAL_SILENCE

if TYPE_CHECKING:
    from harness.cli.app import App
    from harness.history.url import HistoryLocation
    from harness.nightly.night import JudgedNight
    from harness.runs.nights.grouphosts import SeenHost
    from harness.runs.nights.openplan import NightRequest, OpenPlan


@click.group(cls=CommandGroup)
def nightly() -> None:
    """Test each night's commits: what broke, since which commit, and was it the kernel.

    \b
    Examples:
      harness nightly init
      harness nightly plan
      harness nightly run --budget 6h
      harness nightly status
    """


@nightly.command()
@click.argument("plan", type=FILE, default="nightly.toml")
@common_options
def init(app: App, plan: Path) -> None:
    """Write a first plan, of the built-in guest.

    \b
    Examples:
      harness nightly init && harness nightly run
    """
    from harness.host.workspace import check_named, write_named
    from harness.nightly.planfile import FIRST_PLAN

    if plan.exists():
        raise UsageError(f"{plan} exists", remedy="name another file, or remove it")
    check_named(plan)
    write_named(plan, FIRST_PLAN)
    app.paper.print(f"wrote {plan}; run it: harness nightly run {plan}", markup=False)
    app.emit({"plan": str(plan)})


@nightly.command()
@common_options
def schema(app: App) -> None:
    """Print the JSON schema of plans, for editors.

    \b
    Examples:
      harness nightly schema > nightly.schema.json
    """
    import json

    from harness.nightly.planfile import plan_schema

    document = plan_schema()
    text = json.dumps(document, indent=1)
    app.paper.print(text, markup=False, soft_wrap=True, highlight=False)
    app.emit({"plan": document})


@nightly.command()
@plan_options
@click.option("--since", metavar="REV", help="Test the commits after REV.")
@common_options
def plan(app: App, plan: Path, history: HistoryLocation | None, since: str | None) -> None:
    """Print what a night would run, how long by the history, and why.

    \b
    Examples:
      harness nightly plan
      harness nightly plan stable.toml --since HEAD~20
    """
    _show_plan(app, night_request(plan, history, since=since))


@nightly.command()
@plan_options
@click.option("--budget", metavar="TIME", help="Time for the night: 90m, 6h; default: the plan's.")
@click.option("--since", metavar="REV", help="Test the commits after REV.")
@click.option("--dry-run", is_flag=True, help="Print what would run, and run nothing.")
@click.option("--workers", is_flag=True, help="Run the cells on the group's workers.")
@click.option(
    "--host-timeout",
    type=click.FloatRange(min=1),
    default=USUAL_SILENCE,
    show_default=True,
    metavar="S",
    help="A host of the group is gone after so many seconds of silence.",
)
@common_options
def run(
    app: App, plan: Path, history: HistoryLocation | None, budget: str | None, since: str | None,
    host_timeout: float, *, dry_run: bool, workers: bool,
) -> int:  # fmt: skip
    """Run a night: test what is new, judge what fails, and find its commit.

    A night that was killed goes on. Exit code: 3 if a negative control did not fail as stated, else
    1 with an open regression, 4 with a build breakage, 3 with host failures that retries did not
    mend, else 0.

    \b
    Examples:
      harness nightly run
      harness nightly run stable.toml --budget 6h
      harness nightly run --workers
    """
    request = night_request(plan, history, budget, since)
    if workers:
        require_group()
        request = replace(request, silence=host_timeout)
    if dry_run:
        _show_plan(app, request)
        return 0
    from harness.cli.view import UserView
    from harness.runs.nights.night import nightly as run_night

    result = run_night(request, app, UserView(app))
    _show_night(app, result.judged)
    if result.index is not None:
        app.paper.print(f"pages: {result.index}", markup=False, soft_wrap=True)
    return result.exit_code


@nightly.command()
@plan_options
@click.option("--tell", is_flag=True, help="Send a message, once, if a night is missing.")
@common_options
def status(app: App, plan: Path, history: HistoryLocation | None, *, tell: bool) -> int:
    """Report whether the plan runs as often as it says; exit code 3 if a night is missing.

    The hosts of a group are listed, too.

    \b
    Examples:
      harness nightly status
      harness nightly status --tell
    """
    request = night_request(plan, history)
    from harness.runs.nights.openplan import open_plan
    from harness.runs.nights.status import night_status

    opened = open_plan(request, app)
    found = night_status(opened, app)
    if tell and found.late:
        from harness.runs.nights.night import tell_night
        from harness.runs.nights.tell import queue_late

        queue_late(opened.plan, opened.outbox, found.text, app.clock.now(), found.number)
        for line in tell_night(opened, plan, app):
            app.warn(line)
    hosts = _hosts(opened)
    for line in (found.text, *(host.line for host in hosts)):
        app.paper.print(line, markup=False, soft_wrap=True)
    app.emit(
        {
            "late": found.late, "text": found.text, "number": found.number,
            "hosts": [asdict(host) for host in hosts],
        }
    )  # fmt: skip
    return InfraError.exit_code if found.late else 0


@nightly.command()
@plan_options
@click.option("--night", type=click.IntRange(min=1), metavar="N", help="Default: the newest.")
@common_options
def show(app: App, plan: Path, history: HistoryLocation | None, night: int | None) -> None:
    """Print a night: its news, its problems, and what did not run.

    \b
    Examples:
      harness nightly show
      harness nightly show --night 12 --json
    """
    request = night_request(plan, history)
    from harness.runs.nights.openplan import open_plan

    _show_night(app, open_plan(request, app).reader.judged_night(night))


@nightly.command()
@plan_options
@click.option("--last", type=click.IntRange(1), default=30, show_default=True, metavar="N",
              help="The newest N nights.")  # fmt: skip
@common_options
def trend(app: App, plan: Path, history: HistoryLocation | None, last: int) -> None:
    """Print the nights of a plan, the newest last: results, failures, duration.

    \b
    Examples:
      harness nightly trend --last 100
    """
    request = night_request(plan, history)
    from harness.cli.nightlyview import trend_table
    from harness.runs.nights.openplan import open_plan

    rows = open_plan(request, app).reader.trend(last)
    app.paper.print(trend_table(rows))
    app.emit({"nights": [row.document() for row in rows]})


@nightly.command()
@plan_options
@click.option("--night", type=click.IntRange(min=1), metavar="N", help="Default: the newest.")
@click.option("--kcidb", type=FILE, help="Write JSON lines in KCIDB's format.")
@click.option("--junit", type=FILE, help="Write a JUnit XML file.")
@common_options
def export(
    app: App, plan: Path, history: HistoryLocation | None, night: int | None, kcidb: Path | None,
    junit: Path | None,
) -> None:  # fmt: skip
    """Write a night in other programs' formats.

    \b
    Examples:
      harness nightly export --kcidb night.jsonl --junit night.xml
    """
    request = night_request(plan, history)
    if kcidb is None and junit is None:
        raise UsageError("no format was given", remedy="name --kcidb FILE, or --junit FILE")
    from harness.host.workspace import write_named
    from harness.nightly.kcidb import kcidb_text
    from harness.runs.nights.openplan import open_plan

    judged = open_plan(request, app).reader.judged_night(night)
    if kcidb is not None:
        write_named(kcidb, kcidb_text(judged))
    if junit is not None:
        from harness.nightly.junit import night_junit

        write_named(junit, night_junit(judged))
    app.emit({"kcidb": str(kcidb or ""), "junit": str(junit or ""), "night": judged.night.number})


@nightly.command()
@plan_options
@click.option(
    "--html",
    type=DIRECTORY,
    metavar="DIR",
    help="Directory of the pages.  [default: 'pages' of the plan]",
)
@click.option("--night", type=click.IntRange(min=1), metavar="N", multiple=True,
              help="Also this night, not the newest alone; repeatable.")  # fmt: skip
@click.option("--all", "all_nights", is_flag=True, help="All nights of the history.")
@common_options
def pages(
    app: App, plan: Path, history: HistoryLocation | None, html: Path | None,
    night: tuple[int, ...], *, all_nights: bool,
) -> None:  # fmt: skip
    """Write the pages of nights again, from the history.

    The directory can be published as it is: static HTML, a style sheet and SVG, no scripts.

    \b
    Examples:
      harness nightly pages
      harness nightly pages stable.toml --html public --all
    """
    request = night_request(plan, history)
    from harness.runs.nights.openplan import open_plan
    from harness.runs.nights.pages import night_pages

    opened = open_plan(request, app)
    directory = html or opened.pages
    if directory is None:
        raise UsageError(
            f"{plan} names no directory of pages", remedy='add pages = "pages", or name --html DIR'
        )
    every = [each.number for each in opened.reader.nights(None)] if all_nights else []
    index = night_pages(opened, directory, (*every, *night))
    app.paper.print(f"pages: {index}", markup=False, soft_wrap=True)
    app.emit({"index": str(index)})


def _hosts(opened: OpenPlan) -> list[SeenHost]:
    """Return the hosts of a plan's group; none if its history is a file."""
    if not opened.database.is_shared:
        return []
    from harness.runs.nights.grouphosts import seen_hosts

    return seen_hosts(opened.database)


def _show_plan(app: App, request: NightRequest) -> None:
    from harness.cli.nightlyview import plan_document, plan_lines
    from harness.cli.view import UserView
    from harness.results.lines import print_line
    from harness.runs.nights.preview import preview

    found = preview(request, app, UserView(app))
    for line in plan_lines(found):
        print_line(app.paper, line)
    app.emit(plan_document(found))


def _show_night(app: App, judged: JudgedNight) -> None:
    from harness.cli.nightlyview import night_document, night_lines
    from harness.results.lines import print_line

    for line in night_lines(judged, verbose=app.verbosity > 0):
        print_line(app.paper, line)
    app.emit(night_document(judged))


nightly.add_command(issues)
nightly.add_command(tell)
