"""Reads the file of excluded revisions: one on each line, ``#`` begins a comment."""

from __future__ import annotations

from harness.errors import UsageError

#: Most characters in a line.
_LONGEST = 1000


def read_skips(text: str) -> list[tuple[int, str]]:
    """Return the revisions in the text with their line numbers.

    Raises:
        UsageError: a line does not name one revision.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        revision = line.partition("#")[0].strip()
        if not revision:
            continue
        if (
            len(revision) > _LONGEST
            or len(revision.split()) > 1
            or ".." in revision
            or not revision.isprintable()
            or revision.startswith(("-", "^"))
        ):
            raise UsageError(
                f"line {number} does not name one revision: {revision[:80]!r}",
                remedy="put one revision on each line; # begins a comment",
            )
        found.append((number, revision))
    return found
