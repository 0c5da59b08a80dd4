"""Tests revisions of a bisection by compiling them; boots no guest."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.bisect.evidence import Kind
from harness.bisect.tester import Built, Trial
from harness.errors import BuildError
from harness.host.workspace import make_directory, write_atomic
from harness.kernel.elf import content_digest

if TYPE_CHECKING:
    from harness.host.clock import Clock
    from harness.host.progress import Progress
    from harness.provide.revisions import Revisions

ERRORS: Final = "errors.txt"
"""File in a test's directory with the compiler's errors."""

#: The directory of a build's sources in the harness's cache.
_BUILD_PATH = re.compile(r"\S*?/trees/[0-9a-f]+/(?:src|objects)/|(?:\.\./)+src/")

#: Compilers and linkers start an error's line with its location, or with their own name.
_ERROR = re.compile(r"\b(?:fatal )?error: |undefined (?:symbol|reference)")

#: Line and column numbers, which unrelated changes move.
_NUMBERS = re.compile(r":\d+(?::\d+)?(?=:)")


def error_lines(error: BuildError) -> list[str]:
    """Return the error lines, at least one, with paths relative to the tree."""
    lines = [line.strip() for line in error.detail.splitlines() if line.strip()]
    found = [line for line in lines if _ERROR.search(line)] or lines[:1] or [error.message]
    return [_BUILD_PATH.sub("", line) for line in found]


def error_title(line: str) -> str:
    """Return a comparable error: without line and column numbers."""
    return _NUMBERS.sub("", line, count=1)


@dataclass(slots=True)
class BuildTester:
    """A revision passes if it compiles; see ``harness.bisect.tester.Tester``.

    Args:
        revisions: provides kernels.
        directory: the run's directory; each failed test writes ``errors.txt``.
        clock: measures builds.
        close_runner: ends compilers that run.
    """

    revisions: Revisions
    directory: Path
    clock: Clock
    close_runner: Callable[[], None]
    _errors: dict[str, BuildError] = field(default_factory=dict)

    def build(self, commit: str, progress: Progress) -> Built:
        """See ``Tester``; that a revision does not compile is the result of ``test``."""
        started = self.clock.monotonic()
        self._errors.pop(commit, None)
        digest = ""
        try:
            digest = content_digest(self.revisions.kernel(commit, progress))
        except BuildError as error:
            self._errors[commit] = error
        return Built(digest, self.clock.monotonic() - started)

    def test(self, commit: str, cell: str, progress: Progress) -> Trial:
        """See ``Tester``: the outcome of the build."""
        del progress
        error = self._errors.get(commit)
        if error is None:
            return Trial(Kind.PASSED, outcome="builds")
        lines = error_lines(error)
        make_directory(self.directory / cell)
        write_atomic(self.directory / cell / ERRORS, f"{error}\n")
        titles = tuple(dict.fromkeys(map(error_title, lines)))
        return Trial(Kind.FAILED, titles, "does not build", error=lines[0])

    def close(self) -> None:
        """See ``Tester``."""
        self.close_runner()
