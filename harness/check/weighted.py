"""Weighted chance, of which random traces are made."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def weighted(rng: random.Random, choices: Sequence[tuple[T, int]]) -> T:
    """One of the values, each as often as its weight says."""
    return rng.choices([value for value, _ in choices], [weight for _, weight in choices])[0]
