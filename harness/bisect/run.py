"""Runs a bisection: builds and tests revisions until there is an answer, then proves it.

``search`` has the decisions. The state is saved after every build and test; a bisection that
resumes from it does what it would have done without the interruption.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from harness.bisect.evidence import (
    Kind,
    Mark,
    RevisionTest,
    Tally,
)
from harness.bisect.knowledge import Asked, Knowledge, knowledge
from harness.bisect.search import (
    Costs,
    Decision,
    Examine,
    Outlook,
    decide,
    expects_failure,
    outlook,
    times_in_a_row,
)
from harness.errors import BuildError, HarnessError, InfraError, UnobservableError, UsageError

if TYPE_CHECKING:
    from harness.bisect.history import History, Relevance
    from harness.bisect.state import State, StateFile
    from harness.bisect.tester import Built, Tester, Trial
    from harness.host.progress import Progress

#: Consecutive host failures that end the bisection.
_PATIENCE = 3


class Show(Protocol):
    """Shows the user the progress."""

    def building(self, commit: str) -> Progress:
        """Return the progress of a build."""
        ...

    def built(self, commit: str, problem: str) -> None:
        """A build has ended; ``problem`` is empty or the reason why there is no kernel."""
        ...

    def testing(self, commit: str, cell: str) -> Progress:
        """Return the progress of a test; ``RevisionTest.cell`` names it when it has ended."""
        ...

    def tested(self, one: RevisionTest, mark: Mark) -> None:
        """A test has ended."""
        ...

    def ahead(self, outlook: Outlook, seconds: float) -> None:
        """Show the remaining work and its estimated time."""
        ...


@dataclass(slots=True)
class Bisection:
    """One bisection.

    Args:
        asked: the question.
        history: the revisions.
        relevance: the files that a kernel is made from.
        tester: builds and tests.
        file: stores the state.
        state: the initial state.
        show: shows progress.
        ahead: number of kernels built in advance while a guest boots.
        guests: number of tests of one kernel that can run at once.

    Attributes:
        steps: number of revisions, except the ends, whose tests gave a verdict.
    """

    asked: Asked
    history: History
    relevance: Relevance
    tester: Tester
    file: StateFile
    state: State
    show: Show
    ahead: int = 1
    guests: int = 1
    _reads: dict[str, frozenset[str]] = field(default_factory=dict)
    _builds: dict[str, Future[Built]] = field(default_factory=dict)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    _host_failures: int = 0
    steps: int = field(default=0, init=False)

    def run(self) -> Decision:
        """Search until there is an answer.

        Raises:
            UsageError: an end cannot be built with the given options.
            BuildError: an end does not build.
            InfraError: the host failed several times in a row.
        """
        try:
            while True:
                known = self.known()
                decision = decide(self.asked.question, known.graph, known.evidence, self.costs())
                if not isinstance(decision, Examine):
                    self.steps = self._steps(known)
                    return decision
                self.show.ahead(
                    outlook(self.asked.question, known.graph, known.evidence), self._expected(known)
                )
                times = times_in_a_row(
                    self.asked.question, known.graph, known.evidence, decision.commit,
                    self.costs(), self.guests,
                )  # fmt: skip
                self.examine(decision.commit, end=decision.end, times=times)
        except BaseException:
            self.stop()
            raise

    def known(self) -> Knowledge:
        """The current knowledge."""
        return knowledge(self.asked, self.history, self.relevance, self.state)

    def costs(self) -> Costs:
        """The median build and test times, in seconds."""
        usual = Costs(test=0.0) if self.asked.question.certain else Costs()
        builds = [one.build_seconds for one in self.state.observations if one.build_seconds > 1]
        tests = [one.seconds for one in self.state.observations if one.seconds > 0]
        return Costs(
            statistics.median(builds) if builds else usual.build,
            statistics.median(tests) if tests else usual.test,
        )

    def examine(
        self, commit: str, *, end: bool = False, ahead: bool = True, times: int = 1
    ) -> None:
        """Build and test a revision, unless its kernel equals a tested one.

        Args:
            commit: the revision.
            end: it is an end, so a build failure is an error, not a verdict.
            ahead: build the likely next kernels meanwhile.
            times: number of tests wanted; as many run as can run at once.
        """
        try:
            built = self._built(commit)
        except (BuildError, UnobservableError, UsageError) as error:
            if end and isinstance(error, BuildError):
                raise self._unbuilt_end(commit, error) from error
            if end:
                raise
            self._observe(RevisionTest(commit, Kind.UNBUILDABLE, error=str(error)))
            return
        except InfraError as error:
            self._host_failed(RevisionTest(commit, Kind.INFRA, error=str(error)), error)
            return
        if self._learn(commit, built):
            return
        if ahead:
            self._build_ahead(commit)
        self._test(commit, built, self._at_once(times))

    def _unbuilt_end(self, commit: str, error: BuildError) -> BuildError:
        """Return the error for an end that does not build, with a remedy."""
        if commit in self.asked.question.failing:
            verb = "mended" if self.asked.question.fixed else "broke"
            instead = f"to find the revision that {verb} the compilation, add --with build"
        else:
            instead = "name another revision with --good"
        return BuildError(
            f"{commit[:12]}: {error.message}",
            remedy="; ".join(word for word in (instead, error.remedy) if word),
            detail=error.detail,
        )

    def stop(self) -> None:
        """Stop all builds and tests."""
        self.tester.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """Stop builds that are no longer needed; nothing starts after this."""
        if any(not future.done() for future in self._builds.values()):
            self.tester.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _steps(self, known: Knowledge) -> int:
        question = self.asked.question
        ends = {known.graph.contents[name] for name in (*question.passing, *question.failing)}
        told = {content for content, tally in known.seen.items() if tally.good or tally.bad}
        return len(told - ends)

    def _expected(self, known: Knowledge) -> float:
        """Return the estimated remaining seconds."""
        costs = self.costs()
        # The next kernel is built while one is tested.
        each = max(costs.test, costs.build) if self.ahead else costs.test + costs.build
        return each * outlook(self.asked.question, known.graph, known.evidence).tests

    # Builds

    def _built(self, commit: str) -> Built:
        for other, future in list(self._builds.items()):
            if other != commit and future.cancel():
                del self._builds[other]
        future = self._builds.get(commit) or self._begin(commit)
        try:
            return future.result()
        except HarnessError:
            del self._builds[commit]
            raise

    def _begin(self, commit: str) -> Future[Built]:
        future = self._pool.submit(self._build, commit)
        self._builds[commit] = future
        return future

    def _build(self, commit: str) -> Built:
        try:
            built = self.tester.build(commit, self.show.building(commit))
        except HarnessError as error:
            self.show.built(commit, error.message)
            raise
        self.show.built(commit, "")
        return built

    def _build_ahead(self, tested: str) -> None:
        """Start builds for each possible result of the test, the likelier first."""
        known = self.known()
        content = known.graph.contents.get(tested)
        if content is None:
            return
        wanted: list[str] = []
        for tally in self._futures(known, tested):
            decision = decide(
                self.asked.question, known.graph, {**known.evidence, content: tally}, self.costs()
            )
            if isinstance(decision, Examine) and decision.commit not in (
                *wanted,
                *self.state.kernels,
            ):
                wanted.append(decision.commit)
        for commit in wanted[: self.ahead]:
            if commit not in self._builds:
                self._begin(commit)

    def _futures(self, known: Knowledge, tested: str) -> list[Tally]:
        """Return the tally after a pass and after a failure, the likelier first."""
        tally = known.tally(tested)
        passed, failed = replace(tally, good=tally.good + 1), replace(tally, bad=tally.bad + 1)
        if tested in self.asked.question.failing:
            # It is tested again until it has failed often enough.
            failed = replace(tally, bad=max(failed.bad, self.asked.question.reproduced))
        question = self.asked.question
        fails = expects_failure(question, known.graph, known.evidence, tested)
        if tested in (*question.passing, *question.failing):
            return [failed if fails else passed]
        return [failed, passed] if fails else [passed, failed]

    def _learn(self, commit: str, built: Built) -> bool:
        """Record a build; return whether its kernel was tested before."""
        before = self.known().tally(commit)
        state = self.state
        if state.kernels.get(commit) != built.digest:
            state = state.with_kernel(commit, built.digest)
        if built.reads is not None:
            self._reads[commit] = built.reads
        state = self._with_reads(state)
        if state is self.state:
            return False
        self._keep(state)
        after = self.known().tally(commit)
        return (after.good, after.bad, after.other) != (before.good, before.bad, before.other)

    def _with_reads(self, state: State) -> State:
        """Return the sources that the ends' builds read, with those of any other build."""
        question = self.asked.question
        ends = (question.new, question.old[0])
        if state.reads is None and not all(end in self._reads for end in ends):
            return state
        read = (state.reads or frozenset()).union(*self._reads.values())
        return state if read == state.reads else replace(state, reads=read)

    # Tests

    def _test(self, commit: str, built: Built, times: int) -> None:
        """Test a kernel several times at once."""
        first = all(one.commit != commit for one in self.state.observations)
        seconds = round(built.seconds, 3) if first else 0.0
        cells = list(itertools.islice(self._new_cells(commit), times))
        with ThreadPoolExecutor(len(cells)) as pool:
            running = {
                pool.submit(self.tester.test, commit, cell, self.show.testing(commit, cell)): cell
                for cell in cells
            }
            try:
                for future in as_completed(running):
                    self._tested(commit, running[future], future.result(), seconds)
                    seconds = 0.0
            except BaseException:
                self.tester.close()  # else the others would delay the end
                raise

    def _at_once(self, times: int) -> int:
        """Return how many of the wanted tests to run now; a build uses part of the host."""
        building = any(not future.done() for future in self._builds.values())
        return max(1, min(times, self.guests // 2 if building else self.guests))

    def _new_cells(self, commit: str) -> Iterator[str]:
        """Return unused names for tests."""
        used = {one.cell for one in self.state.observations}
        numbers = itertools.count(len(self.state.observations) + 1)
        names = (f"{number:03d}-{commit[:12]}" for number in numbers)
        return (name for name in names if name not in used)

    def _tested(self, commit: str, cell: str, trial: Trial, build_seconds: float) -> None:
        one = RevisionTest(
            commit, trial.kind, trial.titles, trial.outcome, build_seconds,
            round(trial.seconds, 3), cell, trial.error,
        )  # fmt: skip
        if trial.kind is Kind.INFRA:
            self._builds.pop(commit, None)  # the kernel may have been removed
            self._host_failed(one, InfraError(trial.error))
        else:
            self._observe(one)

    # Results

    def _observe(self, one: RevisionTest) -> None:
        self._keep(self.state.with_observation(one))
        if one.kind is not Kind.INFRA:
            self._host_failures = 0
        self.show.tested(one, self.known().target.mark(one) if one.kind is not Kind.UNBUILDABLE
                         else Mark.SKIP)  # fmt: skip

    def _host_failed(self, one: RevisionTest, error: InfraError) -> None:
        self._host_failures += 1
        self._observe(one)
        if self._host_failures >= _PATIENCE:
            raise InfraError(
                f"the host failed {self._host_failures} times in a row, so nothing can be said of "
                f"{one.commit[:12]}: {error.message}",
                remedy="repair the host (harness doctor), then run the same command again to "
                "resume",
                detail=error.detail,
            ) from error

    def _keep(self, state: State) -> None:
        self.file.save(state)
        self.state = state
