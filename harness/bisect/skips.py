"""The file of revisions that are not to be tested: one a line, ``#`` begins a comment."""

from __future__ import annotations

from harness.errors import UsageError

#: Characters of a line that names a revision.
_LONGEST = 1000


def read_skips(text: str) -> list[tuple[int, str]]:
    """The revisions that the text names, each with the number of its line.

    Raises:
        UsageError: a line names something else than one revision.
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
                f"line {number} names no single revision: {revision[:80]!r}",
                remedy="put one revision on each line; # begins a comment",
            )
        found.append((number, revision))
    return found
