"""Rates, intervals and tests of what changed. Pure.

The interval is Wilson's score interval (E. B. Wilson, JASA 22, 1927; recommended by L. Brown,
T. Cai, A. DasGupta, "Interval Estimation for a Binomial Proportion", Statistical Science 16, 2001).
The comparison of two rates is Fisher's exact test (R. A. Fisher, 1922), whose error rate is bounded
whatever the true rate is. The comparison of times is Mann and Whitney's exact test (H. B. Mann,
D. R. Whitney, Annals of Mathematical Statistics 18, 1947), which a few boots of any length do not
mislead; its error rate is shared by several looks (P. Armitage, C. K. McPherson, B. C. Rowe, JRSS A
132, 1969: repeated tests need it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

#: Quantile of the normal distribution for an interval of 95 %.
_Z: Final = 1.959964

#: The most false alarms in a night about rates or times, over all series together.
FALSE_ALARMS: Final = 1 / 200

#: The shares of the false alarms of a comparison of times that its looks may have. The first
#: suffices for five boots of which all are slower, the second for ten but one.
_LOOKS: Final = (0.8, 0.16, 0.04)

#: The probability with which a problem that is called fixed may only have been lucky.
_LUCK: Final = 0.001


def wilson(failed: int, boots: int) -> tuple[float, float]:
    """Return the bounds of the interval that holds the true rate with 95 % confidence."""
    if boots < 1:
        return 0.0, 1.0
    rate, square = failed / boots, _Z * _Z
    centre = rate + square / (2 * boots)
    spread = _Z * math.sqrt(rate * (1 - rate) / boots + square / (4 * boots * boots))
    scale = 1 + square / boots
    low = 0.0 if failed == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if failed == boots else min(1.0, (centre + spread) / scale)
    return low, high


def passes_for_fixed(failed: int, boots: int) -> int:
    """Return how many passes in a row show that a problem with that record is fixed.

    If it were not fixed, and failed at the lower bound of its rate, so many passes would come by
    chance once in a thousand times. A problem that has never been reproduced needs the most.
    """
    low, _ = wilson(failed, boots)
    if low <= 0.0:
        return 1 << 30
    if low >= 1.0:
        return 1
    return math.ceil(math.log(_LUCK) / math.log1p(-low))


def rose(failed: int, boots: int, failed_before: int, boots_before: int) -> float:
    """Return Fisher's one-sided p: how likely tonight's rate is by chance, if nothing changed."""
    total, failures = boots + boots_before, failed + failed_before
    if not boots or not boots_before or not failures:
        return 1.0
    most = min(boots, failures)
    logs = [
        _choose(boots, each) + _choose(boots_before, failures - each) - _choose(total, failures)
        for each in range(failed, most + 1)
        if failures - each <= boots_before
    ]
    return min(1.0, math.fsum(math.exp(each) for each in logs))


def is_flakier(failed: int, boots: int, failed_before: int, boots_before: int, series: int) -> bool:
    """Return whether a problem fails more often tonight than before.

    Args:
        failed, boots: tonight.
        failed_before, boots_before: its history since its rate last changed.
        series: the number of problems that are compared tonight; they share ``FALSE_ALARMS``.
    """
    return rose(failed, boots, failed_before, boots_before) <= FALSE_ALARMS / max(1, series)


@dataclass(frozen=True, slots=True)
class Look:
    """A point at which a comparison of two revisions can end.

    Args:
        boots: the number of boots of each revision so far.
        chance: the new one is slower if ``slower_by_chance`` is at most this.
    """

    boots: int
    chance: float


def looks(comparisons: int) -> tuple[Look, ...]:
    """Return when comparisons of boots end, the first look first.

    Both revisions are booted alone and in turn. If all boots of the new one are slower than all of
    the old one, the first look suffices. On a busy host single boots take much longer than others:
    then there are twice and four times as many. If nothing changed, all orders of the boots are
    equally likely whatever their times are, so all looks of all comparisons of a night together
    are wrong in one of 200 nights at most.

    Args:
        comparisons: the number of comparisons of the night, which share ``FALSE_ALARMS``.
    """
    share = FALSE_ALARMS / max(1, comparisons)
    boots = 5
    while 1 / math.comb(2 * boots, boots) > _LOOKS[0] * share:
        boots += 1
    return tuple(Look(boots << number, part * share) for number, part in enumerate(_LOOKS))


def slower_by_chance(old: Sequence[float], new: Sequence[float]) -> float:
    """Return Mann and Whitney's exact one-sided p: how likely such ranks are if nothing changed.

    Equal times count as if the old boot were the slower one.
    """
    if not old or not new:
        return 1.0
    against = sum(before >= after for before in old for after in new)
    total = math.comb(len(old) + len(new), len(old))
    return _orders(len(old), len(new), against) / total


@cache
def _orders(old: int, new: int, against: int) -> int:
    """Return how many orders of boots have so many pairs, at most, whose old boot is slower.

    The slowest boot is an old one, and slower than each new one, or it is a new one.
    """
    if against < 0:
        return 0
    if not old or not new:
        return 1
    return _orders(old - 1, new, against - new) + _orders(old, new - 1, against)


def _choose(total: int, part: int) -> float:
    """Return the logarithm of the binomial coefficient."""
    return math.lgamma(total + 1) - math.lgamma(part + 1) - math.lgamma(total - part + 1)
