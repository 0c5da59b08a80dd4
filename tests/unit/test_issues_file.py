"""Changes of the file of known issues: what it then matches, and that the rest of it stays."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.nightly.issues import KnownIssue, issue_of, issues_in
from harness.nightly.issuesfile import NewIssue, merged, split, with_issue
from harness.nightly.night import Classification, Problem, Rate
from harness.nightly.result import Slot

TODAY = date(2026, 5, 1)
ONE, TWO = Slot("tree:main", "boot-none-numa1"), Slot("tree:old", "boot-kasan-numa4")
FILE = """# what we know of
[[issue]]
name = "drain"  # the first
title = "panic: drain.*"
cells = ["boot-none-*"]
owner = "me"
reason = "in review"
added = 2026-01-01
expires = 2026-12-31
"""


def problem(title: str, *slots: Slot, key: str = "0123abcd") -> Problem:
    return Problem(
        key, title, "boot", Classification.REGRESSION, Rate(1, 1, 0.0, 1.0), 0, (5, 5), 1, 1, True,
        (), slots or (ONE,),
    )  # fmt: skip


def read(text: str) -> tuple[KnownIssue, ...]:
    return issues_in(text, Path("issues.toml"))


def known(text: str, wanted: Problem) -> str:
    return issue_of(wanted.title, wanted.slots, read(text), TODAY)


@given(st.text(max_size=60), st.text(max_size=20))
def test_an_added_issue_is_about_its_problem_whatever_the_title(title: str, reason: str) -> None:
    wanted = problem(title, ONE, TWO)
    text = with_issue(FILE, wanted, NewIssue("new", "me", reason, None, 9), TODAY)
    assert text.startswith(FILE)
    assert known(text, wanted) in ("new", "drain")
    assert read(text)[1].reason == reason
    other = problem(title + "x", ONE, TWO)
    assert known(text, other) in ("", "drain")


def test_a_merged_problem_is_an_incident_in_its_cells_and_comments_stay() -> None:
    wanted = problem("panic: other (uma)", ONE, TWO)
    text = merged(FILE, wanted, "drain", read(FILE), TODAY)
    assert known(text, wanted) == "drain"
    assert known(text, problem("panic: drain 2", ONE)) == "drain"
    assert known(text, problem("panic: otherwise", ONE)) == ""
    assert "# what we know of" in text
    assert "# the first" in text


def test_a_problem_that_is_split_off_is_unknown_and_the_rest_stays_known() -> None:
    wanted = problem("panic: drain of the bath")
    text, names = split(FILE, wanted, read(FILE))
    assert names == ["drain"]
    assert known(text, wanted) == ""
    assert known(text, problem("panic: drain of the sink")) == "drain"
    again = merged(text, wanted, "drain", read(text), TODAY)
    assert known(again, wanted) == "drain"


@given(st.text(min_size=1, max_size=30))
def test_merge_and_split_undo_each_other(title: str) -> None:
    wanted = problem(title)
    if known(FILE, wanted):
        return
    text = merged(FILE, wanted, "drain", read(FILE), TODAY)
    back, _ = split(text, wanted, read(text))
    assert known(back, wanted) == ""
    assert read(back)[0].also_titles == ()


def test_what_cannot_be_merged_or_split_is_refused_with_a_remedy() -> None:
    fits, other = problem("panic: drain"), problem("panic: other")
    with pytest.raises(UsageError, match="incident of the known issue drain already"):
        merged(FILE, fits, "drain", read(FILE), TODAY)
    with pytest.raises(UsageError, match="no known issue 'drian'"):
        merged(FILE, other, "drian", read(FILE), TODAY)
    with pytest.raises(UsageError, match="expired"):
        merged(FILE, other, "drain", read(FILE), date(2027, 1, 1))
    with pytest.raises(UsageError, match="incident of no known issue"):
        split(FILE, other, read(FILE))
    alone = with_issue("", other, NewIssue("other", "me", "known", None, 9), TODAY)
    with pytest.raises(UsageError, match="about problem 0123abcd alone"):
        split(alone, other, read(alone))


def test_an_excluded_title_is_matched_by_no_other_pattern_of_its_issue() -> None:
    text = FILE.replace("cells", f"except_titles = ['{re.escape('panic: drain x')}']\ncells")
    assert known(text, problem("panic: drain x")) == ""
    assert known(text, problem("panic: drain y")) == "drain"
