"""Which tests run, and on how many workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from tallies import CellTables, FreeBSDTally, mark_freebsd_tests

from harness.host.workspace import Workspace

if TYPE_CHECKING:
    from postgres_server import Server

    from harness.history.url import HistoryLocation

SHORT_EXAMPLES, LONG_EXAMPLES = 12, 200
"""How many examples hypothesis makes for a test, without and with ``--long``."""

MOST_WORKERS = 4
"""Each has kernels of its own, and guests that may take gigabytes."""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A new one."""
    return Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "runtime")


@pytest.fixture(scope="session")
def init_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``images`` of a cache with the harness's init, whose compilation takes a second."""
    from harness.host.process import HostRunner
    from harness.image.assemble import init_program

    parent = tmp_path_factory.mktemp("init")
    made = Workspace(parent / "cache", parent / "state", parent / "runtime")
    return init_program(made, HostRunner()).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        action="store_true",
        default=False,
        help="run the tests that are too long for CI, too",
    )


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As in a background job of a shell; all that tests start would ignore it, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Nothing asserts on the wall clock: a busy host is no failure.
    examples = LONG_EXAMPLES if config.getoption("long") else SHORT_EXAMPLES
    hypothesis.settings.register_profile("harness", deadline=None, max_examples=examples)
    hypothesis.settings.load_profile("harness")
    # The examples run on the built-in guest, unless another source is named.
    config.option.harness_source = config.getoption("harness_source", None) or "embedded"
    config.pluginmanager.register(FreeBSDTally(config), "freebsd-tally")
    config.pluginmanager.register(CellTables(), "cell-tables")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker for each CPU; none for single files, which end sooner without, or with ``-s``."""
    if config.option.capture == "no":
        return 0
    if all(Path(name.partition("::")[0]).is_file() for name in config.args):
        return 0
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mark_freebsd_tests(items)
    if config.getoption("long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server, which the tests of this process share."""
    from postgres_server import postgres_server

    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def history(request: pytest.FixtureRequest, tmp_path: Path) -> HistoryLocation:
    """Where a new history is, once for each kind of database."""
    from postgres_server import new_history

    return new_history(request, tmp_path)
