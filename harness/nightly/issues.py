"""Known issues: failures that somebody knows of, in the file ``issues.toml``. Pure.

The same format serves problems and tests of a suite: a pattern of the title, and where it applies.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from harness.errors import UsageError, did_you_mean
from harness.host.jsontoml import parse_toml
from harness.host.tables import Complaint, Table, read_table

if TYPE_CHECKING:
    from harness.nightly.night import Problem
    from harness.nightly.result import Slot

#: A known issue that no night has seen for so long is news.
_UNSEEN: Final = timedelta(days=60)

#: More problems than one known issue can be.
_BROAD: Final = 3


class IssueTable(Table, frozen=True, kw_only=True):
    """``[[issue]]``."""

    name: str
    """Its name, unique in the file."""
    title: str
    """A regular expression that the whole title must match."""
    also_titles: tuple[str, ...] = ()
    """Regular expressions of further titles of the same issue."""
    except_titles: tuple[str, ...] = ()
    """Regular expressions of titles that are something else, whatever the others match."""
    cells: tuple[str, ...] = ()
    """Patterns of cells, such as ``boot-kasan-*``; none: all."""
    branches: tuple[str, ...] = ()
    """Patterns of branches, such as ``stable-13:*``; none: all."""
    link: str = ""
    """Where it is tracked."""
    owner: str
    """Who is asked about it."""
    reason: str
    """Why it is known, in a sentence."""
    added: date
    """When it was added."""
    expires: date
    """The first day on which it is no longer known."""


class IssuesFile(Table, frozen=True):
    """The keys of the file."""

    issue: tuple[IssueTable, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownIssue:
    """A known issue; see ``IssueTable``."""

    name: str
    title: re.Pattern[str]
    also_titles: tuple[re.Pattern[str], ...]
    except_titles: tuple[re.Pattern[str], ...]
    cells: tuple[str, ...]
    branches: tuple[str, ...]
    link: str
    owner: str
    reason: str
    added: date
    expires: date

    def matches(self, title: str, slots: Iterable[Slot]) -> bool:
        """Return whether a failure with that title in these slots is an incident of it."""
        titles = self.title, *self.also_titles
        if not any(each.fullmatch(title) for each in titles) or any(
            each.fullmatch(title) for each in self.except_titles
        ):
            return False
        return all(
            _one_matches(slot.cell, self.cells) and _one_matches(slot.branch, self.branches)
            for slot in slots
        )


def issue_of(title: str, slots: Sequence[Slot], issues: Sequence[KnownIssue], today: date) -> str:
    """Return the name of the known issue that a failure is an incident of; empty for none.

    An expired issue matches nothing.
    """
    return next(
        (each.name for each in issues if today < each.expires and each.matches(title, slots)), ""
    )


def expired(issues: Iterable[KnownIssue], today: date) -> list[KnownIssue]:
    """Return the issues that are no longer known."""
    return [issue for issue in issues if today >= issue.expires]


def unseen(
    issues: Iterable[KnownIssue], last_seen: Mapping[str, date], today: date
) -> list[KnownIssue]:
    """Return the issues that no night has seen for long.

    Args:
        issues: the known issues.
        last_seen: the day on which each was last seen, by its name.
        today: the day of the night.
    """
    return [
        issue for issue in issues
        if today < issue.expires
        and today - max(issue.added, last_seen.get(issue.name, date.min)) > _UNSEEN
    ]  # fmt: skip


def broad(problems: Iterable[Problem]) -> dict[str, int]:
    """Return the number of problems of each known issue that matches too many, by its name."""
    counts: dict[str, int] = {}
    for problem in problems:
        if problem.known_issue and problem.incidents:
            counts[problem.known_issue] = counts.get(problem.known_issue, 0) + 1
    return {name: count for name, count in counts.items() if count > _BROAD}


def read_issues(path: Path) -> tuple[KnownIssue, ...]:
    """Return the known issues of a file; none if it does not exist.

    Raises:
        UsageError: the file cannot be read, has an unknown key, or a pattern is invalid.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {path}: {cause}", remedy="correct the file") from error
    return issues_in(text, path)


def issues_in(text: str, path: Path) -> tuple[KnownIssue, ...]:
    """Return the known issues of a text.

    Args:
        text: the content of the file.
        path: its name, for errors.

    Raises:
        UsageError: it has an unknown key, or a pattern is invalid.
    """
    try:
        file = read_table(parse_toml(text), IssuesFile)
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}", remedy="correct the line") from error
    except Complaint as complaint:
        raise _refused(path, complaint) from complaint
    names = [table.name for table in file.issue]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{path}: two issues are named {twice!r}", remedy="rename one of them")
    return tuple(_issue(path, table) for table in file.issue)


def _issue(path: Path, table: IssueTable) -> KnownIssue:
    patterns = {
        "title": _pattern(path, table, table.title),
        "also_titles": tuple(_pattern(path, table, each) for each in table.also_titles),
        "except_titles": tuple(_pattern(path, table, each) for each in table.except_titles),
    }
    values: dict[str, Any] = {**msgspec.structs.asdict(table), **patterns}
    return KnownIssue(**values)


def _pattern(path: Path, table: IssueTable, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(
            f"{path}: a title of issue {table.name!r} is not a regular expression: {error}",
            remedy="correct it; to match a title as it is, escape its special characters",
        ) from error


def _refused(path: Path, complaint: Complaint) -> UsageError:
    known = IssueTable.__struct_fields__
    name = complaint.key.rpartition(".")[2]
    if complaint.unknown:
        hint = did_you_mean(name, known) or f"known keys: {', '.join(known)}"
        return UsageError(f"{path}: there is no key {complaint.key}", remedy=hint.rstrip())
    if complaint.missing:
        return UsageError(f"{path}: {complaint.key} is missing", remedy=f"add the key {name}")
    return UsageError(f"{path}: {complaint.key}: {complaint.what}", remedy="correct the value")


def _one_matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
