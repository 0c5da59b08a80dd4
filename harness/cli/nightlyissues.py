"""``harness nightly issues``: known issues of a plan."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.nightlyplan import night_request, plan_options
from harness.cli.options import common_options
from harness.errors import UsageError

if TYPE_CHECKING:
    from datetime import date

    from harness.cli.app import App
    from harness.nightly.issues import KnownIssue
    from harness.nightly.night import Problem
    from harness.runs.nightly import NightRequest


class _Issues(click.Group):
    """A group whose default command is ``list``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Issues)
def issues() -> None:
    """List the known issues of a plan, or add one.

    \b
    Examples:
      harness nightly issues
      harness nightly issues add 1f2e3d4c --owner me --reason 'tracked upstream'
    """


@issues.command("list")
@plan_options
@common_options
def list_issues(app: App, plan: Path, history: Path | None) -> None:
    """List known issues, and the open problems that are none; 'list' may be omitted.

    \b
    Examples:
      harness nightly issues
    """
    request = night_request(plan, history)
    from harness.runs.nightly import open_plan

    opened = open_plan(request, app)
    problems = [each for each in opened.reader.problems().values() if each.open]
    for issue in opened.issues:
        app.paper.print(
            f"{issue.name}: {issue.title.pattern}  until {issue.expires}, {issue.owner}: "
            f"{issue.reason}",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    for problem in problems:
        state = f"known issue {problem.known_issue}" if problem.known_issue else "unknown"
        app.paper.print(f"{problem.id}  {problem.title}  ({state})", markup=False, soft_wrap=True)
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
def add(app: App, problem: str, plan: Path, history: Path | None, **values: Any) -> None:
    """Add a known issue for a PROBLEM, by the short id that 'show' prints.

    \b
    Examples:
      harness nightly issues add 1f2e3d4c --owner me --reason 'fixed in review' --link URL
    """
    _add(app, problem, night_request(plan, history), _NewIssue(**values))


@issues.command()
@click.argument("problem")
@plan_options
@click.option("--days", type=click.IntRange(1), default=14, show_default=True, metavar="N",
              help="Days until it is news again.")  # fmt: skip
@common_options
def mute(app: App, problem: str, plan: Path, history: Path | None, days: int) -> None:
    """Make a PROBLEM a known issue for some days, without an owner.

    \b
    Examples:
      harness nightly issues mute 1f2e3d4c --days 7
    """
    new = _NewIssue(None, "nobody", "muted", None, days)
    _add(app, problem, night_request(plan, history), new)


@dataclass(frozen=True, slots=True)
class _NewIssue:
    """The options of an issue that is added."""

    name: str | None
    owner: str
    reason: str
    link: str | None
    days: int


def _add(app: App, problem: str, request: NightRequest, new: _NewIssue) -> None:
    from harness.host.workspace import write_atomic
    from harness.nightly.issues import read_issues
    from harness.runs.nightly import open_plan

    opened = open_plan(request, app)
    found = _found(opened.reader.problems(), problem)
    today = app.clock.now().date()
    name = new.name or found.id
    if any(each.name == name for each in opened.issues):
        raise UsageError(f"there is a known issue {name} already", remedy="name another: --name")
    path = request.plan.resolve().parent / opened.plan.issues
    before = path.read_text("utf-8") if path.exists() else ""
    entry = _entry(found, name, new, today)
    text = f"{before.rstrip()}\n\n{entry}" if before.strip() else entry
    write_atomic(path, text)
    read_issues(path)
    app.paper.print(f"added issue {name} to {path}", markup=False, soft_wrap=True)
    app.emit({"issue": name, "file": str(path)})


def _found(problems: dict[str, Problem], name: str) -> Problem:
    matching = [each for key, each in problems.items() if key.startswith(name)]
    if len(matching) != 1:
        what = "no problem" if not matching else f"{len(matching)} problems"
        raise UsageError(
            f"{what} of the plan begin with {name!r}" if matching else f"there is {what} {name!r}",
            remedy="list them: harness nightly issues",
        )
    return matching[0]


def _entry(problem: Problem, name: str, new: _NewIssue, added: date) -> str:
    """Return the table of an issue that matches one problem in the cells that show it."""
    slots = problem.slots
    rows = {
        "name": _quoted(name),
        "title": _quoted(re.escape(problem.title)),
        "cells": _list(sorted({slot.cell for slot in slots})),
        "branches": _list(sorted({slot.branch for slot in slots})),
        "owner": _quoted(new.owner),
        "reason": _quoted(new.reason),
        "link": _quoted(new.link or ""),
        "added": added.isoformat(),
        "expires": (added + timedelta(days=new.days)).isoformat(),
    }
    return "[[issue]]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items())


def _quoted(text: str) -> str:
    """Return a basic string of TOML, in which all that is special is escaped."""
    escaped = (
        {'"': '\\"', "\\": "\\\\"}.get(char, char if char.isprintable() else f"\\u{ord(char):04x}")
        for char in text
    )
    return f'"{"".join(escaped)}"'


def _list(texts: list[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _issue_document(issue: KnownIssue) -> dict[str, Any]:
    return {
        "name": issue.name,
        "title": issue.title.pattern,
        "cells": list(issue.cells),
        "branches": list(issue.branches),
        "link": issue.link,
        "owner": issue.owner,
        "reason": issue.reason,
        "added": issue.added.isoformat(),
        "expires": issue.expires.isoformat(),
    }
