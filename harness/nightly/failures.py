"""What a failing result is a case of: the problem's identity. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from harness.nightly.result import Result, Status

BUILD = "build"
"""The kind of a problem of a revision that does not build."""


@dataclass(frozen=True, slots=True, order=True)
class FailureKey:
    """What identifies a problem in the results of a plan.

    Args:
        kind: ``boot``, ``check`` or ``build``.
        title: the failure's title, or the first error of the build, in whichever kernel
            configurations it shows.
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


def grouped(results: Iterable[Result]) -> dict[FailureKey, list[Result]]:
    """Return the failing results by what they show, in their order."""
    found: dict[FailureKey, list[Result]] = {}
    for result in results:
        failure = failure_of(result)
        if failure is not None:
            found.setdefault(failure, []).append(result)
    return found
