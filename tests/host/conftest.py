"""Homes for the harness, and the table of what each fault of the host leads to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cell_table import Table
from command import Home, home_with_kernels, temporary_home

_TABLES = pytest.StashKey[dict[str, Table]]()


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Table:
    """The table of one module's cells, printed at the end of the run."""
    tables = request.config.stash.setdefault(_TABLES, {})
    title = (request.module.__doc__ or "").partition("\n")[0]
    return tables.setdefault(title, Table())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for title, table in config.stash.get(_TABLES, {}).items():
        terminalreporter.section(title)
        for line in table.lines():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def shared_home() -> Iterator[Home]:
    """For tests that leave nothing behind which another would notice."""
    with home_with_kernels() as made:
        yield made


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as made:
        yield made
