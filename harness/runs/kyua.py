"""Runs FreeBSD's own suites in guests; a guest that a test ends is replaced by a fresh one."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from harness.boot.plan import Sampling
from harness.errors import InfraError, UsageError
from harness.kyua.client import TESTS, SuiteClient
from harness.kyua.known import vanished
from harness.kyua.queue import SuiteQueue
from harness.nightly.issues import read_issues
from harness.nightly.result import Slot
from harness.outcome import Outcome
from harness.results.unfinished import Planned, keep_tests
from harness.runs.guests import GuestRequest, Guests
from harness.runs.knownissues import known_issue
from harness.runs.matrix import Matrix, MemoryGate
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen, View
from harness.runs.worlds import suite_directories, userland_cell, with_world
from harness.world.config import WorldKind

if TYPE_CHECKING:
    from harness.boot.cellplan import CellPlan
    from harness.kernel.artifact import KernelArtifact
    from harness.kyua.tests import TestOutcome
    from harness.nightly.issues import KnownIssue
    from harness.results.record import Cell
    from harness.results.store import Store
    from harness.runs.environment import Environment
    from harness.runs.recording import Work
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest

    Put = tuple[tuple[Path, PurePosixPath], ...]

_KYUA: Final = re.compile(r"-kyua(?:-\d+)?$", re.ASCII)
_MOST_EARLIER: Final = 20
"""Most earlier records that are read in search of one of the same suites."""


@dataclass(frozen=True, slots=True)
class KyuaRequest:
    """Suites to run.

    Args:
        what: the kernel; it gets what a world needs.
        suites: the suites, as directories below /usr/tests, such as ``sys/vm``.
        guest: the guests, all alike.
        sanitizers: the kernel's sanitizers; None: those of the vm file.
        jobs: most guests at once.
        put: files and directories that are copied into each guest, with their targets.
        issues: a file of known issues, whose patterns are names of tests; None: none are known.
    """

    what: KernelRequest
    suites: tuple[str, ...]
    guest: GuestRequest = field(default_factory=GuestRequest)
    sanitizers: Sanitizers | None = None
    jobs: int = 1
    put: tuple[tuple[Path, PurePosixPath], ...] = ()
    issues: Path | None = None


def kyua(request: KyuaRequest, env: Environment, view: View | None = None) -> RunResult:
    """Build kernel and world, and run the suites.

    Raises:
        UsageError: the request is invalid, or the tree has no such suite.
        BuildError: the revision does not build.
        InfraError: the host failed before there was a cell.
    """
    view = view or Unseen()
    recorder = Recorder(env, view)
    issues = read_issues(request.issues) if request.issues else ()
    asked = with_world(request.guest, WorldKind.TESTS)
    guests = Guests.of(env, view, asked, request.what)
    plan = replace(
        userland_cell(guests, request.what, request.sanitizers, "kyua"),
        why_expected="harness kyua expects every guest to come up and stay up",
        sampling=Sampling.TRIAL,
        world_suites=_needed_suites(request, guests, env),
    )
    queue = SuiteQueue(request.suites)
    jobs = min(request.jobs, guests.most_at_once)
    earlier = _earlier(recorder.store, request, plan.name)
    result = recorder.carry_out(
        "kyua", guests, jobs, _work(plan, queue, jobs, request.put),
        Planned(request.what.source, (plan.name,)),
    )  # fmt: skip
    guest = next((cell.guest for cell in result.run.cells), "")
    outcomes = _with_issues(queue.rest(), Slot(guest, f"kyua-{plan.name}"), issues, env)
    listed = [suite for suite in request.suites if suite not in queue.wrong]
    gone = vanished(earlier, listed, (str(each.test) for each in outcomes)) if outcomes else ()
    run = replace(result.run, tests=outcomes, wrong_suites=queue.wrong, vanished=gone)
    recorder.store.save(run)
    return RunResult(run, result.directory)


def _needed_suites(request: KyuaRequest, guests: Guests, env: Environment) -> tuple[str, ...]:
    """Return the directories of the tree's suites that the world must have.

    Raises:
        UsageError: the tree has none for a suite, and none is copied into the guest.
    """
    if guests.world not in {kind.value for kind in WorldKind}:
        return ()  # a world that exists has what it has
    copied = [str(target) for _, target in request.put]
    names = [
        suite for suite in request.suites
        if not any(f"{TESTS}/{suite}/".startswith(f"{target}/") for target in copied)
    ]  # fmt: skip
    found = suite_directories(request.what, names, env)
    absent = next((name for name, directory in found.items() if directory is None), None)
    if absent is not None:
        raise UsageError(
            f"{request.what.source} has no suite {absent!r}",
            remedy=f"name a directory below {TESTS}, such as sys/vm; or copy one of your own "
            f"into the guest: --put DIR:{TESTS}/{absent}",
        )
    return tuple(directory for directory in found.values() if directory)


def _earlier(store: Store, request: KyuaRequest, cell: str) -> Mapping[str, Any]:
    """Return the newest record of the same suites, tree and guest; an empty one if there is none.

    A record that cannot be read is left out.
    """
    names = [name for name in store.names() if _KYUA.search(name)]
    for name in reversed(names[-_MOST_EARLIER:]):
        with contextlib.suppress(UsageError):
            document = store.load(name)
            suites = {suite for suite in request.suites if _has_suite(document, suite)}
            same = document.get("source") == request.what.source
            guests = (str(each["name"]) for each in document["cells"])
            if (
                same
                and suites == set(request.suites)
                and any(each.startswith(f"{cell}-") for each in guests)
            ):
                return document
    return {}


def _has_suite(document: Mapping[str, Any], suite: str) -> bool:
    return any(str(test["test"]).startswith(f"{suite}/") for test in document.get("tests", ()))


def _with_issues(
    outcomes: Iterable[TestOutcome], slot: Slot, issues: Sequence[KnownIssue], env: Environment
) -> tuple[TestOutcome, ...]:
    """Return the results, each with the known issue that its test's name matches."""
    today = env.clock.now().date()
    return tuple(
        replace(each, known=known_issue(str(each.test), (slot,), issues, today))
        for each in outcomes
    )


def _work(plan: CellPlan, queue: SuiteQueue, jobs: int, put: Put) -> Work:
    def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[()]]:
        (prepared, kernel), *_ = matrix.prepared([plan])
        if isinstance(kernel, InfraError):
            raise kernel
        queue.keep = partial(keep_tests, directory)
        gate = MemoryGate(matrix.memory)
        guests = _Guests(matrix, directory, prepared, kernel, queue, gate, put)
        with matrix.pool() as pool:
            lanes = [pool.submit(lambda: list(guests.lane())) for _ in range(jobs)]
            return tuple(cell for lane in lanes for cell in lane.result()), ()

    return work


@dataclass(slots=True)
class _Guests:
    """The guests of a run, one after the other in each of some threads."""

    matrix: Matrix
    directory: Path
    plan: CellPlan
    kernel: KernelArtifact
    queue: SuiteQueue
    gate: MemoryGate
    put: Put
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def lane(self) -> Iterator[Cell]:
        """Boot guests until there is no work, and yield their cells."""
        while self.queue.has_work and not self.matrix.booter.cancelled.is_set():
            name = f"{self.plan.name}-{next(self._numbers)}"
            client = SuiteClient(self.queue, name, self.put)
            plan = replace(self.plan, name=name, suites=client)
            cell = self.matrix.boot(plan, self.kernel, self.directory, self.gate)
            client.close(_why(cell, client))
            yield cell


def _why(cell: Cell, client: SuiteClient) -> str:
    """Return how a guest failed, in words."""
    verdict = cell.verdict
    if verdict is None:
        return cell.error or "the host failed"
    if verdict.outcome is Outcome.BOOTED:
        return client.lost or "the guest ended"
    return f"{verdict.outcome}: {verdict.title}"
