"""Known issues whose patterns take longer than any night."""

from __future__ import annotations

import signal
import threading
from datetime import date
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.nightly.issues import read_issues
from harness.nightly.result import Slot
from harness.runs.knownissues import known_issue

SLOTS = (Slot("tree:main", "boot"),)
TODAY = date(2026, 1, 2)


def issues(tmp_path: Path, *titles: str) -> Path:
    path = tmp_path / "issues.toml"
    path.write_text("".join(
        f"[[issue]]\nname = 'i{number}'\ntitle = '{title}'\nowner = 'me'\nreason = 'known'\n"
        "added = 2026-01-01\nexpires = 2027-01-01\n"
        for number, title in enumerate(titles)
    ))  # fmt: skip
    return path


def test_a_pattern_without_end_is_an_error_with_the_issues_name(tmp_path: Path) -> None:
    found = read_issues(issues(tmp_path, "fine", "(a+)+b"))
    before = signal.getsignal(signal.SIGALRM)
    assert known_issue("fine", SLOTS, found, TODAY) == "i0"
    assert known_issue("aab", SLOTS, found, TODAY) == "i1"
    assert known_issue("c", SLOTS, found, TODAY) == ""
    with pytest.raises(UsageError, match=r"known issue i1 takes more than 0\.2 s") as refused:
        known_issue("a" * 200, SLOTS, found, TODAY, seconds=0.2)
    assert "repetition" in refused.value.remedy
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_other_threads_have_no_limit(tmp_path: Path) -> None:
    found = read_issues(issues(tmp_path, "fine"))
    names: list[str] = []
    thread = threading.Thread(target=lambda: names.append(known_issue("fine", SLOTS, found, TODAY)))
    thread.start()
    thread.join()
    assert names == ["i0"]
