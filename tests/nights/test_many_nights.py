"""Many nights with flakes, host failures, kills and planted culprits: how often they are wrong."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fake_nights import CONTROL, Fault, Nights

from harness.history.database import Database
from harness.history.nights import NightReader
from harness.nightly.night import JudgedNight, NewsKind, Problem
from harness.nightly.result import Result

#: Rates of faults that commits bring; those from 0.6 on must be found.
RATES = (1.0, 1.0, 0.6, 0.3, 0.1, 0.02)
FOUND = 0.6

#: News that need a fault to be true.
OF_FAULTS = frozenset(
    {NewsKind.REGRESSION, NewsKind.FLAKY, NewsKind.REOPENED, NewsKind.CULPRIT, NewsKind.BUILD}
)

#: News of what never happens.
NEVER_TRUE = frozenset(
    {NewsKind.FLAKIER, NewsKind.SLOWER, NewsKind.VANISHED, NewsKind.UNEXPECTED, NewsKind.CONTROL}
)


@dataclass
class Tally:
    """What came of the nights.

    Attributes:
        news: number of news by kind.
        wrong: false news, each as a sentence.
        named: rates of faults whose culprit was named.
        planted: rates of all planted faults.
        misnamed: culprits that are not the fault's commit.
        kills: number of times a night was killed.
    """

    news: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    named: dict[str, float] = field(default_factory=dict)
    planted: dict[str, float] = field(default_factory=dict)
    misnamed: list[str] = field(default_factory=list)
    kills: int = 0

    def share(self, rate: float) -> tuple[int, int]:
        """Return how many faults of a rate were named, and how many there were."""
        wanted = [title for title, each in self.planted.items() if each == rate]
        return sum(title in self.named for title in wanted), len(wanted)


@dataclass
class Simulation:
    """Nights of a tree in which faults come and go.

    Args:
        nights: the tree.
        chance: of all that is random.
    """

    nights: Nights
    chance: random.Random
    tally: Tally = field(default_factory=Tally)

    def run(self, count: int) -> Tally:
        """Run so many nights."""
        self.nights.night()
        for number in range(count):
            self._commits(number)
            judged = self._night()
            self._count(judged)
        return self.tally

    def _commits(self, number: int) -> None:
        """Add the commits of a day: some bring a fault, some mend one."""
        active = [fault for fault in self.nights.faults if fault.until is None]
        for _ in range(self.chance.randrange(1, 5)):
            kind = self.chance.random()
            free = all(number % 2 + 1 not in fault.nodes for fault in active)
            if kind < 0.12 and free:  # a fault would hide another in the same cell
                rate = self.chance.choice(RATES)
                title = f"fault {chr(97 + number % 26)}{chr(97 + number // 26 % 26)}"
                title += chr(97 + number // 676 % 26)
                if all(title != fault.title for fault in self.nights.faults):
                    self.nights.commit(Fault(title, 0, rate=rate, nodes=(1 + number % 2,)))
                    active = [each for each in self.nights.faults if each.until is None]
            elif kind < 0.3 and active:
                self.nights.mend(active.pop(0).title)
            else:
                self.nights.commit(equal=kind > 0.8)

    def _night(self) -> JudgedNight:
        """Run a night, killed now and then, until it ends."""
        while self.chance.random() < 0.15:
            self.nights.kill_after = self.nights.boots + self.chance.randrange(0, 8)
            try:
                return self.nights.night(budget=900.0).judged
            except KeyboardInterrupt:
                self.tally.kills += 1
            finally:
                self.nights.kill_after = None
        return self.nights.night(budget=900.0).judged

    def _count(self, judged: JudgedNight) -> None:
        """Compare what a night tells with what is true.

        A fault counts as planted if a branch's tip had it: one that the next commit mended may
        never have been booted.
        """
        at_tip = [fault for fault in self.nights.faults if fault.until is None]
        self.tally.planted |= {fault.title: fault.rate for fault in at_tip}
        problems = {problem.id: problem for problem in judged.problems}
        for news in judged.news:
            self.tally.news[news.kind.value] += 1
            problem = problems.get(news.problem)
            fault = None if problem is None else self._fault(problem)
            if news.kind in OF_FAULTS and fault is None:
                self.tally.wrong.append(f"{news.kind}: {news.text}")
            if news.kind is NewsKind.FIXED and (fault is None or fault.until is None):
                self.tally.wrong.append(f"{news.kind}: {news.text}")
            if news.kind in NEVER_TRUE:
                self.tally.wrong.append(f"{news.kind}: {news.text}")
            if news.kind is NewsKind.CULPRIT and problem is not None and fault is not None:
                self._named(problem, fault)
        self._nothing_lost(judged)

    def _fault(self, problem: Problem) -> Fault | None:
        return next(
            (fault for fault in self.nights.faults if problem.title.startswith(fault.title)), None
        )

    def _named(self, problem: Problem, fault: Fault) -> None:
        assert problem.culprit is not None
        if problem.culprit.commit == self.nights.commits[fault.since]:
            self.tally.named[fault.title] = fault.rate
        else:
            self.tally.misnamed.append(problem.culprit.commit)

    def _nothing_lost(self, judged: JudgedNight) -> None:
        """Every cell of every revision has a result, and none has two."""
        keys = Counter(_key(result) for result in judged.results)
        assert not [key for key, times in keys.items() if times > 1]
        ran = {(result.slot.cell, result.commit) for result in judged.results}
        for revision in judged.night.revisions:
            for cell in ("boot-none-numa1", "boot-none-numa2"):
                assert (cell, revision.commit) in ran


def _key(result: Result) -> tuple[object, ...]:
    return result.slot, result.commit, result.purpose, result.attempt


def simulated(directory: Path, count: int, seed: int) -> Tally:
    # In long runs, CPU time varies so much that boots are compared every few nights.
    noise = 0.3 if count > 20 else 0.04
    nights = Nights(directory, seed=seed, host=0.02, noise=noise, keys="tip_boots = 4\n")
    plan = directory / "nightly.toml"
    plan.write_text(plan.read_text().replace('"1,2,4"', '"1,2"') + CONTROL)
    return Simulation(nights, random.Random(seed)).run(count)


def told_of(tally: Tally) -> str:
    rates = {rate: tally.share(rate) for rate in sorted(set(RATES), reverse=True)}
    return (
        f"news {dict(tally.news)}; wrong {tally.wrong}; misnamed {tally.misnamed}; "
        f"culprits by rate {rates}; killed {tally.kills} times"
    )


@pytest.mark.parametrize(
    ("count", "seed"),
    [
        pytest.param(20, 1, id="20"),
        *(pytest.param(300, seed, id=f"300-{seed}", marks=pytest.mark.long)
          for seed in range(2, 12)),
    ],
)  # fmt: skip
def test_nights_are_seldom_wrong(tmp_path: Path, count: int, seed: int) -> None:
    tally = simulated(tmp_path, count, seed)
    assert not tally.misnamed, told_of(tally)
    assert len(tally.wrong) <= count / 200, told_of(tally)
    found = [tally.share(rate) for rate in set(RATES) if rate >= FOUND]
    named, planted = sum(each for each, _ in found), sum(each for _, each in found)
    assert named >= 0.95 * planted - 1, told_of(tally)
    numbers = [night.number for night in reader_of(tmp_path).nights(count + 2)]
    assert numbers == list(range(count + 1, 0, -1))


def reader_of(directory: Path) -> NightReader:
    return NightReader(Database.open(directory / "state" / "nightly" / "made.sqlite"), "made")
