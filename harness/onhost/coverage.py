"""What a host program executed of the followed functions, by llvm-cov(1)'s export."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

#: llvm-cov puts the file before the name of a static function.
_NAME: Final = re.compile(r"(?:.*[:;])?(\w+)")
_MAIN_FILE: Final = 0


class CoverageSegment(NamedTuple):
    """A part of a file, up to the next one."""

    line: int
    column: int
    executions: int
    has_count: bool
    is_entry: bool
    is_gap: bool


class Ratio(NamedTuple):
    """How many of so many were executed."""

    executed: int
    total: int

    def __str__(self) -> str:
        """Return it for tables."""
        part = f" ({100 * self.executed / self.total:.1f} %)" if self.total else ""
        return f"{self.executed}/{self.total}{part}"


def total(ratios: Sequence[Ratio]) -> Ratio:
    """Return the sum of ratios."""
    return Ratio(sum(each.executed for each in ratios), sum(each.total for each in ratios))


@dataclass(frozen=True, slots=True)
class FunctionCoverage:
    """What was executed of a function.

    Args:
        path: of its file in the tree.
        name: of the function.
        calls: how often it was called.
        lines: those with code.
        branches: both ways of each condition; those in macros, such as assertions, are left out.
        untaken: ordinals of the branches that were not taken, from 1, in the order of the text: a
            condition that was false has the odd one of its two.
    """

    path: str
    name: str
    calls: int
    lines: Ratio
    branches: Ratio
    untaken: tuple[int, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return {
            "file": self.path, "function": self.name, "calls": self.calls,
            "lines": self.lines._asdict(), "branches": self.branches._asdict(),
            "untaken_branches": list(self.untaken),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was executed of some files.

    Args:
        files: the segments of each file, in order, by its path in the tree.
        functions: the functions in the order of the files.
    """

    files: Mapping[str, Sequence[CoverageSegment]]
    functions: tuple[FunctionCoverage, ...]

    def executed(self, path: str, line: int, column: int) -> bool | None:
        """Return whether the code at a place was executed; None: there is no code."""
        segments = self.files.get(path, ())
        place = bisect.bisect_right(segments, (line, column), key=lambda each: each[:2]) - 1
        if place < 0 or not segments[place].has_count:
            return None
        return segments[place].executions > 0

    def called(self) -> Ratio:
        """Return how many functions were called."""
        return Ratio(sum(each.calls > 0 for each in self.functions), len(self.functions))

    def summary(self) -> str:
        """Return the figures of all functions, in one line."""
        lines = total([each.lines for each in self.functions])
        branches = total([each.branches for each in self.functions])
        return f"functions {self.called()}, lines {lines}, branches {branches}"

    def text(self) -> str:
        """Return a table, a function a line."""
        rows = [("function", "calls", "lines", "branches")]
        rows += [
            (each.name, str(each.calls), str(each.lines), str(each.branches))
            for each in self.functions
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, f"all: {self.summary()}", ""])

    def document(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return {
            "functions": [each.document() for each in self.functions],
            "called": self.called()._asdict(),
            "lines": total([each.lines for each in self.functions])._asdict(),
            "branches": total([each.branches for each in self.functions])._asdict(),
        }


def read_coverage(export: Mapping[str, Any], is_followed: Callable[[str, str], bool]) -> Coverage:
    """Return the coverage of the followed functions.

    Args:
        export: the document of ``llvm-cov export``.
        is_followed: returns whether a function of a file is followed.

    Raises:
        KeyError, TypeError, ValueError, IndexError: it is no such document.
    """
    (data,) = export["data"]
    files = {
        str(PurePosixPath(each["filename"])): [
            CoverageSegment(*segment[:6]) for segment in each["segments"]
        ]
        for each in data["files"]
    }
    functions: dict[tuple[str, int], FunctionCoverage] = {}
    for each in data["functions"]:
        path = str(PurePosixPath(each["filenames"][_MAIN_FILE]))
        found = _NAME.fullmatch(each["name"])
        if found is None or path not in files or not is_followed(path, found[1]):
            continue
        line = min(region[0] for region in each["regions"] if region[5] == _MAIN_FILE)
        functions.setdefault((path, line), _function(path, found[1], each, files[path]))
    return Coverage(files, tuple(functions[place] for place in sorted(functions)))


def _function(
    path: str, name: str, document: Mapping[str, Any], segments: Sequence[CoverageSegment]
) -> FunctionCoverage:
    regions = [each for each in document["regions"] if each[5] == _MAIN_FILE]
    first, last = min(each[0] for each in regions), max(each[2] for each in regions)
    counts = [count for _, count in _line_counts(segments, first, last)]
    taken = [
        bool(count)
        for each in sorted(document.get("branches", ()))
        if each[6] == _MAIN_FILE
        for count in each[4:6]
    ]
    return FunctionCoverage(
        path, name, document["count"],
        Ratio(sum(count > 0 for count in counts), len(counts)),
        Ratio(sum(taken), len(taken)),
        tuple(number for number, was in enumerate(taken, start=1) if not was),
    )  # fmt: skip


def _line_counts(
    segments: Sequence[CoverageSegment], first: int, last: int
) -> Iterator[tuple[int, int]]:
    """Generate the lines with code and how often each was executed, as llvm-cov counts them."""
    by_line: dict[int, list[CoverageSegment]] = {}
    for segment in segments:
        by_line.setdefault(segment.line, []).append(segment)
    place = bisect.bisect_left(segments, first, key=lambda each: each.line) - 1
    wrapped = segments[place] if place >= 0 else None
    for line in range(first, last + 1):
        here = by_line.get(line, [])
        entries = [each for each in here if each.is_entry and each.has_count and not each.is_gap]
        is_skipped = bool(here) and here[0].is_entry and not here[0].has_count
        counted = [wrapped.executions] if wrapped is not None and wrapped.has_count else []
        if not is_skipped and (counted or entries):
            yield line, max([*counted, *(each.executions for each in entries)])
        wrapped = here[-1] if here else wrapped
