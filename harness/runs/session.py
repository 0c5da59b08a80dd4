"""A guest that a Python program uses until it is closed; its console is watched meanwhile."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from harness.boot.cellboot import cell_with_kernel
from harness.boot.cellplan import CellPlan, kind_of, with_boot
from harness.boot.evaluation import CONSOLE_LOG
from harness.boot.listen import Cancelled
from harness.boot.serialshell import SerialShells
from harness.boot.shellclient import ShellClient
from harness.boot.worldguest import WorldShells
from harness.errors import HarnessError, InfraError
from harness.host.progress import Recorded
from harness.host.workspace import host_error
from harness.outcome import Expectation, Outcome
from harness.results.unfinished import Planned, keep_cell
from harness.runs.guests import GuestRequest, Guests
from harness.runs.recording import Recorder
from harness.runs.sessionfailure import (
    PANICS,
    ExpectedPanic,
    GuestFailed,
    expect_panic,
    session_verdict,
)
from harness.runs.view import Unseen, View
from harness.shell.shell import ShellLostError, ShellRefusedError
from harness.world.fit import require_fitting

if TYPE_CHECKING:
    from harness.boot.booter import Booter
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelArtifact
    from harness.mutation.judgement import Judgement
    from harness.results.record import Cell
    from harness.runs.environment import Environment
    from harness.runs.matrix import Matrix
    from harness.sanitizers import Sanitizers
    from harness.shell.shell import Completed, OutputSink, Shell
    from harness.source.request import KernelRequest
    from harness.verdict import Verdict

_T = TypeVar("_T")

_BOOTS = Expectation((Outcome.BOOTED,), "the caller uses the guest until it is closed")
_EXPECTED = Expectation(PANICS, "the caller expects a panic")


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """A guest to use.

    Args:
        what: its kernel.
        guest: the guest, exactly one.
        sanitizers: the kernel's sanitizers; None: those of the vm file.
        side: ``before`` or ``after``, if the kernel is one of a pair; else empty.
    """

    what: KernelRequest
    guest: GuestRequest = field(default_factory=GuestRequest)
    sanitizers: Sanitizers | None = None
    side: str = ""


@dataclass(frozen=True, slots=True)
class PlannedSession:
    """A guest that is ready to be started; see ``plan_session``.

    Args:
        env: the host.
        guests: its backend and its settings.
        plan: how it is booted.
        kernel: its kernel.
    """

    env: Environment
    guests: Guests
    plan: CellPlan
    kernel: KernelArtifact

    @property
    def topology(self) -> Topology:
        """The guest's nodes."""
        return self.plan.boot.topology


def plan_session(
    request: SessionRequest, env: Environment, view: View | None = None
) -> PlannedSession:
    """Build the kernel of a guest, unless it is cached.

    Raises:
        UsageError: the request is invalid.
        BuildError: the revision does not build.
        InfraError: the host failed.
    """
    guests = Guests.of(env, view or Unseen(), request.guest, request.what)
    sanitizers = guests.sanitizers(request.sanitizers)
    topology = guests.topology(sanitizers, "a session")
    has_world = guests.world is not None
    plan = guests.plan(topology, sanitizers, goes_on=True, checked=not has_world, restored=True)
    kind = kind_of(sanitizers, request.what)
    name = "-".join(filter(None, (request.side, kind, f"numa{len(topology.nodes)}")))
    what = guests.with_userland(request.what)
    kernel = env.kernels(guests.view.note).provide(what, sanitizers, Recorded())
    if has_world:
        from harness.runs.worlds import world_for

        world = world_for(what, guests.world, env, Recorded())
        require_fitting(kernel.identity.release, world.identity)
        plan = replace(plan, world=world)
    return PlannedSession(env, guests, CellPlan(name, request.side, what, sanitizers, plan), kernel)


def open_session(
    request: SessionRequest, env: Environment, view: View | None = None
) -> GuestSession:
    """Build a kernel, boot a guest, and return it when it runs commands.

    Raises:
        UsageError, BuildError, InfraError: as ``plan_session``.
        GuestFailed: the guest does not boot.
    """
    session = GuestSession(plan_session(request, env, view))
    session.start()
    return session


class GuestSession:
    """A running guest, until it is closed, or fails.

    Its methods are called by one thread at a time. When the guest fails, whatever the caller does,
    the record is written at once, and the next call raises ``GuestFailed``.

    Args:
        planned: the guest.
        panics: whether the kernel is expected to fail.

    Attributes:
        panics: see above.
        shell: runs commands in the guest.
    """

    def __init__(self, planned: PlannedSession, *, panics: bool = False) -> None:
        self._planned = planned
        self.panics = panics
        self._env = replace(planned.env, ending=threading.Event())
        boot = planned.plan.boot
        shells = WorldShells() if boot.world else SerialShells(boot.slowness)
        self._client = ShellClient(shells, ready=lambda: self._up.set_result(None))
        self._up: Future[None] = Future()
        self._closing = False
        self._console: Path | None = None
        self._failure: BaseException | None = None
        self._cell: Cell | None = None
        self.shell: Shell = _SessionShell(self)
        self._thread = threading.Thread(target=self._keep, name=planned.plan.name, daemon=True)

    def start(self) -> None:
        """Boot the guest, and wait until it runs commands.

        Raises:
            GuestFailed: the guest does not boot.
            InfraError: the host failed.
        """
        self._thread.start()
        self._wait_for(self._up)

    def __enter__(self) -> GuestSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def kernel(self) -> KernelArtifact:
        """The guest's kernel."""
        return self._planned.kernel

    @property
    def topology(self) -> Topology:
        """The guest's nodes."""
        return self._planned.topology

    @property
    def console_log(self) -> Path | None:
        """The file of the console; None before the boot."""
        return self._console

    @property
    def console(self) -> str:
        """The text of the console so far, as the guest printed it."""
        if self._console is None or not self._console.exists():
            return ""
        return self._console.read_bytes().decode("utf-8", "replace")

    @property
    def cell(self) -> Cell | None:
        """The guest's part of the record; None while it runs."""
        return self._cell

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on a guest that has ended; None while it runs."""
        return self._cell.verdict if self._cell else None

    @property
    def failure(self) -> BaseException | None:
        """Why the guest has ended by itself; None while it runs, and after ``close``."""
        return self._failure

    def run(
        self, command: str, *, timeout: float | None = None, stdin: bytes = b"",
        sink: OutputSink | None = None,
    ) -> Completed:  # fmt: skip
        """Run a command line of sh(1); see ``Shell``.

        Raises:
            GuestFailed: the guest failed meanwhile, or before.
            ShellError: it did not end.
        """
        return self.shell.run(command, timeout=timeout, stdin=stdin, sink=sink)

    def sysctl(self, name: str) -> str:
        """Return the value of a sysctl(8) as it is printed, without spaces at its ends.

        Raises:
            GuestFailed: as ``run``.
            ShellRefusedError: the kernel has no such sysctl.
        """
        finished = self.run(f"sysctl -n {shlex.quote(name)}")
        if finished.status != 0:
            raise ShellRefusedError(finished.stderr.decode("utf-8", "replace").strip())
        return finished.stdout.decode("utf-8", "replace").strip()

    def put(self, source: Path, target: PurePosixPath | str) -> None:
        """Copy a file or a directory into the guest; raises as ``run``, and OSError."""
        self.shell.put(source, PurePosixPath(target))

    def get(self, source: PurePosixPath | str, target: Path) -> None:
        """Copy a file from the guest; raises as ``run``, and OSError."""
        self.shell.get(PurePosixPath(source), target)

    @contextmanager
    def panic_expected(self, match: str = "") -> Iterator[ExpectedPanic]:
        """Expect that the kernel fails before the end of the context.

        Args:
            match: regular expression to be found in the title of the verdict.

        Raises:
            PanicMissingError: it does not fail, or in another way.
        """
        with expect_panic(self, match) as expected:
            yield expected

    def close(self) -> None:
        """End the guest, and write its record."""
        self._closing = True
        self._client.finish()
        self._thread.join()

    def abandon(self) -> None:
        """End the guest at once, whatever runs in it."""
        self._closing = True
        self._env.ending.set()
        self._thread.join()

    def call(self, work: Callable[[Shell], _T]) -> _T:
        """Call ``work`` with the guest's shell, in the thread that serves it.

        If another exception ends the wait, such as KeyboardInterrupt, the guest is ended.

        Raises:
            GuestFailed: the guest failed meanwhile, or before.
        """
        self.require_alive()
        return self._wait_for(self._client.submit(work))

    def require_alive(self) -> None:
        """Raise the failure of a guest that has ended by itself.

        Raises:
            GuestFailed: the guest failed.
            InfraError: the host failed.
        """
        if self._failure is not None:
            raise self._failure

    def _wait_for(self, result: Future[_T]) -> _T:
        try:
            return result.result()
        except BaseException as error:
            if not result.done() or result.exception() is not error:
                self.abandon()  # the wait was interrupted
                raise
            if isinstance(error, ShellLostError):
                self._thread.join()
                if self._failure is not None:
                    raise self._failure from None
            raise

    def _keep(self) -> None:
        """Boot the guest and keep the record; in a thread of its own."""
        try:
            self._failure = self._kept()
        except Cancelled:
            self._failure = InfraError("the guest was ended before its time")
        except BaseException as error:  # raised in the caller's thread
            self._failure = error
        self._client.abandon()
        if not self._up.done():
            self._up.set_exception(ShellLostError("the guest does not boot"))

    def _kept(self) -> BaseException | None:
        """Run the guest to its end; return its failure."""
        recorder = Recorder(self._env, self._planned.guests.view)
        plan, guests = self._planned.plan, replace(self._planned.guests, env=self._env)

        def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
            self._console = directory / plan.name / CONSOLE_LOG
            self._cell = self._boot(matrix.booter, directory)
            keep_cell(directory, self._cell)
            return (self._cell,), ()

        planned = Planned(plan.what.source, (plan.name,))
        result = recorder.carry_out("session", guests, 1, work, planned)
        (cell,) = result.run.cells
        if cell.verdict is None:
            return InfraError(cell.error)
        if cell.verdict.outcome is Outcome.BOOTED:
            return None
        return GuestFailed(cell, cell.verdict, result.directory)

    def _boot(self, booter: Booter, directory: Path) -> Cell:
        plan, kernel = self._planned.plan, self._planned.kernel
        boot = replace(plan.boot, client=self._client)
        try:
            booted = booter.boot(plan.name, kernel, boot, directory / plan.name, Recorded())
        except HarnessError as error:
            if error.exit_code != InfraError.exit_code:
                raise
            return cell_with_kernel(plan, kernel, booter, str(error))
        except OSError as error:
            return cell_with_kernel(plan, kernel, booter, str(host_error(error)))
        lost = None if self._closing else self._client.lost
        verdict = session_verdict(booted, lost, closed=self._closing)
        expected = _EXPECTED if self.panics else _BOOTS
        cell = cell_with_kernel(plan, kernel, booter, expected=expected)
        return with_boot(cell, booted, verdict, plan)


class _SessionShell:
    """The shell of a session, for the session's callers; see ``Shell``."""

    def __init__(self, session: GuestSession) -> None:
        self._session = session

    def connect(self) -> None:
        """See ``Shell``: the session has logged in."""

    def run(
        self, command: str, *, timeout: float | None = None, stdin: bytes = b"",
        sink: OutputSink | None = None,
    ) -> Completed:  # fmt: skip
        """See ``Shell``."""
        return self._session.call(
            lambda shell: shell.run(command, timeout=timeout, stdin=stdin, sink=sink)
        )

    def put(self, source: Path, target: PurePosixPath) -> None:
        """See ``Shell``."""
        self._session.call(lambda shell: shell.put(source, target))

    def get(self, source: PurePosixPath, target: Path) -> None:
        """See ``Shell``."""
        self._session.call(lambda shell: shell.get(source, target))

    def close(self) -> None:
        """See ``Shell``: ends the session."""
        self._session.close()
