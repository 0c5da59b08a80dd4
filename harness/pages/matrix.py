"""The matrix of a branch in one night: a row for each revision, a column for each cell. Pure."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.nightly.result import Purpose, Result, Slot, Status

if TYPE_CHECKING:
    from harness.nightly.night import BranchNight, JudgedNight, RevisionNight


class FieldMark(StrEnum):
    """What a field of a matrix shows."""

    PASSED = "passed"
    FAILED = "failed"
    MIXED = "failed sometimes"
    UNBUILT = "does not build"
    HOST = "host failed"
    NOT_RUN = "not run"
    NONE = "not in the plan"

    @property
    def sign(self) -> str:
        """One character, which tells the marks apart without colours."""
        return _SIGNS[self]

    @property
    def style(self) -> str:
        """The mark's class in the style sheet."""
        return self.name.lower().replace("_", "-")


_SIGNS: Mapping[FieldMark, str] = {
    FieldMark.PASSED: "✓",
    FieldMark.FAILED: "✕",
    FieldMark.MIXED: "≈",
    FieldMark.UNBUILT: "⌧",
    FieldMark.HOST: "!",
    FieldMark.NOT_RUN: "·",
    FieldMark.NONE: "",
}


@dataclass(frozen=True, slots=True)
class Field:
    """The results of one cell at one revision.

    Args:
        mark: what they come to.
        title: the failure's title; empty if there is none.
        shared: whether it is the verdict on an equal kernel.
        place: the failure on the page of the cell; empty if it did not fail.
    """

    mark: FieldMark
    title: str = ""
    shared: bool = False
    place: str = ""

    @property
    def words(self) -> str:
        """Return what it shows, for those who cannot see the sign."""
        title = f": {self.title}" if self.title else ""
        return f"{self.mark}{title}{', equal kernel' if self.shared else ''}"


@dataclass(frozen=True, slots=True)
class Row:
    """A revision with its fields, in the order of the columns.

    Args:
        commit: its hash.
        revision: None for the base, of which earlier nights have the results.
        fields: the fields.
    """

    commit: str
    revision: RevisionNight | None
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """Adjacent revisions of which nothing was run.

    Args:
        count: their number.
    """

    count: int


@dataclass(frozen=True, slots=True)
class BranchMatrix:
    """The matrix of a branch.

    Args:
        branch: the branch.
        columns: names of cells, with their pages.
        rows: the newest first.
    """

    branch: BranchNight
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row | Gap, ...]


def failure_anchor(result: Result) -> str:
    """Return the name of a failure on the page of its cell; equal titles have equal names."""
    return f"failure-{_digest(result.status, result.title)[:8]}"


def slot_page(slot: Slot, number: int) -> str:
    """Return the path of a cell's page in a night, below the site's directory."""
    return f"nights/{number}/cell-{_digest(slot.branch, slot.cell)[:12]}.html"


def _digest(*words: str) -> str:
    """Return hexadecimal digits for texts of a plan, a tree or a guest, which fit no file name."""
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()


def mark_of(results: Sequence[Result]) -> FieldMark:
    """Return the mark of the results of one cell at one revision."""
    found = {each.status for each in results}
    if Status.UNBUILT in found:
        return FieldMark.UNBUILT
    if Status.FAILED in found:
        return FieldMark.MIXED if Status.PASSED in found else FieldMark.FAILED
    for status, mark in _MARKS.items():
        if status in found:
            return mark
    return FieldMark.NONE


_MARKS: Mapping[Status, FieldMark] = {
    Status.PASSED: FieldMark.PASSED,
    Status.HOST_FAILED: FieldMark.HOST,
    Status.NOT_RUN: FieldMark.NOT_RUN,
}


def matrices(judged: JudgedNight) -> tuple[BranchMatrix, ...]:
    """Return the matrix of each branch that has results."""
    by_branch: dict[str, dict[tuple[str, str], list[Result]]] = {}
    for result in judged.results:
        if result.purpose is not Purpose.CONTROL:
            fields = by_branch.setdefault(result.slot.branch, {})
            fields.setdefault((result.commit, result.slot.cell), []).append(result)
    return tuple(
        _matrix(judged, branch, by_branch[branch.name])
        for branch in judged.night.branches
        if branch.name in by_branch
    )


def _matrix(
    judged: JudgedNight,
    branch: BranchNight,
    results: Mapping[tuple[str, str], Sequence[Result]],
) -> BranchMatrix:
    number = judged.night.number
    cells = sorted({cell for _, cell in results})
    revisions = {each.commit: each for each in judged.night.revisions if each.branch == branch.name}
    tested = {commit for (commit, _), found in results.items() if _any_ran(found)}
    order = sorted(revisions.values(), key=lambda each: each.place, reverse=True)
    pages = {cell: slot_page(Slot(branch.name, cell), number) for cell in cells}

    def row(commit: str) -> Row:
        fields = (_field(results.get((commit, cell), ()), pages[cell]) for cell in cells)
        return Row(commit, revisions.get(commit), tuple(fields))

    rows: list[Row | Gap] = []
    for was_tested, group in itertools.groupby(order, lambda each: each.commit in tested):
        commits = [each.commit for each in group]
        rows += map(row, commits) if was_tested else [Gap(len(commits))]
    # Revisions of earlier nights, which were tested as the parents of culprits.
    rows += map(row, sorted(tested - revisions.keys(), key=lambda name: name != branch.base))
    return BranchMatrix(branch, tuple(pages.items()), tuple(rows))


def _any_ran(results: Iterable[Result]) -> bool:
    return any(each.status is not Status.NOT_RUN for each in results)


def _field(results: Sequence[Result], page: str) -> Field:
    mark = mark_of(results)
    worst = next((each for each in results if each.status in (Status.FAILED, Status.UNBUILT)), None)
    if worst is None:
        worst = next((each for each in results if each.status is Status.HOST_FAILED), None)
    shared = bool(results) and all(each.shared is not None for each in results)
    place = f"{page}#{failure_anchor(worst)}" if worst else ""
    return Field(mark, worst.title if worst and mark is not FieldMark.PASSED else "", shared, place)
