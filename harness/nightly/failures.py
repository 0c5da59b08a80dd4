"""What a failing result is a case of: the problem's identity. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.nightly.result import Result, Status

BUILD = "build"
"""The kind of a problem of a revision that does not build."""

COMMAND = "command"
"""The kind of a command's failure."""

TEST = "test"
"""The kind of a failure of a test of a suite."""


@dataclass(frozen=True, slots=True, order=True)
class FailureKey:
    """What identifies a problem in the results of a plan.

    Args:
        kind: ``boot``, ``check``, ``build``, ``command`` or ``test``.
        title: the failure's title, the test's name, or the first error of the build, in whichever
            kernel configurations it shows.
    """

    kind: str
    title: str

    def id(self, plan: str) -> str:
        """Return the problem's short id, the same in every night of the plan."""
        text = "\0".join((plan, self.kind, self.title))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def failure_of(result: Result) -> FailureKey | None:
    """Return what a result shows; None if it passed, or says nothing about the kernel."""
    if result.status is Status.UNBUILT:
        return FailureKey(BUILD, result.title)
    if result.status is Status.FAILED:
        return FailureKey(result.kind, result.title)
    return None


def failures_of(result: Result) -> tuple[FailureKey, ...]:
    """Return all that a result shows: each failing test of a suite is a failure of its own.

    The failure of the suite's command then says nothing more.
    """
    tests = tuple(FailureKey(TEST, each.name) for each in result.tests if not each.good)
    own = failure_of(result)
    return tests if own is None or (tests and own.kind == COMMAND) else (own, *tests)


def seen_as(result: Result, failure: FailureKey) -> Result:
    """Return a result as it tells of a failure.

    For a test's failure, it passed or failed as the test did, and did not run if the test did not.
    For others, a command whose tests alone failed has passed.
    """
    if failure.kind != TEST:
        only_tests = result.kind == COMMAND and any(not each.good for each in result.tests)
        return replace(result, status=Status.PASSED) if only_tests else result
    found = next((each for each in result.tests if each.name == failure.title), None)
    if found is None:
        return replace(result, status=Status.NOT_RUN) if result.status.tells else result
    status = Status.PASSED if found.good else Status.FAILED
    detail = f"{found.outcome}: {found.reason}" if found.reason else found.outcome
    return replace(result, status=status, kind=TEST, title=found.name, detail=detail)


def grouped(results: Iterable[Result]) -> dict[FailureKey, list[Result]]:
    """Return the failing results by what they show, as they tell of it, in their order."""
    found: dict[FailureKey, list[Result]] = {}
    for result in results:
        for failure in failures_of(result):
            found.setdefault(failure, []).append(seen_as(result, failure))
    return found
