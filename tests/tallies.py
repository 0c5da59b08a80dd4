"""Output at the end of a test run: the number of tests with FreeBSD kernels, and tables.

Both are collected from the tests' reports, which workers send.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from freebsd_source import configured_tree

CELL = "cell"
"""A property of a report: title, row, column and text of a cell."""
_FREEBSD = "freebsd"


def mark_freebsd_tests(items: list[pytest.Item]) -> None:
    """Add the marker ``freebsd`` to a test's report.

    A report's keywords would contain the names of directories, too.
    """
    for item in items:
        if item.get_closest_marker("freebsd"):
            item.user_properties.append((_FREEBSD, True))


@dataclass(eq=False)  # plugins are kept in sets
class FreeBSDTally:
    """Counts the tests marked ``freebsd``.

    With a source tree configured, each of them can run, so a skipped one fails the run.
    """

    config: pytest.Config
    ran: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not any(name == _FREEBSD for name, _ in report.user_properties):
            return
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped[_reason(report)] += 1
        elif report.when == "call" or report.failed:
            self.ran += report.when != "teardown"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and configured_tree() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and not self.config.option.collectonly:
            terminal.write_line(self.line())

    def line(self) -> str:
        """``freebsd: N ran, M skipped (why)``."""
        why = "; ".join(sorted(self.skipped))
        counts = f"freebsd: {self.ran} ran, {self.skipped.total()} skipped"
        return f"{counts} ({why})" if why else counts


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@dataclass(eq=False)
class CellTables:
    """Prints the tables that tests filled."""

    tables: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        for name, value in report.user_properties:
            if name == CELL and isinstance(value, list):
                title, row, column, text = map(str, value)
                self.tables.setdefault(title, {}).setdefault(row, {})[column] = text

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for title, rows in self.tables.items():
            terminalreporter.section(title)
            for line in table_lines(rows):
                terminalreporter.write_line(line)


def table_lines(cells: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Return a line for each row."""
    columns = list(dict.fromkeys(name for row in cells.values() for name in row))
    rows = [("fault", {name: name for name in columns}), *cells.items()]
    first = max(len(title) for title, _ in rows)
    widths = {name: max(len(row.get(name, "-")) for _, row in rows) for name in columns}
    for title, row in rows:
        texts = (row.get(name, "-").ljust(widths[name]) for name in columns)
        yield "  ".join([title.ljust(first), *texts]).rstrip()
