"""Homes for the harness, and the table of what each fault of the host leads to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cell_table import Table
from command import Home

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
    yield from _made()


@pytest.fixture
def home() -> Iterator[Home]:
    yield from _made()


def _made() -> Iterator[Home]:
    # A short path: a socket's has little room.
    with tempfile.TemporaryDirectory(prefix="host") as folder:
        yield Home(Path(folder))
