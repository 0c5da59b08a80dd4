"""Compiles revisions for a bisection that asks for nothing else: no guest is booted."""

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
"""The file of a test's directory with what the compiler reported."""

#: The directory that a build has its sources in: the harness's, of a tree or of the built-in guest.
_BUILD_PATH = re.compile(r"\S*?/trees/[0-9a-f]+/(?:src|objects)/|(?:\.\./)+src/")

#: Compilers and linkers begin the line of an error with its place, or with their own name.
_ERROR = re.compile(r"\b(?:fatal )?error: |undefined (?:symbol|reference)")

#: Lines and columns, which other changes of a file move.
_NUMBERS = re.compile(r":\d+(?::\d+)?(?=:)")


def error_lines(error: BuildError) -> list[str]:
    """The lines that say why, each with its place in the tree; there is at least one."""
    lines = [line.strip() for line in error.detail.splitlines() if line.strip()]
    found = [line for line in lines if _ERROR.search(line)] or lines[:1] or [error.message]
    return [_BUILD_PATH.sub("", line) for line in found]


def error_title(line: str) -> str:
    """The same for comparing: without the numbers of lines and columns."""
    return _NUMBERS.sub("", line, count=1)


@dataclass(slots=True)
class BuildTester:
    """A revision passes if it compiles; see ``harness.bisect.tester.Tester``.

    Args:
        revisions: provides kernels.
        directory: the run's; each test that fails leaves ``errors.txt``.
        clock: measures builds.
        close_runner: ends compilers that run.
    """

    revisions: Revisions
    directory: Path
    clock: Clock
    close_runner: Callable[[], None]
    _errors: dict[str, BuildError] = field(default_factory=dict)

    def build(self, commit: str, progress: Progress) -> Built:
        """See ``Tester``: that a revision does not compile is for ``test`` to say."""
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
