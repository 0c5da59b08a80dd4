"""The order in which the revisions since the last night are tested. Pure."""

from __future__ import annotations

import heapq


def schedule(count: int) -> tuple[int, ...]:
    """Return the places of ``count`` revisions in the order in which they are tested.

    The tip is first. Then the middle of the widest gap between tested revisions follows, the newest
    of equal ones, so that whenever the budget ends, the gaps are as narrow as they can be.

    Args:
        count: number of revisions since the last judged tip, which has place 0 and is known.
    """
    if count < 1:
        return ()
    order = [count]
    gaps = [(-count, -count)]  # width and newer end, both negative: the widest and newest first
    while gaps:
        width, newer = (-each for each in heapq.heappop(gaps))
        if width < 2:
            continue
        middle = newer - width // 2
        order.append(middle)
        heapq.heappush(gaps, (-(newer - middle), -newer))
        heapq.heappush(gaps, (-(middle - (newer - width)), -middle))
    return tuple(order)
