"""Boots that became slower: what is suspect, what is told, and how seldom chance alone does it."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from fake_nights import Fault, Nights
from hypothesis import given
from hypothesis import strategies as st

from harness.nightly.night import JudgedNight, NewsKind
from harness.nightly.result import Purpose, Result, Slot, Status
from harness.nightly.statistics import FALSE_ALARMS, boots_to_compare
from harness.nightly.timing import boot_cpu, first_slow, is_slower, suspect

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


@pytest.mark.parametrize(("suspects", "boots"), [(0, 5), (1, 5), (2, 6), (5, 7), (100, 9)])
def test_the_night_shares_its_false_alarms_among_all_comparisons(suspects: int, boots: int) -> None:
    assert boots_to_compare(suspects) == boots
    assert suspects / math.comb(2 * boots, boots) <= FALSE_ALARMS


def test_chance_alone_is_told_as_seldom_as_stated() -> None:
    chance = random.Random(1)

    def times() -> list[float]:
        return [10.0 * chance.lognormvariate(0.0, 0.3) for _ in range(5)]

    wrong = sum(is_slower(times(), times(), 5) for _ in range(20000))
    assert wrong / 20000 <= 1.5 / math.comb(10, 5)


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
