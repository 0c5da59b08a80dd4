"""Checks host programs, before guests or in their place."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import harness
from harness.check.checker import Checker
from harness.check.result import conclusion_in_words
from harness.errors import HarnessError, InfraError, UsageError
from harness.host.cachesize import HOST_PROGRAMS
from harness.host.inuse import in_use
from harness.host.workspace import make_directory
from harness.onhost.hunt import Hunt
from harness.onhost.huntedprogram import HuntedProgram
from harness.onhost.instrumentation import PLAIN, Instrumentation
from harness.onhost.intended import IntendedRaces
from harness.onhost.layout import layout_of, others
from harness.onhost.run import ProgramRunner
from harness.onhost.search import HostSearch
from harness.onhost.transcript import TranscriptCache
from harness.results.record import HOST, Cell
from harness.source.change import Change

if TYPE_CHECKING:
    from harness.boot.cellplan import CellPlan
    from harness.check.checker import CheckPlan
    from harness.check.result import CheckResult
    from harness.check.subject import Trace
    from harness.guest.topology import Topology
    from harness.host.clock import Clock
    from harness.host.progress import Progress
    from harness.onhost.layout import HostLayout
    from harness.onhost.programs import HostProgram
    from harness.provide.provider import Provider
    from harness.runs.coverage import HostCoverage
    from harness.runs.environment import Environment
    from harness.runs.view import Rows, View
    from harness.source.request import KernelRequest

#: Each other machine has one of so many operations.
_PART_ELSEWHERE: Final = 8
#: Inputs of a cached part of a check, in addition to the specification and the machine.
_MODELS = ("check", "subsystems", "onhost")


@dataclass(slots=True)
class HostChecks:
    """Checks one kernel's code as a host program.

    Args:
        env: the host.
        provider: the kernel's provider.
        what: the kernel.
        topology: the topology of the guest.
        operations: operations of each check.
        instrumentation: what the compiler adds to the program.
        coverage: collects what the programs execute, if anything does.
        elsewhere: whether the code is also checked on machines with other domains.
    """

    env: Environment
    provider: Provider
    what: KernelRequest
    topology: Topology
    operations: int
    instrumentation: Instrumentation = PLAIN
    coverage: HostCoverage | None = None
    elsewhere: bool = False
    _program: HostProgram | None = None

    def program(self, progress: Progress) -> HostProgram | None:
        """Return the program, built once; None if the kernel has none.

        Raises as ``Provider.host_program``.
        """
        if self._program is None:
            with self._kept():
                self._program = self.provider.host_program(
                    self.what,
                    progress,
                    self.operations,
                    replace(self.instrumentation, covered=self.coverage is not None),
                )
        return self._program

    def check(
        self, plan: CheckPlan, program: HostProgram, progress: Progress
    ) -> tuple[CheckResult, Trace | None]:
        """Run a check; return its result, and the shortest trace that shows the finding.

        Raises:
            UsageError: the trace to replay cannot be run.
            InfraError: the host failed.
        """
        result, trace = self._checked(plan, program, progress)
        assumed = self.what.change.assumed
        if assumed:
            note = f"not the tree's code: with the fix of {' and '.join(assumed)}"
            result = replace(result, notes=(*result.notes, note))
        return result, trace

    def _checked(
        self, plan: CheckPlan, program: HostProgram, progress: Progress
    ) -> tuple[CheckResult, Trace | None]:
        """Run a check; see ``check``."""
        progress.stage("check on the host")
        env, layout = self.env, self.layout
        with self._kept(), env.workspace.scratch("onhost-run") as scratch:
            runner = ProgramRunner(program, layout, env.runner, scratch, env.sandboxed)
            plan = replace(plan, operations=self.operations)
            found = self._searched(plan, runner, progress)
            if self.coverage is not None:
                self.coverage.collect(scratch)
            return found

    def _searched(
        self, plan: CheckPlan, runner: ProgramRunner, progress: Progress
    ) -> tuple[CheckResult, Trace | None]:
        env, held = self.env, plan.specification
        if held.hunted is not None:
            with contextlib.ExitStack() as stack:
                started = HuntedProgram(
                    held.hunted, runner, env.clock, intended=self._intended_races
                )
                base = functools.cache(
                    functools.partial(self._base, stack, plan, started, progress)
                )
                change, below = self.what.change, self._below(plan)

                def fixes(change: Change) -> Callable[[str], HuntedProgram | None]:
                    made = functools.partial(self._fixed, stack, change, started, progress)
                    return functools.cache(made)

                hunt = Hunt(
                    plan, started, base, fixes(below or change), env.clock, progress,
                    others(runner.layout) if self.elsewhere else (),
                    fixes(change) if below is not None else _without_fixes,
                )  # fmt: skip
                return hunt.run(), hunt.shortest
        return self._modelled(plan, runner, progress)

    def _modelled(
        self, plan: CheckPlan, runner: ProgramRunner, progress: Progress
    ) -> tuple[CheckResult, Trace | None]:
        """Compare with the model, part of the operations on other machines."""
        release = runner.program.identity.release
        elsewhere = others(runner.layout) if self.elsewhere and plan.replay is None else ()
        part = plan.operations // _PART_ELSEWHERE
        done, seconds = 0, 0.0
        for layout in (runner.layout, *(elsewhere if part else ())):
            is_own = layout == runner.layout
            operations = plan.operations - len(elsewhere) * part if is_own else part
            search = HostSearch(
                replace(plan, operations=operations), replace(runner, layout=layout),
                transcripts_of(self.env, plan, layout, release), self.env.clock, progress,
            )  # fmt: skip
            result = search.run()
            done, seconds = done + result.operations, seconds + result.seconds
            result = replace(result, operations=done, seconds=round(seconds, 3))
            if not result.agreed:
                break
        return result, search.shortest

    def _base(
        self, stack: contextlib.ExitStack, plan: CheckPlan, changed: HuntedProgram,
        progress: Progress,
    ) -> HuntedProgram | None:  # fmt: skip
        """Return the program of the code below the changes, with the same fixes; None where there
        is none.

        Raises as ``Provider.host_program``.
        """
        below = self._below(plan)
        # A tree without revisions has nothing below its changes.
        return None if below is None else self._beside(stack, below, changed, progress)

    def _below(self, plan: CheckPlan) -> Change | None:
        """Return what leads to the code below the changes; None where nothing is changed."""
        change = self.what.change
        if change.patch or change.mutant:
            return Change(change.revision, assumed=change.assumed)
        if change.revision is None and plan.specification.changed:
            return Change("HEAD", assumed=change.assumed)
        return None

    def _fixed(
        self, stack: contextlib.ExitStack, change: Change, unfixed: HuntedProgram,
        progress: Progress, case: str,
    ) -> HuntedProgram | None:  # fmt: skip
        """Return the program of a change with the fix of a named case; None if it has none.

        Raises as ``Provider.host_program``.
        """
        assumed = replace(change, assumed=(*change.assumed, case))
        return self._beside(stack, assumed, unfixed, progress)

    def _beside(
        self, stack: contextlib.ExitStack, change: Change, first: HuntedProgram, progress: Progress
    ) -> HuntedProgram | None:
        """Return a program with other changes; None if they do not apply."""
        what = replace(self.what, change=change)
        try:
            program = self.provider.host_program(
                what, progress, self.operations, self.instrumentation
            )
        except UsageError:
            return None
        if program is None:
            return None
        runner = replace(first.runner, program=program)
        beside = HuntedProgram(first.hunted, runner, first.clock, intended=first.intended)
        return stack.enter_context(beside)

    @property
    def _intended_races(self) -> IntendedRaces:
        parts = (each.on_host for each in self.provider.subsystems if each.on_host is not None)
        return IntendedRaces.of(part.races for part in parts if part.races is not None)

    @property
    def built(self) -> HostProgram | None:
        """The program, if one was built."""
        return self._program

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Keep the program from being removed from the cache within the context."""
        directory = self.env.workspace.cache / HOST_PROGRAMS
        make_directory(directory)
        with in_use(directory):
            yield

    @property
    def layout(self) -> HostLayout:
        """The guest's domains."""
        return layout_of(self.topology.guest_domains())

    def cell(self, name: str, plan: CheckPlan, progress: Progress) -> Cell:
        """Return the cell of a check in a guest's place; limits of the program are host failures.

        Raises:
            UsageError: the user's arguments are wrong.
        """
        cell = self._cell(name)
        started = self.env.clock.monotonic()
        try:
            program = self.program(progress)
            if program is None:
                raise UsageError(
                    f"--on host: {self.what.source} is not compiled as a host program",
                    remedy="leave --on out, or name a FreeBSD tree with --source",
                )
            result, _ = self.check(plan, program, progress)
        except HarnessError as failure:
            if failure.exit_code != InfraError.exit_code:
                raise
            return replace(cell, error=str(failure))
        seconds = round(self.env.clock.monotonic() - started, 3)
        return replace(self.searched(name, result), seconds=seconds)

    def searched(self, name: str, result: CheckResult) -> Cell:
        """Return the cell of a finished check in a guest's place."""
        cell = self._cell(name)
        limit = "" if result.agreed or result.is_finding else result.why
        guest = cell.guest
        if self._program is not None:
            guest = f"FreeBSD {self._program.identity.release}"
        return replace(cell, guest=guest, check=result, error=limit, seconds=result.seconds)

    @property
    def _sanitizers(self) -> str:
        return "+".join(sorted(self.instrumentation.sanitizers)) or "none"

    def _cell(self, name: str) -> Cell:
        return Cell(
            name=name, side="", guest=self.what.source,
            nodes=len(self.topology.nodes), sanitizer=self._sanitizers, backend="none",
            accelerator="none", boot="none", topology=asdict(self.topology), on=HOST,
        )  # fmt: skip


@dataclass(slots=True)
class HostFirst:
    """Checks host programs before guests.

    Args:
        on_host: checks host programs; None: no check.
        rows: shows progress.
        view: shows one warning if there is no program, or if it reaches a limit of its own.
        clock: measures time.
    """

    on_host: HostChecks | None
    rows: Rows
    view: View
    clock: Clock

    def before(self, cell: CellPlan, check: CheckPlan) -> CellPlan:
        """Return the plan of a guest, with the finding of the host program to repeat first.

        Raises:
            UsageError: the user's arguments are wrong.
        """
        if self.on_host is None or not check.on_host:
            return cell
        name = f"{cell.name} on the host"
        progress = self.rows.row(name)
        try:
            program = self.on_host.program(progress)
            if program is None:
                self.on_host = None
                self.rows.done(name, "the source has no host program", good=True)
                return cell
            result, trace = self.on_host.check(check, program, progress)
        except InfraError as failure:
            self._give_up(name, str(failure))
            return cell
        except BaseException as error:
            self.rows.failed(name, error)
            raise
        if not (result.agreed or result.is_finding):
            self._give_up(name, result.why)
            return replace(cell, host=result)
        self.rows.done(name, conclusion_in_words(result.conclusion), good=result.agreed)
        first = trace if check.replay is None else None
        # Without a model, a search in a guest would end at the first named case.
        searches = check.specification.is_modelled
        told = Checker(replace(check, first=first, searches=searches), self.clock)
        return replace(cell, host=result, checker=told)

    def _give_up(self, name: str, why: str) -> None:
        """Warn about a limit of the program; the guest's result counts."""
        self.on_host = None
        self.rows.done(name, "not checked", good=False)
        self.view.warn(f"not checked on the host, in the guest alone: {why}")


def _without_fixes(case: str) -> None:
    """There is no changed code."""


def transcripts_of(
    env: Environment, plan: CheckPlan, layout: HostLayout, release: str
) -> TranscriptCache:
    """Return the cache of a check's transcripts.

    Args:
        env: the host.
        plan: of the check.
        layout: of the machine.
        release: of the tree.
    """
    held = plan.specification
    values = repr(sorted(held.values.items()))
    key = (_digest_of_models(), held.subsystem, held.name, values, repr(layout), release,
           str(plan.seed))  # fmt: skip
    return TranscriptCache(env.workspace, key)


@functools.cache
def _digest_of_models() -> str:
    """Return a digest of all code that determines commands and expected answers."""
    package = Path(harness.__file__).parent
    files = (path for name in _MODELS for path in sorted((package / name).rglob("*.py")))
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()
