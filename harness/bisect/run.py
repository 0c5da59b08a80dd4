"""The acts of a bisection: build, test, remember, decide, until there is an answer; then prove it.

What to do is decided in ``search``. After every build and every test the state is on disk; whoever
starts again with it does what would have been done without the interruption.
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

#: Failures of the host, without a word of a guest between them, that end the bisection.
_PATIENCE = 3


class Show(Protocol):
    """Tells the user how it goes."""

    def building(self, commit: str) -> Progress:
        """The progress of a build."""
        ...

    def built(self, commit: str, problem: str) -> None:
        """It has ended; ``problem`` is why without a kernel, or empty."""
        ...

    def testing(self, commit: str, cell: str) -> Progress:
        """The progress of a test, which ``RevisionTest.cell`` names when it has ended."""
        ...

    def tested(self, one: RevisionTest, mark: Mark) -> None:
        """A test has ended."""
        ...

    def ahead(self, outlook: Outlook, seconds: float) -> None:
        """What is still to do, and how long it may take."""
        ...


@dataclass(slots=True)
class Bisection:
    """One bisection.

    Args:
        asked: what is looked for.
        history: where.
        relevance: what a kernel is made from.
        tester: builds and tests.
        file: keeps the state.
        state: what is known already.
        show: tells the user.
        ahead: how many kernels are built while a guest boots, in case they are needed.
        guests: how many tests of one kernel may run at once.

    Attributes:
        steps: how many revisions but the ends the search had to test, those that said nothing
            apart.
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
            UsageError: an end cannot be built as asked for.
            BuildError: an end does not build.
            InfraError: the host fails again and again.
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
        """What is known by now."""
        return knowledge(self.asked, self.history, self.relevance, self.state)

    def costs(self) -> Costs:
        """What builds and tests have taken so far, in seconds."""
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
        """Build and test a revision, unless its kernel turns out to be a known one.

        Args:
            commit: the revision.
            end: it is an end: that it does not build is an error, not a verdict.
            ahead: build what may be needed next meanwhile.
            times: how many tests are wanted; as many as may run at once are made.
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
        """The error of an end that does not build, with what to ask instead."""
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
        """End all that runs."""
        self.tester.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """Nothing more is to be built or run; what is being built in vain is ended."""
        if any(not future.done() for future in self._builds.values()):
            self.tester.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _steps(self, known: Knowledge) -> int:
        question = self.asked.question
        ends = {known.graph.contents[name] for name in (*question.passing, *question.failing)}
        told = {content for content, tally in known.seen.items() if tally.good or tally.bad}
        return len(told - ends)

    def _expected(self, known: Knowledge) -> float:
        """Seconds that are still to come."""
        costs = self.costs()
        # While one kernel is tested, the next is built.
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
        """Begin to build what the test's result may ask for, the likelier result first."""
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
        """The revision's tally after a pass and after a failure, the likelier first."""
        tally = known.tally(tested)
        passed, failed = replace(tally, good=tally.good + 1), replace(tally, bad=tally.bad + 1)
        if tested in self.asked.question.failing:
            # It will be tested again, until it has failed often enough.
            failed = replace(tally, bad=max(failed.bad, self.asked.question.reproduced))
        question = self.asked.question
        fails = expects_failure(question, known.graph, known.evidence, tested)
        if tested in (*question.passing, *question.failing):
            return [failed if fails else passed]
        return [failed, passed] if fails else [passed, failed]

    def _learn(self, commit: str, built: Built) -> bool:
        """Keep what the build has told; True if the kernel turned out to be one that is judged."""
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
        """What the ends' builds read; what any other build reads besides is added."""
        question = self.asked.question
        ends = (question.new, question.old[0])
        if state.reads is None and not all(end in self._reads for end in ends):
            return state
        read = (state.reads or frozenset()).union(*self._reads.values())
        return state if read == state.reads else replace(state, reads=read)

    # Tests

    def _test(self, commit: str, built: Built, times: int) -> None:
        """Test a kernel so many times at once."""
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
                self.tester.close()  # or the others would be waited for
                raise

    def _at_once(self, times: int) -> int:
        """How many of the wanted tests to run now; a build takes its share of the host."""
        building = any(not future.done() for future in self._builds.values())
        return max(1, min(times, self.guests // 2 if building else self.guests))

    def _new_cells(self, commit: str) -> Iterator[str]:
        """Names for tests, which no other has."""
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
            self._builds.pop(commit, None)  # it may be the kernel that is no longer there
            self._host_failed(one, InfraError(trial.error))
        else:
            self._observe(one)

    # What was seen

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
                remedy="mend the host (harness doctor), then give the same command again: it goes "
                "on from here",
                detail=error.detail,
            ) from error

    def _keep(self, state: State) -> None:
        self.file.save(state)
        self.state = state
