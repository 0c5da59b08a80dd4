"""Boots that became slower: what is suspect, what is told, and how seldom chance alone does it."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_nights import Fault, Nights
from hypothesis import given
from hypothesis import strategies as st

from harness.nightly.night import JudgedNight, NewsKind
from harness.nightly.result import Purpose, Result, Slot, Status
from harness.nightly.statistics import FALSE_ALARMS, looks, slower_by_chance
from harness.nightly.timing import boot_cpu, first_slow, slower_times, suspect

SLOT = Slot("tree:main", "boot-none-numa4")


def slower(judged: JudgedNight) -> list[str]:
    return [news.text for news in judged.news if news.kind is NewsKind.SLOWER]


def booted(seconds: float, **changed: object) -> Result:
    cpu = {"kernel": 1.0, "init": 1.0 + seconds}
    return Result(SLOT, "c", Status.PASSED, cpu=cpu, **changed)  # type: ignore[arg-type]


def known_nights(tmp_path: Path) -> Nights:
    """Return nights of whose cells the history knows six boots each."""
    nights = Nights(tmp_path, cells="repeat = 6\n")
    nights.night()
    nights.cells = ""
    nights.write_plan()
    return nights


def test_a_slower_boot_is_told_once_with_the_commit_that_made_it_slower(tmp_path: Path) -> None:
    nights = known_nights(tmp_path)
    nights.commit()
    nights.commit()
    culprit = nights.commit(Fault("slow", 0, slower=1.3, nodes=(2, 4)))
    nights.commit()
    judged = nights.night().judged
    (text,) = slower(judged)
    assert nights.commits[culprit][:12] in text
    assert "boot-none-numa2" in text
    assert "boot-none-numa4" in text
    assert "boot-none-numa1" not in text
    assert any(each.purpose is Purpose.TIMING for each in judged.results)
    nights.commit()
    assert slower(nights.night().judged) == []


def test_boots_that_a_flake_spoils_are_repeated(tmp_path: Path) -> None:
    flake = Fault("flake", 0, until=1, rate=0.3)
    nights = Nights(tmp_path, faults=[flake], cells="repeat = 9\n")
    nights.night()
    nights.cells = ""
    nights.write_plan()
    culprit = nights.commit(Fault("slow", 0, slower=1.3))
    judged = nights.night().judged
    timed = [each for each in judged.results if each.purpose is Purpose.TIMING]
    assert any(each.status is Status.FAILED for each in timed)
    (text,) = slower(judged)
    assert nights.commits[culprit][:12] in text


def test_a_boot_that_takes_much_longer_does_not_hide_a_slowdown(tmp_path: Path) -> None:
    nights = known_nights(tmp_path)
    culprit = nights.commit(Fault("slow", 0, slower=1.3, nodes=(4,)))
    nights.slow_boots = {nights.boots + 5}  # three of the plan, then one of the tip
    judged = nights.night().judged
    timed = [each for each in judged.results if each.purpose is Purpose.TIMING]
    assert [each.commit for each in timed[:2]] == nights.commits[::-1]
    (text,) = slower(judged)
    assert nights.commits[culprit][:12] in text
    assert "in 10 boots of each" in text


def test_failures_of_boots_for_times_are_judged(tmp_path: Path) -> None:
    nights = known_nights(tmp_path)
    slow, flake = Fault("slow", 0, slower=1.3, nodes=(4,)), Fault("flake", 0, nodes=(4,), spared=1)
    nights.commit(slow, flake)
    judged = nights.night().judged
    failed = [each for each in judged.results if each.status is Status.FAILED]
    assert failed[0].purpose is Purpose.TIMING
    (problem,) = judged.problems
    assert problem.title.startswith("flake")
    (incident,) = problem.incidents
    assert incident.first_bad == nights.commits[-1]
    assert incident.last_good == nights.commits[0]
    assert problem.repeats == (5, 5)


def test_a_host_that_is_slower_for_one_boot_is_no_news(tmp_path: Path) -> None:
    nights = known_nights(tmp_path)
    nights.commit()
    nights.slow_boots = set(range(nights.boots + 1, nights.boots + 4))
    judged = nights.night().judged
    assert any(each.purpose is Purpose.TIMING for each in judged.results)
    assert judged.news == ()


def test_without_budget_for_the_boots_nothing_is_claimed(tmp_path: Path) -> None:
    nights = known_nights(tmp_path)
    nights.commit(Fault("slow", 0, slower=1.3))
    assert slower(nights.night(budget=30.0).judged) == []


def cut_short(judged: JudgedNight) -> list[str]:
    return [note for note in judged.night.notes if "comparison of boot times" in note]


def test_what_the_budget_leaves_uncompared_is_compared_the_next_night(tmp_path: Path) -> None:
    nights = known_nights(tmp_path)
    fast = len(nights.commits) - 1
    nights.commit()
    culprit = nights.commit(Fault("slow", 0, slower=1.3, nodes=(4,)))
    for _ in range(3):
        cut = nights.night(budget=20.0).judged
        assert slower(cut) == []
        (note,) = cut_short(cut)
        assert nights.commits[fast][:12] in note
        nights.commit()
    judged = nights.night().judged
    (text,) = slower(judged)
    assert nights.commits[culprit][:12] in text
    assert cut_short(judged) == []
    nights.commit()
    assert slower(nights.night().judged) == []


def test_a_culprit_that_the_budget_left_unknown_is_named_the_next_night(tmp_path: Path) -> None:
    nights = known_nights(tmp_path)
    nights.commit()
    culprit = nights.commit(Fault("slow", 0, slower=1.3, nodes=(4,)))
    nights.commit()
    (first,) = slower(nights.night(budget=50.0).judged)
    assert "since" not in first
    nights.commit()
    assert slower(nights.night(budget=50.0).judged) == []  # it was told
    (second,) = slower(nights.night().judged)
    assert f"since {nights.commits[culprit][:12]}" in second


def test_what_is_uncompared_goes_on_though_the_branch_has_not_moved(tmp_path: Path) -> None:
    nights = known_nights(tmp_path)
    culprit = nights.commit(Fault("slow", 0, slower=1.3, nodes=(4,)))
    assert cut_short(nights.night(budget=20.0).judged)
    (text,) = slower(nights.night().judged)
    assert nights.commits[culprit][:12] in text


def test_what_is_uncompared_waits_while_its_cell_fails(tmp_path: Path) -> None:
    nights = known_nights(tmp_path)
    culprit = nights.commit(Fault("slow", 0, slower=1.3, nodes=(4,)))
    assert cut_short(nights.night(budget=20.0).judged)
    nights.commit(Fault("panic", 0, nodes=(4,)))
    assert cut_short(nights.night().judged)
    nights.mend("panic")
    (text,) = slower(nights.night().judged)
    assert nights.commits[culprit][:12] in text


@pytest.mark.parametrize(("suspects", "boots"), [(0, 5), (1, 5), (2, 6), (5, 7), (100, 9)])
def test_the_night_shares_its_false_alarms_among_all_comparisons(suspects: int, boots: int) -> None:
    ends = looks(suspects)
    assert [each.boots for each in ends] == [boots, 2 * boots, 4 * boots]
    assert max(1, suspects) * sum(each.chance for each in ends) == pytest.approx(FALSE_ALARMS)
    assert slower_by_chance(range(boots), range(boots, 2 * boots)) <= ends[0].chance


@given(st.lists(st.integers(0, 9), max_size=5), st.lists(st.integers(0, 9), max_size=5))
def test_the_chance_is_the_share_of_orders_with_such_ranks(old: list[int], new: list[int]) -> None:
    """Counted one by one, for as many boots of different times."""
    against = sum(before >= after for before in old for after in new)
    ranks = range(len(old) + len(new))
    orders = [
        sum(before > after for before in some for after in set(ranks) - set(some))
        for some in itertools.combinations(ranks, len(old))
    ]
    share = sum(each <= against for each in orders) / len(orders)
    assert slower_by_chance(old, new) == pytest.approx(share)


Noise = Callable[[random.Random], Iterator[float]]


def burdened(chance: random.Random) -> Iterator[float]:
    """A host with other work that comes and goes: all boots of a while take longer."""
    burden = 0.0
    while True:
        burden = 0.8 * burden + 0.1 * chance.random()
        yield 1.0 + burden + (0.1 * chance.paretovariate(1.2) if chance.random() < 1 / 6 else 0.0)


def heavy_tailed(chance: random.Random) -> Iterator[float]:
    """One boot in six takes longer, without a bound."""
    while True:
        outlier = 0.1 * chance.paretovariate(1.5) if chance.random() < 1 / 6 else 0.0
        yield (1.0 + 0.02 * chance.random()) * (1.0 + outlier)


def wide(chance: random.Random) -> Iterator[float]:
    while True:
        yield chance.lognormvariate(0.0, 0.3)


def share_told(noise: Noise, times: int, comparisons: int = 1, slower: float = 1.0) -> float:
    """Return the share of comparisons in which the second revision is slower.

    Both are booted in turn, as ``NightTiming`` does it: old new new old old new ...
    """
    chance = random.Random(1)
    told = 0
    for _ in range(times):
        seconds, boots = noise(chance), ([], [])  # type: ignore[var-annotated]

        def timed(count: int, seconds: Iterator[float] = seconds, boots: Any = boots) -> Any:
            while len(boots[1]) < count:
                for new in (1, 0) if len(boots[0]) % 2 else (0, 1):
                    boots[new].append(next(seconds) * (slower if new else 1.0))
            return boots

        told += slower_times(looks(comparisons), timed) is not None
    return told / times


@pytest.mark.parametrize("noise", [wide, heavy_tailed, burdened])
def test_chance_alone_is_told_as_seldom_as_stated(noise: Noise) -> None:
    times = 20000
    expected = times * FALSE_ALARMS
    assert share_told(noise, times) * times <= expected + 4 * math.sqrt(expected)


def test_boots_that_take_longer_now_and_then_do_not_hide_a_slowdown() -> None:
    assert share_told(heavy_tailed, 300, slower=1.15) >= 0.9
    assert share_told(heavy_tailed, 300, comparisons=5, slower=1.15) >= 0.9


def test_only_notably_slower_boots_on_the_same_host_are_suspect() -> None:
    before = [booted(10.0 + each / 100) for each in range(6)]
    assert suspect(booted(11.0), before) is not None
    assert suspect(booted(10.3), before) is None
    assert suspect(booted(11.0), before[:4]) is None
    assert suspect(booted(0.02), [booted(0.01)] * 9) is None
    assert suspect(booted(11.0, accelerator="kvm"), before) is None
    assert suspect(booted(11.0, host="other"), before) is None
    assert boot_cpu(Result(SLOT, "c", Status.FAILED, cpu={"kernel": 1.0, "init": 2.0})) is None
    assert boot_cpu(Result(SLOT, "c", Status.PASSED)) is None


@given(st.integers(2, 40), st.data())
def test_the_first_slow_revision_is_found(count: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, count - 1))
    commits = [str(number) for number in range(count)]
    assert first_slow(commits, lambda each: int(each) >= at) == (str(at - 1), str(at))
    assert first_slow(["one"], lambda _: True) == ("", "")
    if count > 2:
        assert first_slow(commits, lambda _: None) == ("", "")
