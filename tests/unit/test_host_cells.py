"""Results of checks in records: exit codes, verdicts, and words."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cells import cell, run
from rich.console import Console

from harness.boot.cellplan import with_host
from harness.check.result import CheckResult, Conclusion, HostRun
from harness.onhost.ending import FINDINGS, EndingKind, HostEnding
from harness.outcome import Outcome
from harness.results.junit import write_junit
from harness.results.record import HOST, Cell, to_document
from harness.results.schema import wrong_with
from harness.results.text import outcome_in_words, print_run
from harness.runs.examination import FAULT_TITLES, boot_trial

PROGRAM = HostRun("p" * 64, "s" * 64, "clang version 14", "-O0", ("time and sleeping",))
AGREED = CheckResult("uma", "13-after", "13.2's specification", "13.2", 7, host=PROGRAM)
DIFFERS = replace(AGREED, conclusion=Conclusion.DIFFERS, why="item: none")
IN_GUEST = replace(AGREED, host=None)


def ended(kind: EndingKind) -> CheckResult:
    program = replace(PROGRAM, kind=str(kind), text="why", is_finding=kind in FINDINGS)
    conclusion = HostEnding(kind).conclusion
    return replace(AGREED, conclusion=conclusion, why="why", host=program)


def on_host(result: CheckResult | None, error: str = "") -> Cell:
    return cell(None, on=HOST, check=result, error=error, kernel=None, backend="none")


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (on_host(AGREED), 0),
        (on_host(DIFFERS), 1),
        (on_host(ended(EndingKind.PANIC)), 1),
        (on_host(ended(EndingKind.INVARIANT)), 1),
        (on_host(ended(EndingKind.TRAP), error="a trap"), 3),
        (on_host(None, error="does not compile"), 3),
    ],
)
def test_what_a_program_comes_to_has_an_exit_code(one: Cell, code: int) -> None:
    assert run(one).exit_code == code
    document = to_document(run(one))
    assert not wrong_with(json.loads(json.dumps(document, default=str)))
    assert "booted" not in outcome_in_words(one)


def guest(host: CheckResult | None, outcome: Outcome = Outcome.BOOTED, **changed: Any) -> Cell:
    return with_host(cell(outcome, **{"check": IN_GUEST, **changed}), host)


@pytest.mark.parametrize("found", [DIFFERS, ended(EndingKind.PANIC), ended(EndingKind.ASLEEP)])
def test_what_the_guest_does_not_repeat_is_unconfirmed_and_no_failure_of_the_hosts(
    found: CheckResult,
) -> None:
    one = guest(found)
    assert one.verdict is not None
    assert one.verdict.outcome is Outcome.UNCONFIRMED
    assert found.why in one.verdict.title
    assert (run(one).exit_code, one.host_failed, one.as_expected) == (3, False, False)
    assert run(one, cell(Outcome.PANIC)).exit_code == 1


@pytest.mark.parametrize(
    "limit", [ended(EndingKind.TRAP), ended(EndingKind.LOOP), ended(EndingKind.SIGNAL)]
)
def test_a_limit_of_the_programs_leaves_the_guest_its_result(limit: CheckResult) -> None:
    assert run(guest(limit)).exit_code == 0


def test_what_the_guest_repeats_is_the_guests() -> None:
    differs = replace(IN_GUEST, conclusion=Conclusion.DIFFERS)
    assert run(guest(DIFFERS, check=differs)).exit_code == 1
    assert run(guest(ended(EndingKind.PANIC), Outcome.PANIC)).exit_code == 1


@pytest.mark.parametrize("conclusion", sorted(set(Conclusion) - {Conclusion.DIFFERS}))
def test_only_a_difference_from_the_model_is_called_one(
    conclusion: Conclusion, tmp_path: Path
) -> None:
    """In the table, the report below it, JUnit XML, and the title that a bisection compares."""
    check = replace(
        IN_GUEST, conclusion=conclusion, title="the invariants of zones", why="limit-count: 1 items"
    )
    if conclusion is Conclusion.FOUND:
        check = replace(check, host=ended(EndingKind.INVARIANT).host)
    one = cell(check=check, expected=(Outcome.BOOTED,))
    page = io.StringIO()
    print_run(run(one), Console(file=page, width=200, highlight=False))
    write_junit(run(one), tmp_path / "junit.xml")
    texts = [page.getvalue(), (tmp_path / "junit.xml").read_text()]
    if conclusion is not Conclusion.FOUND:  # a bisection checks guests alone
        texts += boot_trial(one).titles
    assert not [text for text in texts if "differ" in text or "model" in text]


def test_a_broken_invariant_is_named_wherever_the_check_is(tmp_path: Path) -> None:
    check = replace(
        IN_GUEST, conclusion=Conclusion.BROKEN, title="the invariants of zones",
        why="limit-count: 1 items",
    )  # fmt: skip
    one = cell(check=check, expected=(Outcome.BOOTED,))
    page = io.StringIO()
    print_run(run(one), Console(file=page, width=200, highlight=False))
    write_junit(run(one), tmp_path / "junit.xml")
    assert re.search(r"booted, invariant broken +breaks an invariant ", page.getvalue())
    assert "check: breaks one of the invariants of zones (0 operations" in page.getvalue()
    assert "invariant broken: limit-count: 1 items" in (tmp_path / "junit.xml").read_text()
    assert boot_trial(one).outcome in FAULT_TITLES
    assert run(one).exit_code == 1


def test_junit_tells_findings_from_limits(tmp_path: Path) -> None:
    cells = on_host(DIFFERS), on_host(None, error="does not compile"), guest(DIFFERS)
    write_junit(run(*cells), tmp_path / "junit.xml")
    text = (tmp_path / "junit.xml").read_text()
    assert text.count("<failure") == 1
    assert text.count("<error") == 2
