"""Makes a trace that shows something as short as it can be. Pure, but for what it asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.subsystems.uma.model.trace import Operation, Verb

Operations = tuple[Operation, ...]


def without(operations: Operations, dropped: frozenset[int]) -> Operations:
    """The operations less those at ``dropped``, and less the frees of what is not allocated.

    The N of ``free N`` and ``meanwhile=N`` counts from 1 and is renumbered.
    """
    kept: list[Operation] = []
    numbers: dict[int, int] = {}
    for place, operation in enumerate(operations):
        if place in dropped:
            continue
        if operation.verb is Verb.FREE:
            if operation.number not in numbers:
                continue
            kept.append(replace(operation, number=numbers[operation.number]))
        else:
            kept.append(replace(operation, meanwhile=numbers.get(operation.meanwhile, 0)))
            numbers[place + 1] = len(kept)
    return tuple(kept)


def shrink(
    operations: Operations, shows: Callable[[Operations], bool], attempts: int
) -> Operations:
    """A shorter trace that still ``shows`` it, if there is one.

    Delta debugging (Zeller and Hildebrandt's ddmin, complements only): ever smaller parts are
    left out, until no single operation can be.

    Args:
        operations: which show it.
        shows: whether others do; asked at most ``attempts`` times.
        attempts: how often.
    """
    size = max(1, len(operations) // 2)
    left = attempts
    while left > 0:
        found = None
        for start in _starts(len(operations), size):
            candidate = without(operations, frozenset(range(start, start + size)))
            left -= 1
            if shows(candidate):
                found = candidate
                break
            if left == 0:
                break
        if found is not None:
            operations = found
            size = min(size, max(1, len(operations) // 2))
        elif size == 1:
            break
        else:
            size //= 2
    return operations


def _starts(length: int, size: int) -> Sequence[int]:
    """Where parts of that size begin, the last ones first: what matters is near the end."""
    return range(max(0, (length - 1) // size * size), -1, -size)
