"""Homes for the harness, and the table of what each fault of the host leads to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cell_table import Table
from command import Home, home_with_kernels, temporary_home


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Table:
    """The table of a module's cells, printed at the end of the run."""
    title = (request.module.__doc__ or "").partition("\n")[0]
    return Table(title, request.node)


@pytest.fixture(scope="session")
def shared_home() -> Iterator[Home]:
    """For tests that leave nothing behind which another would notice."""
    with home_with_kernels() as made:
        yield made


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as made:
        yield made
