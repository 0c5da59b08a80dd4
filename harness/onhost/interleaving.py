"""Runs a program's threads by many schedules, each in a copy of the program.

Programs of few operations are searched systematically, with up to two preemptions, and with one
where loads and stores are switch points; what is left of the limit are runs with random priorities
that change at random points (Burckhardt et al., A Randomized Scheduler with Probabilistic
Guarantees of Finding Bugs, 2010), half of them with loads and stores as switch points.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from harness.check.shrink import shrink
from harness.onhost.schedules import (
    InterleavingCounts,
    Schedule,
    Switches,
    SystematicSearch,
    read_points,
    read_switches,
)

if TYPE_CHECKING:
    from harness.onhost.ending import HostEnding
    from harness.onhost.run import Tried

#: Programs with at most so many operations are searched systematically.
MOST_SYSTEMATIC: Final = 12
#: Schedules of a trace that names none, if nothing else is asked for.
USUAL_SCHEDULES: Final = 10_000
_PREEMPTIONS: Final = 2
#: Where loads and stores are switch points, too: one shows most missing locks.
_PREEMPTIONS_AT_ACCESSES: Final = 1
#: Of the limit, what is left after the systematic search, the same at loads and stores, and
#: schedules of the first that are equal unless a lock is missing.
_SHARES: Final = (0.45, 0.2, 0.1)
#: Commands that are sent at once.
_BATCH: Final = 48
#: Changes of priorities in a run.
_CHANGES: Final = (1, 2, 3, 8)
#: Runs with fewer switches that are tried for a schedule of random priorities.
_SHRINK_ATTEMPTS: Final = 300


@dataclass(slots=True)
class Interleaving:
    """Searches for a schedule that ends the program.

    Args:
        limit: the most schedules of one program of threads.

    Attributes:
        tried: runs lists of commands, each list in a copy of the program as it is; set by who has
            one.
        counts: what was run.
        needed: schedules that the last search ran up to the one that ended the program.
    """

    limit: int = 0
    counts: InterleavingCounts = field(default_factory=InterleavingCounts)
    needed: int = 0
    tried: Callable[[Sequence[Sequence[str]]], Sequence[Tried]] = field(default=lambda _: ())
    _operations: int = 0
    _left: int = 0

    def search(self, threads: int, operations: int, seed: str) -> Schedule | None:
        """Return the first schedule found that ends the program; None if none does.

        Args:
            threads: the number of threads, which were told to the program.
            operations: of all threads.
            seed: what is random depends on it alone.

        Raises:
            ChannelEnded: the program itself has ended.
            Nonsense: its answers are invalid.
        """
        self._operations, self._left = operations, self.limit
        self.counts.programs += 1
        self.counts.threads = max(self.counts.threads, threads)
        rng = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        found = self._systematic(rng) if operations <= MOST_SYSTEMATIC else None
        found = found if found is not None else self._randomly(rng)
        if found is not None:
            self.needed = self.limit - self._left
        return found

    def _systematic(self, rng: random.Random) -> Schedule | None:
        search = SystematicSearch(_PREEMPTIONS, rng)
        found = self._some(search, _SHARES[0], equal=False)
        if search.only_equal_left:
            self.counts.exhausted += 1
        if found is None:
            accesses = SystematicSearch(_PREEMPTIONS_AT_ACCESSES, rng)
            found = self._some(accesses, _SHARES[1], equal=False, accesses=True)
        return found if found is not None else self._some(search, _SHARES[2], equal=True)

    def _some(
        self, search: SystematicSearch, share: float, *, equal: bool, accesses: bool = False
    ) -> Schedule | None:
        """Run schedules of a search until that share of the limit is left, or none are."""
        stop = int(self.limit * share)
        while self._left > stop and (equal or not search.only_equal_left):
            taken = search.take(min(_BATCH, self._left - stop))
            if not taken:
                return None
            told = [not accesses or search.goes_on(each) for each in taken]
            commands = [
                Schedule(each, accesses).commands(f"end=1{_log_of(each) if tells else ''}")
                for each, tells in zip(taken, told, strict=True)
            ]
            for switches, tried in zip(taken, self._run(commands), strict=True):
                if tried.ending is not None:
                    return Schedule(switches, accesses)
                search.ran(switches, read_points("".join(tried.notes)))
        return None

    def _randomly(self, rng: random.Random) -> Schedule | None:
        lengths = {accesses: self._length(accesses) for accesses in (0, 1) if self._left > 0}
        while self._left > 0:
            accesses = rng.randrange(2) if len(lengths) > 1 else 0
            commands = [
                (
                    f"interleave end=1 seed={rng.randrange(1 << 30)} "
                    f"changes={rng.choice(_CHANGES)} length={lengths[accesses]} "
                    f"accesses={accesses}",
                )
                for _ in range(min(_BATCH, self._left))
            ]
            for tried in self._run(commands):
                if tried.ending is not None:
                    switches = read_switches("".join(tried.notes))
                    return self._shrunk(Schedule(switches, bool(accesses)), tried.ending)
        return None

    def _length(self, accesses: int) -> int:
        """The switch points of the usual schedule."""
        (tried,) = self._run([Schedule((), bool(accesses)).commands()])
        return max(1, int(tried.fields.get("points", "1")))

    def _shrunk(self, schedule: Schedule, ending: HostEnding) -> Schedule:
        """The same with fewer switches, as long as the program ends alike."""

        def shows(candidate: Schedule) -> bool:
            (tried,) = self.tried([candidate.commands("end=1")])
            return tried.ending is not None and tried.ending.title == ending.title

        return shrink(schedule, shows, _SHRINK_ATTEMPTS)

    def _run(self, commands: Sequence[Sequence[str]]) -> Iterator[Tried]:
        results = self.tried(commands)
        self._left -= len(results)
        self.counts.schedules += len(results)
        self.counts.operations += len(results) * self._operations
        self.counts.points += sum(int(each.fields.get("points", "0")) for each in results)
        return iter(results)


def _log_of(switches: Switches) -> str:
    """What has the points told that a search does not know of its parent."""
    return f" log={switches[-1][0] if switches else 0}"
