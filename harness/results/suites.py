"""Results of FreeBSD's own tests as JUnit XML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from junitparser import Error, Failure, Skipped, TestCase, TestSuite

from harness.kyua.tests import TestResult
from harness.printable import printable_text

if TYPE_CHECKING:
    from harness.kyua.tests import TestOutcome
    from harness.results.record import Run


def junit_suites(run: Run) -> Iterator[TestSuite]:
    """Generate a suite for each suite of FreeBSD's, with each test and its output.

    kyua's own report has no names and counts, and its expected failures look passed.
    """
    consoles = {cell.name: "\n".join(cell.console) for cell in run.cells}
    suites: dict[str, TestSuite] = {}
    for outcome in run.tests:
        name = outcome.test.suite
        if name not in suites:
            suites[name] = TestSuite(name)
            suites[name].timestamp = run.started
        suites[name].add_testcase(_case(outcome, consoles.get(outcome.cell, "")))
    yield from suites.values()


def _case(outcome: TestOutcome, console: str) -> TestCase:
    test = outcome.test
    place = f"{test.suite}/{test.program}".replace("/", ".")
    case = TestCase(test.case, classname=place, time=round(outcome.seconds, 3))
    if outcome.stdout:
        case.system_out = printable_text(outcome.stdout)
    told = [outcome.stderr, console if outcome.result is TestResult.PANICKED else ""]
    if any(told):
        case.system_err = printable_text("\n".join(filter(None, told)))
    result = _result(outcome)
    if result is not None:
        case.result = [result]
    return case


def _result(outcome: TestOutcome) -> Failure | Error | Skipped | None:
    words = printable_text(outcome.reason or outcome.result)
    if outcome.known and not outcome.result.is_good:
        return Skipped(printable_text(f"known issue {outcome.known}: {words}"))
    match outcome.result:
        case TestResult.PASSED:
            return None
        case TestResult.SKIPPED | TestResult.EXPECTED_FAILURE:
            return Skipped(printable_text(f"{outcome.result}: {words}"))
        case TestResult.FAILED | TestResult.PANICKED:
            return Failure(words, outcome.result.value)
        case TestResult.BROKEN | TestResult.NOT_RUN:
            return Error(words, outcome.result.value)
