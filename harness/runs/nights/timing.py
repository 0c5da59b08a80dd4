"""Finds the cells of a night whose boots became slower, and the commit that made them slower."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from harness.nightly.night import ProvenCulprit
from harness.nightly.result import Purpose, Result, Slot, Status
from harness.nightly.statistics import looks
from harness.nightly.timing import Slowdown, boot_cpu, first_slow, slower_times, suspect
from harness.runs.nights.cellrunner import NightTask
from harness.runs.nights.results import not_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.history.nights import NightReader
    from harness.nightly.cells import NightCell
    from harness.nightly.night import BranchNight
    from harness.nightly.statistics import Look
    from harness.runs.nights.cells import NightCells
    from harness.source.firstparents import BranchCommit

#: Cells that are compared in a night: first those put off, then the slowest. On a host that has
#: become slower, all are suspects.
_MOST: Final = 5

#: Boots of a revision are tried so many times as often as times are wanted.
_ATTEMPTS: Final = 2


@dataclass(slots=True)
class NightTiming:
    """Compares boots.

    Args:
        cells: runs boots, and has the night's results.
        slots: the plan's cells by slot.
        reader: the history.
        commit: returns a revision of a branch.
        between: returns the revisions of a branch after one up to another one; none if the one does
            not lead to the other.
        spent: returns whether the budget is spent.

    Attributes:
        cut: the comparisons that the budget ended: a result that was not run for the revision
            that each slot is to be compared with. The next night goes on with them.
    """

    cells: NightCells
    slots: Mapping[Slot, NightCell]
    reader: NightReader
    commit: Callable[[str, str], BranchCommit]
    between: Callable[[str, str, str], Sequence[str]]
    spent: Callable[[], bool]
    cut: list[Result] = field(default_factory=list)
    _found: dict[str, list[str]] = field(default_factory=dict)

    def slowdowns(self) -> list[Slowdown]:
        """Return the cells that are slower at the tip than at the last judged tip."""
        bases = self._put_off()
        for slot, base in self._suspects().items():
            bases.setdefault(slot, base)
        chosen = list(bases.items())[:_MOST]
        ends = looks(len(chosen))
        found = [self._compared(slot, base, ends) for slot, base in chosen]
        return [each for each in found if each is not None]

    def _branch(self, slot: Slot) -> BranchNight:
        return next(each for each in self.cells.night.branches if each.name == slot.branch)

    def _put_off(self) -> dict[Slot, str]:
        """Return the comparisons that the budget of the last night ended: slots and their bases.

        They are not suspected anew: the history has slow boots of them by now.
        """
        before = self.cells.night.compared_with
        if before is None:
            return {}
        bases = {}
        for slot, base in self.reader.cell_results.uncompared(before).items():
            if slot not in self.slots or base == self._branch(slot).tip:
                continue
            if self._boot(slot, self._branch(slot).tip) is None:
                self._cut(slot, base)
            else:
                bases[slot] = base
        return bases

    def _cut(self, slot: Slot, base: str) -> None:
        """Leave a comparison to the next night."""
        attempts = sum(
            each.slot == slot and each.commit == base and each.purpose is Purpose.TIMING
            for each in self.cells.results.values()
        )
        self.cut.append(not_run(self.slots[slot], base, attempts, Purpose.TIMING))

    def _suspects(self) -> dict[Slot, str]:
        """Return the cells whose boot at the tip was slow, the slowest first, and their bases."""
        found = []
        for slot, cell in self.slots.items():
            branch = self._branch(slot)
            if cell.kind != "boot" or not branch.base or branch.base == branch.tip:
                continue
            now = self._boot(slot, branch.tip)
            if now is not None and now.ran:
                before = self.reader.cell_results.boots(slot, self.cells.night.number)
                found.append(suspect(now, before))
        slow = [each for each in found if each is not None]
        slow.sort(key=lambda each: -each.ratio)
        return {each.slot: self._branch(each.slot).base for each in slow}

    def _boot(self, slot: Slot, commit: str) -> Result | None:
        """Return the planned boot of a revision that passed."""
        return next(
            (
                each
                for each in self.cells.results.values()
                if each.slot == slot and each.commit == commit and each.status is Status.PASSED
                and each.purpose is Purpose.PLANNED
            ),
            None,
        )  # fmt: skip

    def _compared(self, slot: Slot, base: str, ends: Sequence[Look]) -> Slowdown | None:
        """Boot both revisions in turn; return the slowdown if there is one."""
        tip = self._branch(slot).tip
        times = self._slower(slot, base, tip, ends)
        if times is None:
            if self.spent():
                self._cut(slot, base)
            return None
        before, after = map(statistics.median, times)
        found = Slowdown(slot, base, tip, before, after, len(times[0]))
        culprit = self._culprit(found, ends)
        if culprit is None and self.spent():
            self._cut(slot, base)
        return replace(found, culprit=culprit)

    def _slower(
        self, slot: Slot, old: str, new: str, ends: Sequence[Look]
    ) -> tuple[Sequence[float], Sequence[float]] | None:
        """Return the CPU times of boots of two revisions if the new one is slower."""

        def timed(boots: int) -> tuple[list[float], list[float]]:
            times: dict[str, list[float]] = {old: [], new: []}
            self._time(slot, times, boots)
            return times[old], times[new]

        return slower_times(ends, timed)

    def _time(self, slot: Slot, times: Mapping[str, list[float]], boots: int) -> None:
        """Add CPU times of so many boots of each revision, fewer if the budget is spent.

        Boots of this night count. One without a time, which the host or a flake has spoilt, is
        repeated.
        """
        commits = list(times)
        for attempt in range(boots * _ATTEMPTS):
            for commit in commits if attempt % 2 else commits[::-1]:
                if len(times[commit]) >= boots:
                    continue
                if self.spent():
                    return
                task = NightTask(self.slots[slot], commit, Purpose.TIMING, attempt)
                seconds = boot_cpu(self.cells.alone(task))
                if seconds is not None:
                    times[commit].append(seconds)

    def _culprit(self, found: Slowdown, ends: Sequence[Look]) -> ProvenCulprit | None:
        """Return the commit that made a cell slower, with its proof."""
        for commit in self._found.get(found.slot.branch, ()):
            proven = self._proven(
                found, self.commit(found.slot.branch, commit).parent, commit, ends
            )
            if proven is not None:
                return proven
        between = self.between(found.slot.branch, found.base, found.tip)
        commits = (found.base, *between)
        fast, slow = first_slow(commits, lambda commit: self._is_slow(found, commit))
        return self._proven(found, fast, slow, ends) if slow else None

    def _is_slow(self, found: Slowdown, commit: str) -> bool | None:
        """Return whether a revision is rather as slow as the tip than as fast as the base."""
        times: list[float] = []
        self._time(found.slot, {commit: times}, found.boots)
        if len(times) < found.boots:
            return None
        return statistics.median(times) > (found.before + found.after) / 2

    def _proven(
        self, found: Slowdown, parent: str, commit: str, ends: Sequence[Look]
    ) -> ProvenCulprit | None:
        times = self._slower(found.slot, parent, commit, ends) if parent else None
        if times is None:
            return None
        self._found.setdefault(found.slot.branch, []).append(commit)
        subject = self.commit(found.slot.branch, commit).subject
        fast, slow = map(statistics.median, times)
        words = (
            f"{found.slot.cell}: {commit[:12]} took {slow:.2f} s of CPU time, its parent "
            f"{parent[:12]} {fast:.2f} s: medians of {len(times[0])} boots of each"
        )
        return ProvenCulprit(commit, subject, (found.slot,), (words,))
