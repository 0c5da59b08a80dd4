"""Results of FreeBSD's own tests as text, from their JSON documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.kyua.tests import TestResult

_MOST_LISTED = 40


def suite_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Generate the lines on the tests of a record: counts, and each that is not good."""
    for suite, why in document.get("wrong_suites", {}).items():
        yield f"{suite}: {why}"
    tests: Sequence[Mapping[str, Any]] = document.get("tests", ())
    if not tests:
        return
    bad = [test for test in tests if not test["good"]]
    for test in bad[:_MOST_LISTED]:
        known = f" (known: {test['known']})" if test["known"] else ""
        reason = f": {test['reason']}" if test["reason"] else ""
        yield f"{test['result']}  {test['test']}{reason}{known}"
    if len(bad) > _MOST_LISTED:
        yield f"… and {len(bad) - _MOST_LISTED} more"
    known_of = {test["test"]: test["known"] for test in tests}
    for name in document.get("unexpected_passes", ()):
        yield f"passed unexpectedly  {name} (known: {known_of[name]})"
    vanished = document.get("vanished_tests", ())
    for name in vanished[:_MOST_LISTED]:
        yield f"vanished  {name}: an earlier run had it"
    if len(vanished) > _MOST_LISTED:
        yield f"… and {len(vanished) - _MOST_LISTED} more"
    counts = Counter(str(test["result"]) for test in tests)
    words = [f"{counts[result]} {result}" for result in TestResult if counts[result]]
    yield f"{len(tests)} tests: {', '.join(words)}"


def suite_parts(document: Mapping[str, Any]) -> list[str]:
    """Return the parts of a run's last line that are of tests; none for a run without."""
    tests, wrong = document.get("tests", ()), len(document.get("wrong_suites", {}))
    bad = sum(not test["good"] for test in tests)
    known = sum(not test["good"] and bool(test["known"]) for test in tests)
    parts = [f"{wrong} suite{'' if wrong == 1 else 's'} did not run"] if wrong else []
    parts += [f"{bad} of {len(tests)} tests not good"] if bad else []
    return [*parts, f"{known} of them known"] if known else parts
