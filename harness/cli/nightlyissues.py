"""``harness nightly issues``: known issues of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.commandgroup import ListingGroup
from harness.cli.nightlyplan import night_request, plan_options
from harness.cli.options import common_options
from harness.errors import UsageError

if TYPE_CHECKING:
    from datetime import date

    from harness.cli.app import App
    from harness.history.url import HistoryLocation
    from harness.nightly.issues import KnownIssue
    from harness.nightly.night import Problem
    from harness.runs.nights.openplan import NightRequest


@click.group(cls=ListingGroup)
def issues() -> None:
    """List the known issues of a plan, add one, or change what it matches.

    \b
    Examples:
      harness nightly issues
      harness nightly issues add 1f2e3d4c --owner me --reason 'tracked upstream'
    """


@issues.command("list")
@plan_options
@common_options
def list_issues(app: App, plan: Path, history: HistoryLocation | None) -> None:
    """List known issues, and the open problems that are none; 'list' may be omitted.

    \b
    Examples:
      harness nightly issues
    """
    request = night_request(plan, history)
    from harness.results.lines import print_line
    from harness.runs.nights.openplan import open_plan

    opened = open_plan(request, app)
    problems = [each for each in opened.reader.problems().values() if each.open]
    for issue in opened.issues:
        print_line(
            app.paper,
            f"{issue.name}: {issue.title.pattern}  until {issue.expires}, {issue.owner}: "
            f"{issue.reason}",
        )
    for problem in problems:
        state = f"known issue {problem.known_issue}" if problem.known_issue else "unknown"
        print_line(app.paper, f"{problem.id}  {problem.title}  ({state})")
    if not (opened.issues or problems):
        app.paper.print("no known issues, and no open problems")
    app.emit(
        {
            "issues": [_issue_document(each) for each in opened.issues],
            "problems": [
                {"id": each.id, "title": each.title, "known_issue": each.known_issue}
                for each in problems
            ],
        }
    )


@issues.command()
@click.argument("problem")
@plan_options
@click.option("--name", help="The issue's name; default: the problem's id.")
@click.option("--owner", required=True, help="Who is asked about it.")
@click.option("--reason", required=True, help="Why it is known.")
@click.option("--link", help="Where it is tracked.")
@click.option("--days", type=click.IntRange(1), default=90, show_default=True, metavar="N",
              help="Days until it expires.")  # fmt: skip
@common_options
def add(app: App, problem: str, plan: Path, history: HistoryLocation | None, **values: Any) -> None:
    """Add a known issue for a PROBLEM, by the short id that 'show' prints.

    \b
    Examples:
      harness nightly issues add 1f2e3d4c --owner me --reason review --link URL
    """
    name = values.pop("name")
    _add(app, problem, night_request(plan, history), name, values)


@issues.command()
@click.argument("problem")
@plan_options
@click.option("--days", type=click.IntRange(1), default=14, show_default=True, metavar="N",
              help="Days until it is news again.")  # fmt: skip
@common_options
def mute(app: App, problem: str, plan: Path, history: HistoryLocation | None, days: int) -> None:
    """Make a PROBLEM a known issue for some days, without an owner.

    \b
    Examples:
      harness nightly issues mute 1f2e3d4c --days 7
    """
    values = {"owner": "nobody", "reason": "muted", "link": None, "days": days}
    _add(app, problem, night_request(plan, history), None, values)


@issues.command()
@click.argument("problem")
@click.argument("issue")
@plan_options
@common_options
def merge(app: App, problem: str, issue: str, plan: Path, history: HistoryLocation | None) -> None:
    """Make a PROBLEM an incident of the known ISSUE: the same bug with another title.

    \b
    Examples:
      harness nightly issues merge 1f2e3d4c uma-drain
    """
    file = _IssuesOf.open(app, problem, night_request(plan, history))
    from harness.nightly.issuesfile import merged

    file.write(merged(file.text, file.problem, issue, file.issues, file.today))
    app.paper.print(f"merged problem {file.problem.id} into {issue}", markup=False, soft_wrap=True)
    app.emit({"problem": file.problem.id, "issues": [issue], "file": str(file.path)})


@issues.command("split")
@click.argument("problem")
@plan_options
@common_options
def split_problem(app: App, problem: str, plan: Path, history: HistoryLocation | None) -> None:
    """Take a PROBLEM out of the known issues that match it: the next night judges it as new.

    \b
    Examples:
      harness nightly issues split 1f2e3d4c
    """
    file = _IssuesOf.open(app, problem, night_request(plan, history))
    from harness.nightly.issuesfile import split

    text, names = split(file.text, file.problem, file.issues)
    file.write(text)
    words = f"split problem {file.problem.id} off {', '.join(names)}"
    app.paper.print(words, markup=False, soft_wrap=True)
    app.emit({"problem": file.problem.id, "issues": names, "file": str(file.path)})


@dataclass(frozen=True, slots=True)
class _IssuesOf:
    """The file of a plan's known issues, and a problem.

    Args:
        path: the file.
        text: its content; empty if it does not exist.
        issues: the issues in it.
        problem: the problem that the user named.
        today: the day.
    """

    path: Path
    text: str
    issues: Sequence[KnownIssue]
    problem: Problem
    today: date

    @classmethod
    def open(cls, app: App, problem: str, request: NightRequest) -> _IssuesOf:
        """Read the file, and find the problem."""
        from harness.runs.nights.openplan import open_plan

        opened = open_plan(request, app)
        found = _found(opened.reader.problems(), problem)
        path = request.plan.resolve().parent / opened.plan.issues
        text = path.read_text("utf-8") if path.exists() else ""
        return cls(path, text, opened.issues, found, app.clock.now().date())

    def write(self, text: str) -> None:
        """Write the file, if it is valid."""
        from harness.host.workspace import write_atomic
        from harness.nightly.issues import issues_in

        issues_in(text, self.path)
        write_atomic(self.path, text)


def _add(
    app: App, problem: str, request: NightRequest, name: str | None, values: dict[str, Any]
) -> None:
    file = _IssuesOf.open(app, problem, request)
    from harness.nightly.issuesfile import NewIssue, with_issue

    name = name or file.problem.id
    if any(each.name == name for each in file.issues):
        raise UsageError(f"there is a known issue {name} already", remedy="name another: --name")
    file.write(with_issue(file.text, file.problem, NewIssue(name, **values), file.today))
    app.paper.print(f"added issue {name} to {file.path}", markup=False, soft_wrap=True)
    app.emit({"issue": name, "file": str(file.path)})


def _found(problems: dict[str, Problem], name: str) -> Problem:
    matching = [each for key, each in problems.items() if key.startswith(name)]
    if len(matching) != 1:
        what = "no problem" if not matching else f"{len(matching)} problems"
        raise UsageError(
            f"{what} of the plan begin with {name!r}" if matching else f"there is {what} {name!r}",
            remedy="list them: harness nightly issues",
        )
    return matching[0]


def _issue_document(issue: KnownIssue) -> dict[str, Any]:
    return {
        "name": issue.name,
        "title": issue.title.pattern,
        "also_titles": [each.pattern for each in issue.also_titles],
        "except_titles": [each.pattern for each in issue.except_titles],
        "cells": list(issue.cells),
        "branches": list(issue.branches),
        "link": issue.link,
        "owner": issue.owner,
        "reason": issue.reason,
        "added": issue.added.isoformat(),
        "expires": issue.expires.isoformat(),
    }
