"""A night as JUnit XML, with a test case for each cell of the tips and for each new failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.nightly.controls import spoilt_attempts
from harness.nightly.failures import TEST, FailureKey, seen_as
from harness.nightly.result import Purpose, Result, Status
from harness.printable import printable_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.nightly.night import JudgedNight, Problem


def night_junit(judged: JudgedNight) -> bytes:
    """Return a night as JUnit XML: a test suite for each branch.

    A known issue is skipped, and so is what did not run, and an attempt of a control that does not
    count; a host failure is an error.
    """
    document = JUnitXml()
    spoilt = spoilt_attempts(judged)
    for branch in judged.night.branches:
        suite = TestSuite(printable_text(f"{judged.night.plan}.{branch.name}"))
        suite.timestamp = judged.night.started.isoformat()
        for result in judged.results:
            planned = result.purpose in (Purpose.PLANNED, Purpose.CONTROL)
            if planned and result.slot.branch == branch.name and result.shared is None:
                case = _case(judged, result)
                if result in spoilt:
                    case.result = [
                        Skipped("something else made this attempt fail, so it does not count")
                    ]
                suite.add_testcase(case)
                suite.add_testcases(list(_test_cases(judged, result)))
        document.add_testsuite(suite)
    document.update_statistics()
    text: bytes = document.tostring()
    return text


def _case(judged: JudgedNight, result: Result) -> TestCase:
    name = f"{result.slot.cell} at {result.commit[:12]}"
    case = TestCase(name, classname=printable_text(result.slot.branch), time=result.seconds)
    problem = _problem(judged, result)
    match result.status:
        case Status.NOT_RUN:
            case.result = [Skipped("not run: the budget left it out")]
        case Status.HOST_FAILED:
            case.result = [Error(printable_text(result.title or "the host failed"), "host")]
        case Status.FAILED | Status.UNBUILT if problem is not None and problem.known_issue:
            case.result = [Skipped(printable_text(f"known issue {problem.known_issue}"))]
        case Status.FAILED | Status.UNBUILT:
            kind = problem.classification.value if problem else result.outcome
            failure = Failure(printable_text(result.title), kind)
            failure.text = printable_text(result.detail)
            case.result = [failure]
    return case


def _test_cases(judged: JudgedNight, result: Result) -> Iterator[TestCase]:
    """Yield a test case for each test of a suite; its class is the branch and the cell."""
    place = f"{result.slot.branch} {result.slot.cell} at {result.commit[:12]}"
    for each in result.tests:
        case = TestCase(printable_text(each.name), printable_text(place), each.seconds)
        text = printable_text(": ".join(filter(None, (each.outcome, each.reason))))
        problem = _problem(judged, seen_as(result, FailureKey(TEST, each.name)))
        if not each.good and problem is not None and problem.known_issue:
            case.result = [Skipped(printable_text(f"known issue {problem.known_issue}"))]
        elif not each.good:
            kind = problem.classification.value if problem else each.outcome
            case.result = [Failure(text, kind)]
        elif each.outcome != "passed":
            case.result = [Skipped(text)]
        yield case


def _problem(judged: JudgedNight, result: Result) -> Problem | None:
    return next(
        (each for each in judged.problems
         if each.title == result.title and result.slot in each.slots), None,
    )  # fmt: skip
