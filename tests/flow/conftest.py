"""Homes for the harness: one that all tests share, and one that is new."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from command import Home, temporary_home


@pytest.fixture(scope="session")
def shared_home() -> Iterator[Home]:
    """For tests that leave nothing behind which another would notice."""
    with temporary_home() as made:
        yield made


@pytest.fixture
def guest_home(shared_home: Home) -> Iterator[Home]:
    """The shared one, without the guests that the test has kept."""
    yield shared_home
    if any((shared_home.folder / "state" / "harness").glob("guests/*")):
        assert shared_home.run("stop", "--all").code == 0


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as made:
        yield made
