"""Weighted random choice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def weighted(rng: random.Random, choices: Sequence[tuple[T, int]]) -> T:
    """Return one of the values, with a probability proportional to its weight."""
    return rng.choices([value for value, _ in choices], [weight for _, weight in choices])[0]
