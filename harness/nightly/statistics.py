"""Rates, intervals and tests of what changed. Pure.

The interval is Wilson's score interval (E. B. Wilson, JASA 22, 1927; recommended by L. Brown,
T. Cai, A. DasGupta, "Interval Estimation for a Binomial Proportion", Statistical Science 16, 2001).
The comparison of two rates is Fisher's exact test (R. A. Fisher, 1922), whose error rate is bounded
whatever the true rate is.
"""

from __future__ import annotations

import math
from typing import Final

#: Quantile of the normal distribution for an interval of 95 %.
_Z: Final = 1.959964

#: The most false alarms in a night about rates or times, over all series together.
FALSE_ALARMS: Final = 1 / 200

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


def boots_to_compare(suspects: int) -> int:
    """Return how many boots of each of two revisions show that one is slower.

    Both are booted so many times, alone and in turn: if all boots of the new one are slower than
    all of the old one, it is slower. If nothing changed, that happens once in as many times as
    there are ways to choose half of the boots. ``suspects`` such comparisons share
    ``FALSE_ALARMS``, however the suspects were found.

    Args:
        suspects: the number of comparisons of the night.

    Returns:
        at least five.
    """
    boots = 5
    while suspects / math.comb(2 * boots, boots) > FALSE_ALARMS:
        boots += 1
    return boots


def _choose(total: int, part: int) -> float:
    """Return the logarithm of the binomial coefficient."""
    return math.lgamma(total + 1) - math.lgamma(part + 1) - math.lgamma(total - part + 1)
