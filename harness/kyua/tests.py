"""Tests of kyua(1), and their results, in the formats that kyua prints. Pure.

Follows ``contrib/kyua``: ``cli/cmd_list.cpp``, ``cli/cmd_test.cpp`` and
``drivers/report_junit.cpp``. What a guest prints is not trusted: anything else is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final
from xml.etree import ElementTree as Xml

MAX_TESTS: Final = 100_000
"""Most tests of a suite that are read."""

MAX_TEXT: Final = 64 << 10
"""Most characters of a test's output that are kept, from its end."""

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+@,=/-]{0,200}"
_ID = re.compile(rf"(?P<program>{_NAME}):(?P<case>{_NAME})", re.ASCII)
_RUNNING = re.compile(rf"(?P<id>{_NAME}:{_NAME})  ->  (?P<rest>.*)", re.ASCII)
_ENDED = re.compile(
    r"(?P<result>passed|skipped|expected_failure|failed|broken)(?:: (?P<reason>.*?))?"
    r"  \[(?P<seconds>\d{1,7}\.\d{1,6})s\]$"
)


class TestResult(StrEnum):
    """How a test ended; kyua's words, and ours for what it cannot say."""

    __test__ = False

    PASSED = "passed"
    SKIPPED = "skipped"
    EXPECTED_FAILURE = "expected failure"
    FAILED = "failed"
    BROKEN = "broken"
    PANICKED = "panicked"
    """the guest failed while it ran"""
    NOT_RUN = "not run"
    """no guest was left to run it"""

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong with the kernel."""
        return self in (TestResult.PASSED, TestResult.SKIPPED, TestResult.EXPECTED_FAILURE)


@dataclass(frozen=True, slots=True, order=True)
class TestId:
    """A test: a test case of a program of a suite.

    Args:
        suite: the suite's directory below /usr/tests, such as ``sys/vm``.
        program: the program's path below it.
        case: the test case.
    """

    __test__ = False

    suite: str
    program: str
    case: str

    def __str__(self) -> str:
        """Return ``sys/vm/mmap_test:mmap__bad_arguments``."""
        return f"{self.suite}/{self.program}:{self.case}"

    @property
    def filter(self) -> str:
        """kyua's filter for this test alone, below its Kyuafile."""
        return f"{self.program}:{self.case}"


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """The result of a test.

    Args:
        test: the test.
        result: how it ended.
        reason: why, in the test's words or those of the guest's verdict.
        seconds: how long it ran.
        stdout: the end of its standard output.
        stderr: the end of its standard error.
        cell: name of the guest that ran it.
        known: the known issue that it is an incident of; empty for none.
    """

    __test__ = False

    test: TestId
    result: TestResult
    reason: str = ""
    seconds: float = 0.0
    stdout: str = ""
    stderr: str = ""
    cell: str = ""
    known: str = ""


def listed(text: str, suite: str) -> list[TestId]:
    """Return the tests of ``kyua list``, in its order.

    Args:
        text: its output.
        suite: the suite.
    """
    found: list[TestId] = []
    for line in text.splitlines():
        match = _ID.fullmatch(line)
        if match and ".." not in match["program"].split("/") and len(found) < MAX_TESTS:
            found.append(TestId(suite, match["program"], match["case"]))
    return list(dict.fromkeys(found))


@dataclass(slots=True)
class TestProgress:
    """Reads what ``kyua test`` prints with parallelism 1: a test's name, and then its result.

    Args:
        suite: the suite.
        running: the test that has begun and not ended.
        ended: results in the order of their ends, without output.
    """

    __test__ = False

    suite: str
    running: TestId | None = None
    ended: list[TestOutcome] = field(default_factory=list)
    _line: bytes = b""

    def feed(self, data: bytes) -> Iterator[TestOutcome]:
        """Read a piece of the output; yield the tests that have ended."""
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[-2 * MAX_TEXT :]
        for line in lines:
            outcome = self._read(line.decode("utf-8", "replace"))
            if outcome is not None and len(self.ended) < MAX_TESTS:
                self.ended.append(outcome)
                yield outcome
        self._begin(self._line.decode("utf-8", "replace"))

    def _begin(self, line: str) -> TestId | None:
        match = _RUNNING.match(line)
        found = listed(match["id"], self.suite) if match else []
        self.running = found[0] if found else self.running
        return self.running if found else None

    def _read(self, line: str) -> TestOutcome | None:
        match = _RUNNING.match(line)
        test = self._begin(line)
        ended = _ENDED.fullmatch(match["rest"]) if match and test else None
        if ended is None or test is None:
            return None
        self.running = None
        result = TestResult(ended["result"].replace("_", " "))
        return TestOutcome(test, result, ended["reason"] or "", float(ended["seconds"]))


def with_output(outcomes: list[TestOutcome], report: bytes) -> list[TestOutcome]:
    """Return results with the output that ``kyua report-junit`` has of each test.

    Args:
        outcomes: the results of one suite.
        report: its XML; what is not XML is left out.
    """
    try:
        root = Xml.fromstring(report)  # noqa: S314 - expat limits the expansion of entities
    except (Xml.ParseError, ValueError, LookupError):
        return outcomes
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for case in root.iter("testcase"):
        key = (case.get("classname", ""), case.get("name", ""))
        found[key] = _tail(case.findtext("system-out")), _tail(case.findtext("system-err"))
    return [_joined(outcome, found) for outcome in outcomes]


def _joined(outcome: TestOutcome, found: dict[tuple[str, str], tuple[str, str]]) -> TestOutcome:
    key = (outcome.test.program.replace("/", "."), outcome.test.case)
    stdout, stderr = found.get(key, ("", ""))
    return replace(outcome, stdout=stdout, stderr=stderr)


def _tail(text: str | None) -> str:
    return (text or "")[-MAX_TEXT:]
