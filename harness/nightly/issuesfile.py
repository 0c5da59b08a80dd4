"""Changes of ``issues.toml``: a problem is added, merged or split off. Pure.

Comments, order and layout of the file stay as the user wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.items import Table

from harness.errors import UsageError
from harness.nightly.issues import KnownIssue, issue_of

if TYPE_CHECKING:
    from harness.nightly.night import Problem

_TABLES = "issue"


@dataclass(frozen=True, slots=True)
class NewIssue:
    """What the user says of an issue that is added.

    Args:
        name: its name.
        owner: who is asked about it.
        reason: why it is known.
        link: where it is tracked; None if nowhere.
        days: days until it expires.
    """

    name: str
    owner: str
    reason: str
    link: str | None
    days: int


def with_issue(text: str, problem: Problem, new: NewIssue, added: date) -> str:
    """Return the file with an issue that matches one problem in the cells that show it.

    Args:
        text: the file.
        problem: the problem.
        new: what the user says of it.
        added: the day.
    """
    exact = _pattern_of(problem.title)
    table = tomlkit.table()
    table["name"] = new.name
    table["title"] = tomlkit.string(exact, literal=True) if _is_literal(exact) else exact
    table["cells"] = sorted({slot.cell for slot in problem.slots})
    table["branches"] = sorted({slot.branch for slot in problem.slots})
    table["owner"] = new.owner
    table["reason"] = new.reason
    if new.link:
        table["link"] = new.link
    table["added"] = added
    table["expires"] = added + timedelta(days=new.days)
    entry = tomlkit.document()
    entry[_TABLES] = tomlkit.aot()
    entry[_TABLES].append(table)
    before = f"{text.rstrip()}\n\n" if text.strip() else ""
    return f"{before}{tomlkit.dumps(entry)}"


def _pattern_of(title: str) -> str:
    """Return the pattern that matches one title; spaces need no backslash."""
    return re.escape(title).replace("\\ ", " ")


def _is_literal(text: str) -> bool:
    """Return whether TOML's literal string can hold a text, without doubled backslashes."""
    return text.isprintable() and "'" not in text


def merged(
    text: str, problem: Problem, name: str, issues: Sequence[KnownIssue], today: date
) -> str:
    """Return the file after a problem was made an incident of an existing issue.

    Args:
        text: the file.
        problem: the problem.
        name: the issue's name.
        issues: the issues of the file.
        today: the day.

    Raises:
        UsageError: there is no such issue, it has expired, or the problem is one already.
    """
    issue = next((each for each in issues if each.name == name), None)
    if issue is None:
        raise UsageError(
            f"there is no known issue {name!r}", remedy="list them: harness nightly issues"
        )
    if today >= issue.expires:
        raise UsageError(
            f"the known issue {name} expired on {issue.expires}",
            remedy="give it a later date in the file: expires = …",
        )
    known = issue_of(problem.title, problem.slots, issues, today)
    if known:
        raise UsageError(
            f"problem {problem.id} is an incident of the known issue {known} already",
            remedy=f"split it off first: harness nightly issues split {problem.id}",
        )
    document = tomlkit.parse(text)
    table = _table(document, name)
    if not any(each.fullmatch(problem.title) for each in (issue.title, *issue.also_titles)):
        _append(table, "also_titles", [_pattern_of(problem.title)])
    excluded = [each.pattern for each in issue.except_titles if each.fullmatch(problem.title)]
    _remove(table, "except_titles", excluded)
    if issue.cells:
        _append(table, "cells", sorted({slot.cell for slot in problem.slots}))
    if issue.branches:
        _append(table, "branches", sorted({slot.branch for slot in problem.slots}))
    return tomlkit.dumps(document)


def split(text: str, problem: Problem, issues: Sequence[KnownIssue]) -> tuple[str, list[str]]:
    """Return the file after a problem was taken out of all issues that match it, and their names.

    Args:
        text: the file.
        problem: the problem.
        issues: the issues of the file.

    Raises:
        UsageError: it matches no issue, or an issue is about nothing else.
    """
    exact = _pattern_of(problem.title)
    document = tomlkit.parse(text)
    names = []
    for issue in issues:
        if not issue.matches(problem.title, problem.slots):
            continue
        if issue.title.pattern == exact and not issue.also_titles:
            raise UsageError(
                f"the known issue {issue.name} is about problem {problem.id} alone",
                remedy="remove the issue from the file",
            )
        table = _table(document, issue.name)
        _remove(table, "also_titles", [exact])
        kept = [each for each in issue.also_titles if each.pattern != exact]
        if any(each.fullmatch(problem.title) for each in (issue.title, *kept)):
            _append(table, "except_titles", [exact])
        names.append(issue.name)
    if not names:
        raise UsageError(
            f"problem {problem.id} is an incident of no known issue",
            remedy="list them: harness nightly issues",
        )
    return tomlkit.dumps(document), names


def _table(document: tomlkit.TOMLDocument, name: str) -> Table:
    tables: Any = document[_TABLES]
    found: Table = next(each for each in tables if each["name"] == name)
    return found


def _append(table: Table, key: str, texts: Sequence[str]) -> None:
    """Add texts to an array of a table, which may be missing."""
    array: Any = table.get(key)
    if array is None:
        array = tomlkit.array()
        table[key] = array
    for text in texts:
        if text not in array:
            array.append(text)


def _remove(table: Table, key: str, texts: Sequence[str]) -> None:
    """Remove texts from an array of a table."""
    array: Any = table.get(key)
    if array is None:
        return
    for text in texts:
        if text in array:
            array.remove(text)
    if not array:
        table.remove(key)
