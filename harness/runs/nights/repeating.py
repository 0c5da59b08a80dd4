"""Repeats the new failures of a night."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from harness.image.media import BootMethod
from harness.nightly.failures import BUILD, FailureKey
from harness.nightly.judgement import Repeats
from harness.nightly.result import Purpose, Result
from harness.runs.nights.cellrunner import NightTask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.nightly.cells import NightCell
    from harness.nightly.judgement import Places
    from harness.nightly.result import Slot
    from harness.runs.nights.cells import NightCells

#: Number of the first repeat on the host that showed a failure: those before are on others.
_BACK: Final = 100


@dataclass(frozen=True, slots=True)
class NightRepeats:
    """Repeats failures.

    Args:
        cells: runs repeats, and has the night's results.
        slots: the plan's cells by slot.
        places: the revisions' places.
        spent: returns whether the budget is spent.
    """

    cells: NightCells
    slots: Mapping[Slot, NightCell]
    places: Places
    spent: Callable[[], bool]

    def repeated(self, failure: FailureKey, failing: Sequence[Result]) -> Repeats:
        """Repeat a new failure at the newest revision that shows it.

        In a group, it is repeated on other hosts than the one that showed it; if no repeat fails
        there, on that one, too.
        """
        first = max(
            (each for each in failing if each.ran),
            key=lambda each: (self.places.get((each.slot.branch, each.commit), 0), -each.id),
        )
        cell = self.slots[first.slot]
        opinions = [each for each in first.opinions if each.get("purpose") == "repeat"]
        counts = Repeats(
            failed=sum(each.get("title") == failure.title for each in opinions[:1]),
            passed=sum(each.get("outcome") == "booted" for each in opinions[:1]),
        )
        wanted = 1 if failure.kind == BUILD else counts.left
        both = (
            first.method == BootMethod.DIRECT.value
            and BootMethod.LOADER in self.cells.kernels.provider(cell).boot_methods
        )
        task = NightTask(
            cell, first.commit, Purpose.REPEAT, 0, trusted=True, clean=failure.kind == BUILD
        )
        counts = self._with_repeats(failure, counts, task, wanted, loader=both)
        if self._passes_elsewhere(failure, counts, first):
            there = replace(task, attempt=_BACK, host=first.host)
            back = self._with_repeats(failure, Repeats(), there, wanted)
            counts = replace(counts, back=back)
        return counts

    def _with_repeats(
        self, failure: FailureKey, counts: Repeats, task: NightTask, wanted: int, *,
        loader: bool = False,
    ) -> Repeats:  # fmt: skip
        """Repeat a task until there are so many verdicts; the last one may be through the loader.

        Args:
            failure: what is repeated.
            counts: the repeats so far.
            task: the first repeat.
            wanted: how many verdicts are wanted.
            loader: whether the last one is booted through the loader.
        """
        for number in range(2 * wanted):
            if counts.told >= wanted or self.spent():
                break
            last = counts.told == wanted - 1
            again = replace(task, attempt=task.attempt + number, loader=loader and last)
            counts = counts.with_result(failure, self.cells.alone(again))
        return counts

    def _passes_elsewhere(self, failure: FailureKey, counts: Repeats, first: Result) -> bool:
        """Return whether no repeat on another host showed what a host of a group has shown."""
        if failure.kind == BUILD or counts.failed or not counts.told:
            return False
        repeats = [
            each.host for each in self.cells.results.values()
            if each.purpose is Purpose.REPEAT and each.slot == first.slot
            and each.commit == first.commit
        ]  # fmt: skip
        return first.host in self.cells.hosts and first.host not in repeats
