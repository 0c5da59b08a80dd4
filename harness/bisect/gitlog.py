"""Reads and writes ``git bisect log`` (git-bisect(1), "Bisect log and bisect replay")."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.bisect.evidence import Mark
from harness.errors import UsageError

#: git's terms with ``--fixed``, where "bad" and "good" would be reversed.
_BROKEN, _FIXED = "broken", "fixed"

#: Most characters in a line; git's lines have about a hundred.
_LONGEST = 10_000


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A verdict on a revision, as the user names it."""

    mark: Mark
    revision: str


def write_log(entries: Iterable[LogEntry], subjects: Mapping[str, str], *, fixed: bool) -> str:
    """Return a log that ``git bisect replay`` accepts.

    Args:
        entries: the verdicts in order; only good, bad and skip are written.
        subjects: the first lines of the revisions' messages.
        fixed: the search is for the revision that fixed the failure.
    """
    words = {Mark.GOOD: "good", Mark.BAD: "bad", Mark.SKIP: "skip"}
    start = "git bisect start"
    if fixed:
        words |= {Mark.GOOD: _FIXED, Mark.BAD: _BROKEN}
        start += f" '--term-new={_FIXED}' '--term-old={_BROKEN}'"
    lines = [start]
    for entry in entries:
        word = words.get(entry.mark)
        if word is not None:
            subject = " ".join(subjects.get(entry.revision, "").split())
            lines.append(f"# {word}: [{entry.revision}] {subject}")
            lines.append(f"git bisect {word} {entry.revision}")
    return "\n".join(lines) + "\n"


def read_log(text: str, *, fixed: bool) -> list[LogEntry]:
    """Read the output of ``git bisect log`` or ``write_log``.

    For git, the new end is always the bad one, whatever its term. With ``fixed``, it is the one
    that passes.

    Raises:
        UsageError: the text is not such a log.
    """
    new, old = (Mark.GOOD, Mark.BAD) if fixed else (Mark.BAD, Mark.GOOD)
    terms = {"bad": new, "new": new, "good": old, "old": old, "skip": Mark.SKIP}
    entries: list[LogEntry] = []
    started = False
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match _words(line, number):
            case ["git", "bisect", "start", *rest]:
                started = True
                given, revisions = _options(rest)
                terms |= {word: new if age in ("new", "bad") else old for age, word in given}
                entries += [LogEntry(new, one) for one in revisions[:1]]
                entries += [LogEntry(old, one) for one in revisions[1:]]
            case ["git", "bisect", word, *revisions] if word in terms and revisions and started:
                entries += [LogEntry(terms[word], one) for one in revisions]
            case _:
                raise _not_a_log(line, number)
    if not started:
        raise UsageError("the log does not begin with 'git bisect start'", remedy=_REMEDY)
    return entries


_REMEDY = "give the output of 'git bisect log' or of 'harness bisect --export'"


def _words(line: str, number: int) -> list[str]:
    if len(line) > _LONGEST:  # shlex takes quadratic time
        raise _not_a_log(line, number)
    try:
        return shlex.split(line)
    except ValueError as error:
        raise _not_a_log(line, number) from error


def _options(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the terms in ``git bisect start`` as (age, word), and its revisions."""
    given = []
    revisions = []
    for word in words:
        option = re.fullmatch(r"--term-(new|bad|old|good)=(\S+)", word)
        if word == "--":
            break
        if option:
            given.append((option[1], option[2]))
        elif not word.startswith("-"):
            revisions.append(word)
    return given, revisions


def _not_a_log(line: str, number: int) -> UsageError:
    return UsageError(f"line {number} is not a line of a bisect log: {line[:80]!r}", remedy=_REMEDY)
