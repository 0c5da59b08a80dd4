"""What is left to run of some suites, shared by the guests that run it."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from harness.kyua.tests import TestId, TestOutcome, TestResult

_TICK: Final = 0.5

MOST_IDLE_GUESTS: Final = 2
"""Guests in a row that fail before a test has ended; then the rest is not run."""


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work for one guest.

    Args:
        suite: the suite.
        program: the test program; empty: list the suite's tests.
        tests: the tests of the program that are to be run.
    """

    suite: str
    program: str = ""
    tests: tuple[TestId, ...] = ()


@dataclass(slots=True)
class SuiteQueue:
    """The work of some suites; guests take it piece by piece, in threads of their own.

    Args:
        suites: the suites, as directories below /usr/tests.
        keep: called with the results of each piece of work that has ended, and its number.

    Attributes:
        outcomes: the result of each test that has one.
        wrong: why a suite could not be listed, by its name.
    """

    suites: Sequence[str]
    keep: Callable[[int, Sequence[TestOutcome]], None] = lambda number, outcomes: None
    outcomes: dict[TestId, TestOutcome] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    _left: deque[Work] = field(init=False)
    _taken: list[Work] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _idle: int = 0
    _kept: Iterator[int] = field(default_factory=itertools.count)
    _tests: dict[TestId, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._left = deque(Work(suite) for suite in self.suites)

    def take(self, stopped: Callable[[], bool]) -> Work | None:
        """Return the next piece of work; None if there is none, and none can come back.

        Args:
            stopped: whether the guest is to end; a guest that waits asks it twice a second.
        """
        with self._changed:
            while not self._left and self._taken and not stopped():
                self._changed.wait(_TICK)
            if not self._left or stopped():
                return None
            work = self._left.popleft()
            self._taken.append(work)
            return work

    @property
    def has_work(self) -> bool:
        """Whether there is work for another guest."""
        with self._changed:
            # A suite that is being listed will have programs.
            more = bool(self._left) or any(not work.program for work in self._taken)
            return more and self._idle < MOST_IDLE_GUESTS

    @property
    def tests(self) -> tuple[TestId, ...]:
        """All tests that were listed, in their order."""
        with self._changed:
            return tuple(self._tests)

    def add(self, work: Work, tests: Iterable[TestId]) -> None:
        """Note the tests of a suite, and queue its programs."""
        programs: dict[str, list[TestId]] = {}
        for test in tests:
            programs.setdefault(test.program, []).append(test)
        pieces = [Work(work.suite, name, tuple(each)) for name, each in programs.items()]
        with self._changed:
            self._tests.update((test, None) for piece in pieces for test in piece.tests)
            self._left.extend(pieces)
            self._end(work)
        if not pieces:
            self.refuse(work, "it has no tests")

    def refuse(self, work: Work, why: str) -> None:
        """Note that a suite cannot be listed, or a program does not run."""
        with self._changed:
            if not work.program:
                self.wrong[work.suite] = why
            for test in work.tests:
                if test not in self.outcomes:
                    self.outcomes[test] = TestOutcome(test, TestResult.BROKEN, why)
            self._end(work)

    def finish(self, work: Work, outcomes: Iterable[TestOutcome]) -> None:
        """Note the results of a piece of work; what it did not run is broken."""
        self._note(outcomes)
        self.refuse(work, "kyua did not run it")
        self._keep(work)

    def interrupt(
        self, work: Work, outcomes: Iterable[TestOutcome], running: TestId | None, why: str,
        cell: str = "",
    ) -> None:  # fmt: skip
        """Note that the guest failed in a piece of work, and queue the rest of it.

        Args:
            work: the piece.
            outcomes: the tests that had ended.
            running: the test during which it failed; None if none had begun.
            why: how the guest failed.
            cell: the guest's name.
        """
        self._note(outcomes)
        with self._changed:
            if running is not None and running in work.tests:
                self.outcomes[running] = TestOutcome(running, TestResult.PANICKED, why, cell=cell)
                self._idle = 0
            left = tuple(test for test in work.tests if test not in self.outcomes)
            if left or not work.program:
                self._left.appendleft(replace(work, tests=left))
            self._idle += 1
            self._end(work)
        self._keep(work)

    def rest(self) -> list[TestOutcome]:
        """Return all results, those of tests that were not run included, in the tests' order."""
        with self._changed:
            return [
                self.outcomes.get(test, TestOutcome(test, TestResult.NOT_RUN))
                for test in self._tests
            ]

    def _keep(self, work: Work) -> None:
        with self._changed:
            number = next(self._kept)
            ended = [self.outcomes[test] for test in work.tests if test in self.outcomes]
        if ended:
            self.keep(number, ended)

    def _note(self, outcomes: Iterable[TestOutcome]) -> None:
        with self._changed:
            for outcome in outcomes:
                self.outcomes[outcome.test] = outcome
                self._idle = 0

    def _end(self, work: Work) -> None:
        self._taken.remove(work)
        self._changed.notify_all()
