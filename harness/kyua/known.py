"""Tests that passed or vanished although something else was known of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from harness.kyua.tests import TestResult

if TYPE_CHECKING:
    from harness.kyua.tests import TestOutcome


def unexpected_passes(outcomes: Iterable[TestOutcome]) -> list[TestOutcome]:
    """Return the tests that passed although they have a known issue, if none of its tests failed.

    An issue of many tests, of which some still fail, is not over.
    """
    passed: dict[str, list[TestOutcome]] = {}
    open_issues: set[str] = set()
    for each in outcomes:
        if not each.known:
            continue
        if each.result is TestResult.PASSED:
            passed.setdefault(each.known, []).append(each)
        elif not each.result.is_good:
            open_issues.add(each.known)
    return [each for name, tests in passed.items() if name not in open_issues for each in tests]


def vanished(
    earlier: Mapping[str, Any], suites: Collection[str], listed: Iterable[str]
) -> tuple[str, ...]:
    """Return the tests of some suites that an earlier record has, and this run does not.

    Args:
        earlier: the record, in the form of ``harness.results.record.to_document``.
        suites: the suites that were listed.
        listed: the names of their tests.
    """
    now = set(listed)
    names = (str(test["test"]) for test in earlier.get("tests", ()))
    return tuple(
        name for name in names
        if name not in now and any(name.startswith(f"{suite}/") for suite in suites)
    )  # fmt: skip
