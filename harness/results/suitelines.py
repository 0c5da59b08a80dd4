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
    counts = Counter(str(test["result"]) for test in tests)
    words = [f"{counts[result]} {result}" for result in TestResult if counts[result]]
    yield f"{len(tests)} tests: {', '.join(words)}"
