"""Homes for the harness, and another user who attacks it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from command import Home, temporary_home


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as made:
        yield made
