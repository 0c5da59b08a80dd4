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
def home() -> Iterator[Home]:
    yield from _made()


def _made() -> Iterator[Home]:
    # A short path: a socket's has little room.
    with tempfile.TemporaryDirectory(prefix="flow") as folder:
        yield Home(Path(folder))
