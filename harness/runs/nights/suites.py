"""FreeBSD's suites in a plan: the results of single tests of a command that runs kyua(1)."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

from harness.execution.program import STDOUT
from harness.kyua.client import TESTS
from harness.kyua.tests import TestProgress
from harness.nightly.result import CaseResult

if TYPE_CHECKING:
    from pathlib import Path

#: Most tests of a command whose results are stored.
_MOST: Final = 20_000

#: Characters of a reason that are stored.
_REASON: Final = 500

#: A command that runs one suite, and nothing else: it can run one of its tests, too.
_SUITE: Final = re.compile(
    rf"kyua\s+test\s+(?:-k\s*|--kyuafile[=\s]){re.escape(TESTS)}/(?P<suite>[\w./+-]+)/Kyuafile",
    re.ASCII,
)

#: What kyua(1) prints when all tests have ended, contrib/kyua/cli/cmd_test.cpp.
_SUMMARY: Final = re.compile(rb"^\d{1,7}/\d{1,7} passed \(\d", re.MULTILINE)


def case_results(command: str, output: bytes) -> tuple[CaseResult, ...]:
    """Return the results of a suite's tests; empty if the command did not run one to its end.

    Args:
        command: the command line.
        output: what it printed.
    """
    if not _SUMMARY.search(output):
        return ()
    match = _SUITE.fullmatch(command.strip())
    progress = TestProgress(match["suite"] if match else "")
    found: dict[str, CaseResult] = {}
    for each in progress.feed(output + b"\n"):
        name = str(each.test).removeprefix("/")
        known = found.get(name)
        if len(found) < _MOST and (known is None or known.good):
            reason = each.reason[:_REASON]
            good = each.result.is_good
            found[name] = CaseResult(name, each.result.value, good, reason, each.seconds)
    return tuple(found.values())


def read_tests(command: str, directory: Path) -> tuple[CaseResult, ...]:
    """Return the results of the tests of a command that ran.

    Args:
        command: the command line.
        directory: the directory of its cell in the record.
    """
    try:
        return case_results(command, (directory / STDOUT).read_bytes())
    except OSError:
        return ()


def one_test(command: str, name: str) -> str | None:
    """Return the command that runs one test of the suite that a command runs; None if none can."""
    match = _SUITE.fullmatch(command.strip())
    prefix = f"{match['suite']}/" if match else ""
    if not match or not name.startswith(prefix):
        return None
    return f"{command.strip()} {shlex.quote(name.removeprefix(prefix))}"
