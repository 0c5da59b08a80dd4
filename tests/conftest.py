"""Which tests run, and the last line of every run: how many met a real FreeBSD kernel."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import hypothesis
import pytest
from freebsd_source import configured_tree

SHORT_EXAMPLES, LONG_EXAMPLES = 20, 200
"""How many examples hypothesis makes for a test, without and with ``--long``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        action="store_true",
        default=False,
        help="run the tests that are too long for CI, too",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Nothing asserts on the wall clock: a busy host is no failure.
    examples = LONG_EXAMPLES if config.getoption("long") else SHORT_EXAMPLES
    hypothesis.settings.register_profile("harness", deadline=None, max_examples=examples)
    hypothesis.settings.load_profile("harness")
    config.pluginmanager.register(FreeBSDTally(config), "freebsd-tally")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@dataclass(eq=False)  # plugins are kept in sets
class FreeBSDTally:
    """Counts the tests marked ``freebsd``.

    With a source tree configured, each of them can run: one that is skipped fails the
    run, so that a green run means what it says.
    """

    config: pytest.Config
    tests: set[str] = field(default_factory=set)
    ran: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        # By the marker: a report's keywords hold the names of folders, too.
        self.tests |= {item.nodeid for item in session.items if item.get_closest_marker("freebsd")}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid not in self.tests:
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
