"""Homes for the harness: one that all tests share, and new ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from command import Home, home_with_kernels, temporary_home


@pytest.fixture(scope="session")
def shared_home() -> Iterator[Home]:
    """For tests that leave nothing behind which another would notice."""
    with home_with_kernels() as made:
        yield made


@pytest.fixture
def guest_home(shared_home: Home) -> Iterator[Home]:
    """The shared one, without the guests that the test has kept."""
    yield shared_home
    if any((shared_home.directory / "state" / "harness").glob("guests/*")):
        assert shared_home.run("stop", "--all").code == 0


@pytest.fixture
def home() -> Iterator[Home]:
    """A new one, but that the built-in guest's kernels are built."""
    with home_with_kernels() as made:
        yield made


@pytest.fixture
def empty_home() -> Iterator[Home]:
    """One in which nothing has been done yet."""
    with temporary_home() as made:
        yield made
