"""Reports of FreeBSD's own suites: known failures, what has vanished, words and JUnit XML."""

from __future__ import annotations

import pytest
from junitparser import Skipped

from harness.kyua.known import unexpected_passes, vanished
from harness.kyua.tests import TestId, TestOutcome, TestResult
from harness.results.record import Run, to_test_document
from harness.results.suitelines import suite_lines
from harness.results.suites import junit_suites
from harness.results.text import summary


def outcome_of(name: str, result: TestResult, known: str = "") -> TestOutcome:
    return TestOutcome(TestId("sys/vm", *name.split(":")), result, known=known)


def test_known_failure_that_passes_is_unexpected() -> None:
    passes = outcome_of("a_test:one", TestResult.PASSED, "old")
    others = [
        outcome_of("a_test:two", TestResult.FAILED, "other"),
        outcome_of("a_test:three", TestResult.PASSED),
    ]
    assert unexpected_passes([passes, *others]) == [passes]


@pytest.mark.parametrize("result", [TestResult.FAILED, TestResult.BROKEN, TestResult.PANICKED])
def test_known_issue_of_which_a_test_still_fails_is_not_over(result: TestResult) -> None:
    outcomes = [
        outcome_of("a_test:one", TestResult.PASSED, "old"),
        outcome_of("a_test:two", result, "old"),
    ]
    assert unexpected_passes(outcomes) == []


def test_skipped_test_of_a_known_issue_has_not_passed() -> None:
    assert unexpected_passes([outcome_of("a_test:one", TestResult.SKIPPED, "old")]) == []


def test_tests_that_an_earlier_run_had_have_vanished() -> None:
    earlier = {"tests": [{"test": name} for name in ("sys/vm/a:x", "sys/vm/b:y", "sys/kern/c:z")]}
    assert vanished(earlier, ["sys/vm"], ["sys/vm/a:x", "sys/vm/new:x"]) == ("sys/vm/b:y",)
    assert vanished({}, ["sys/vm"], []) == ()


# --- reports -----------------------------------------------------------------------------------


def document_of(*outcomes: TestOutcome, **more: object) -> dict[str, object]:
    tests = [to_test_document(outcome) for outcome in outcomes]
    return {"cells": [], "planned": [], "tests": tests, **more}


def test_last_line_tells_why_the_exit_code_is_1() -> None:
    failed = outcome_of("a_test:one", TestResult.FAILED)
    known = outcome_of("a_test:two", TestResult.FAILED, "old")
    passed = outcome_of("a_test:three", TestResult.PASSED)
    document = document_of(failed, known, passed, wrong_suites={"sys/none": "it has no tests"})
    assert summary(document) == (
        "0 of 0 guests as expected, 1 suite did not run, 2 of 3 tests not good, 1 of them known"
    )
    assert summary(document_of(passed)) == "0 of 0 guests as expected"
    assert summary(document_of()) == "0 of 0 as expected"


def test_unexpected_passes_and_vanished_tests_are_reported() -> None:
    passes = outcome_of("a_test:one", TestResult.PASSED, "old")
    document = document_of(
        passes, unexpected_passes=[str(passes.test)], vanished_tests=["sys/vm/b_test:gone"]
    )
    assert list(suite_lines(document)) == [
        "passed unexpectedly  sys/vm/a_test:one (known: old)",
        "vanished  sys/vm/b_test:gone: an earlier run had it",
        "1 tests: 1 passed",
    ]


def run_of(*outcomes: TestOutcome) -> Run:
    return Run("run", (), "2026-01-01T00:00:00+00:00", "1", (), tests=outcomes)


def test_known_failures_alone_are_no_failure() -> None:
    assert run_of(outcome_of("a_test:one", TestResult.FAILED, "old")).exit_code == 0
    assert run_of(outcome_of("a_test:one", TestResult.FAILED)).exit_code == 1
    assert run_of(outcome_of("a_test:one", TestResult.PASSED, "old")).exit_code == 0


def test_junit_has_a_known_failure_as_skipped_and_its_pass_as_passed() -> None:
    run = run_of(
        outcome_of("a_test:one", TestResult.FAILED, "old"),
        outcome_of("a_test:two", TestResult.PASSED, "old"),
    )
    (suite,) = junit_suites(run)
    assert [[type(one) for one in case.result] for case in suite] == [[Skipped], []]
