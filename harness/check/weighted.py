"""Weighted random choice."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import Generic, TypeVar

T = TypeVar("T")


class Weighted(Generic[T]):
    """Values that are chosen with a probability proportional to their weight.

    ``random.Random.choices`` sums up the weights at each call, which takes longer than the rest.

    Args:
        choices: the values, each with its weight.
    """

    def __init__(self, choices: Sequence[tuple[T, int]]) -> None:
        self._values = [value for value, _ in choices]
        self._sums = list(accumulate(weight for _, weight in choices))

    def choose(self, rng: random.Random) -> T:
        """Return one of the values."""
        return self._values[bisect(self._sums, rng.random() * self._sums[-1])]
