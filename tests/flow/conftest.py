"""Homes for the harness: one that all tests share, and one that is new."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Home


@pytest.fixture(scope="session")
def shared_home() -> Iterator[Home]:
    """For tests that leave nothing behind which another would notice."""
    yield from _made()


@pytest.fixture
def guest_home(shared_home: Home) -> Iterator[Home]:
    """The shared one, without the guests that the test has kept."""
    yield shared_home
    if any((shared_home.folder / "state" / "harness").glob("guests/*")):
        assert shared_home.run("stop", "--all").code == 0


@pytest.fixture
def home() -> Iterator[Home]:
    yield from _made()


def _made() -> Iterator[Home]:
    # A short path: a socket's has little room.
    with tempfile.TemporaryDirectory(prefix="flow") as folder:
        yield Home(Path(folder))
