"""Runs a program's threads by many schedules, each in a copy of the program.

Programs of few operations are searched systematically, with up to two preemptions; what is left of
the limit are runs with random priorities that change at random points (Burckhardt et al., A
Randomized Scheduler with Probabilistic Guarantees of Finding Bugs, 2010), half of them with loads
and stores as switch points.
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
#: Of the limit, what the systematic search may use of it.
_SYSTEMATIC_SHARE: Final = 0.7
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
        tried: runs commands, each in a copy of the program as it is; set by who has one.
        counts: what was run.
    """

    limit: int = 0
    counts: InterleavingCounts = field(default_factory=InterleavingCounts)
    tried: Callable[[Sequence[str]], Sequence[Tried]] = field(default=lambda _: ())
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
        if operations <= MOST_SYSTEMATIC:
            found = self._systematic(rng)
            if found is not None:
                return found
        return self._randomly(rng)

    def _systematic(self, rng: random.Random) -> Schedule | None:
        search = SystematicSearch(_PREEMPTIONS, rng)
        stop = int(self._left * (1 - _SYSTEMATIC_SHARE))
        while self._left > stop:
            taken = search.take(min(_BATCH, self._left - stop))
            if not taken:
                self.counts.exhausted += 1
                return None
            commands = [
                f"interleave end=1 log={each[-1][0] if each else 0} {Schedule(each).told}"
                for each in taken
            ]
            for switches, tried in zip(taken, self._run(commands), strict=True):
                if tried.ending is not None:
                    return Schedule(switches)
                search.ran(switches, read_points("".join(tried.notes)))
        return None

    def _randomly(self, rng: random.Random) -> Schedule | None:
        lengths = {accesses: self._length(accesses) for accesses in (0, 1) if self._left > 0}
        while self._left > 0:
            accesses = rng.randrange(2) if len(lengths) > 1 else 0
            commands = [
                f"interleave end=1 seed={rng.randrange(1 << 30)} changes={rng.choice(_CHANGES)} "
                f"length={lengths[accesses]} accesses={accesses}"
                for _ in range(min(_BATCH, self._left))
            ]
            for tried in self._run(commands):
                if tried.ending is not None:
                    switches = read_switches("".join(tried.notes))
                    return self._shrunk(Schedule(switches, bool(accesses)), tried.ending)
        return None

    def _length(self, accesses: int) -> int:
        """The switch points of the usual schedule."""
        (tried,) = self._run([f"interleave schedule=none accesses={accesses}"])
        return max(1, int(tried.fields.get("points", "1")))

    def _shrunk(self, schedule: Schedule, ending: HostEnding) -> Schedule:
        """The same with fewer switches, as long as the program ends alike."""

        def shows(candidate: Schedule) -> bool:
            (tried,) = self.tried([f"interleave end=1 {candidate.told}"])
            return tried.ending is not None and tried.ending.title == ending.title

        return shrink(schedule, shows, _SHRINK_ATTEMPTS)

    def _run(self, commands: Sequence[str]) -> Iterator[Tried]:
        results = self.tried(commands)
        self._left -= len(results)
        self.counts.schedules += len(results)
        self.counts.operations += len(results) * self._operations
        self.counts.points += sum(int(each.fields.get("points", "0")) for each in results)
        return iter(results)
