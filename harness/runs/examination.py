"""Examines a kernel for a bisection: by a boot, a check, or a command of the user's."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from harness.bisect.evidence import Kind
from harness.bisect.tester import Trial
from harness.boot.cellboot import boot_cell
from harness.boot.cellplan import CellPlan
from harness.boot.plan import Sampling
from harness.check.checker import Checker, CheckPlan
from harness.check.result import Conclusion
from harness.execution.program import Program, ProgramPlan
from harness.execution.result import SKIP, ProgramResult
from harness.host.loglimits import USUAL_LIMITS, LogLimits
from harness.outcome import Outcome
from harness.sanitizers import OUTCOMES

if TYPE_CHECKING:
    from harness.boot.booter import Booter
    from harness.boot.plan import BootPlan
    from harness.guest.registry import KeptGuest, Registry
    from harness.host.clock import Clock
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.kernel.artifact import KernelArtifact
    from harness.results.record import Cell
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest

#: Default timeout of the user's command, in seconds.
_COMMAND_SECONDS = 600.0

COMMAND_FAILED: Final = "the command failed"
"""The title of a command that did not exit with 0."""

#: Timeout of the start of a kept guest's relay, in seconds.
_RELAY_SECONDS = 30.0

#: The exit status of a command on the host that ends git's bisection; git-bisect(1), "Bisect run".
_ABORT = 128

DIFFERS = "check: the guest differs from the model"
BREAKS = "check: the guest breaks an invariant"

FAULT_TITLES = frozenset({DIFFERS, BREAKS})
"""The titles of checks that found a fault; which operation shows it depends on the seed."""

#: Titles of checks that did not agree.
_CHECK_TITLES: Mapping[Conclusion, str] = MappingProxyType(
    {
        Conclusion.DIFFERS: DIFFERS,
        Conclusion.BROKEN: BREAKS,
        Conclusion.GONE: "check: the guest ended",
        Conclusion.SILENT: "check: the guest fell silent",
        Conclusion.NONSENSE: "check: the guest answers nonsense",
        Conclusion.REFUSED: "check: the guest refuses an operation",
    }
)

#: Outcomes of a boot that can still have reached its goal.
_SURVIVED = OUTCOMES | {Outcome.BOOTED}


class Examination(Protocol):
    """Examines one kernel: by a boot, a check against the model, or a command."""

    def examine(
        self,
        name: str,
        kernel: KernelArtifact,
        directory: Path,
        progress: Progress,
        control: KernelArtifact | None = None,
    ) -> tuple[Trial, Cell | None]:
        """Examine the kernel once.

        Args:
            name: name of this examination, unique in the run.
            kernel: the kernel.
            directory: the run's directory; the examination's own is ``directory / name``.
            progress: shows the stages.
            control: another kernel, which boots.
        """
        ...


@dataclass(frozen=True, slots=True)
class BootExamination:
    """Boots the kernel and, with a plan for that, checks it against the model.

    Args:
        booter: boots guests.
        boot: the plan of the boots.
        what: the user's request.
        sanitizers: the kernels' sanitizers.
        check: the plan of the checks, except for the seed; None for boots alone.
        program: a command that is run in the guest; None for none.
        logs: limits of the command's output.
    """

    booter: Booter
    boot: BootPlan
    what: KernelRequest
    sanitizers: Sanitizers
    check: CheckPlan | None = None
    program: ProgramPlan | None = None
    logs: LogLimits = USUAL_LIMITS

    def examine(
        self,
        name: str,
        kernel: KernelArtifact,
        directory: Path,
        progress: Progress,
        control: KernelArtifact | None = None,
    ) -> tuple[Trial, Cell | None]:
        """See ``Examination``."""
        plan = CellPlan(
            name, "", self.what, self.sanitizers, self.boot, checker=self._checker(name),
            sampling=Sampling.TRIAL,
            program=Program(self.program, self.logs) if self.program is not None else None,
        )  # fmt: skip
        others = () if control is None else (control,)
        cell = boot_cell(plan, kernel, self.booter, directory, progress, others=others)
        return boot_trial(cell), cell

    def _checker(self, name: str) -> Checker | None:
        """Return a checker with a seed of its own: one trace may show what another does not."""
        if self.check is None:
            return None
        number = int("".join(itertools.takewhile(str.isdigit, name)) or 1)
        return Checker(replace(self.check, seed=number), self.booter.clock)


def boot_trial(cell: Cell) -> Trial:
    """Return the result of a boot in a bisection."""
    verdict = cell.verdict
    if verdict is None or cell.host_failed:
        error = cell.error or (verdict.title if verdict else "no verdict")
        return Trial(Kind.INFRA, outcome="host failed", seconds=cell.seconds, error=error)
    first = () if verdict.outcome is Outcome.BOOTED else (verdict.title,)
    titles = tuple(dict.fromkeys((*first, *verdict.titles, *verdict.reports)))
    if not _reached(cell):
        return Trial(Kind.FAILED, titles, verdict.outcome.value, verdict.seconds)
    if cell.failing:
        return Trial(Kind.FAILED, titles, cell.failing[0], verdict.seconds)
    if cell.check is not None and not cell.check.agreed:
        title = _CHECK_TITLES[cell.check.conclusion]
        return Trial(Kind.FAILED, (title, *titles), title, verdict.seconds, cell.check.why)
    if cell.program is not None:
        return _program_trial(cell.program, titles, verdict.seconds)
    return Trial(Kind.PASSED, titles, verdict.outcome.value, verdict.seconds)


def _program_trial(program: ProgramResult, titles: tuple[str, ...], seconds: float) -> Trial:
    """Return the result of a command in a guest that came up."""
    if program.unfinished:
        return Trial(Kind.INFRA, titles, "the command did not end", seconds, program.unfinished)
    if program.status == SKIP:
        return Trial(Kind.SKIPPED, titles, "skip", seconds)
    if program.is_good:
        return Trial(Kind.PASSED, titles, "good", seconds)
    # Another status may be another failure, but one command is one question.
    return Trial(Kind.FAILED, (COMMAND_FAILED, *titles), f"bad ({program.words})", seconds)


def _reached(cell: Cell) -> bool:
    """Return whether it reached its goal, possibly with reports that the kernel survived."""
    verdict = cell.verdict
    if verdict is None or verdict.outcome not in _SURVIVED:
        return False
    if verdict.outcome is Outcome.BOOTED:
        return True
    return cell.report is not None


@dataclass(frozen=True, slots=True)
class CommandExamination:
    """Boots the kernel, keeps the guest running, and lets the user's command judge it.

    Exit status: 0 good, 125 skip, up to 127 bad, else a host failure, as in git-bisect(1).

    Args:
        boot: boots the kernel; its plan keeps the guest.
        command: the command and its arguments.
        env: the command's environment, to which ``HARNESS_*`` are added.
        registry: the registry of kept guests.
        runner: starts the command.
        clock: measures its timeout.
    """

    boot: BootExamination
    command: Sequence[str]
    env: Mapping[str, str]
    registry: Registry
    runner: Runner
    clock: Clock

    def examine(
        self,
        name: str,
        kernel: KernelArtifact,
        directory: Path,
        progress: Progress,
        control: KernelArtifact | None = None,
    ) -> tuple[Trial, Cell | None]:
        """See ``Examination``."""
        trial, cell = self.boot.examine(name, kernel, directory, progress, control)
        log = (directory / name / "console.log").resolve()
        guests = [guest for guest in self.registry.live() if guest.console == log]
        try:
            if trial.kind is not Kind.PASSED or not guests:
                return trial, cell
            progress.stage("command")
            judged = self._run(guests[0], kernel, directory / name)
            return replace(judged, seconds=trial.seconds + judged.seconds), cell
        finally:
            for guest in guests:
                self.registry.end(guest)

    def _run(self, guest: KeptGuest, kernel: KernelArtifact, directory: Path) -> Trial:
        env = {**self.env, **_command_environment(guest, kernel, directory)}
        self._wait_for(guest)
        started = self.clock.monotonic()
        limit = self.boot.boot.timeout or _COMMAND_SECONDS
        with (directory / "command.log").open("wb") as output:
            process = self.runner.spawn(list(self.command), env=env, stdout=output, stderr=output)
            try:
                status = process.wait(limit)
            finally:
                process.kill()
        seconds = round(self.clock.monotonic() - started, 3)
        return command_trial(self.command[0], status, limit, seconds)

    def _wait_for(self, guest: KeptGuest) -> None:
        """Wait until the guest's relay listens."""
        until = self.clock.monotonic() + _RELAY_SECONDS
        while not guest.entrance.exists() and self.clock.monotonic() < until:
            self.clock.sleep(0.05)


def _command_environment(
    guest: KeptGuest, kernel: KernelArtifact, directory: Path
) -> dict[str, str]:
    """Return the command's environment, which README.md documents."""
    return {
        "HARNESS_GUEST": guest.name,
        "HARNESS_CONSOLE": str(guest.console),
        "HARNESS_CONSOLE_SOCKET": str(guest.entrance),
        "HARNESS_KERNEL": str(kernel.kernel),
        "HARNESS_KERNEL_DEBUG": str(kernel.debug),
        "HARNESS_REVISION": kernel.identity.commit or "",
        "HARNESS_NODES": str(guest.nodes),
        "HARNESS_FOLDER": str(directory.resolve()),
    }


def command_trial(name: str, status: int | None, limit: float, seconds: float) -> Trial:
    """Return the result of a command's exit status; None if it was killed."""
    if status is None:
        return Trial(Kind.FAILED, (f"{name} took longer than {limit:g} s",), "bad", seconds)
    if status == 0:
        return Trial(Kind.PASSED, (), "good", seconds)
    if status == SKIP:
        return Trial(Kind.SKIPPED, (), "skip", seconds)
    if 0 < status < _ABORT:
        return Trial(Kind.FAILED, (f"{name} failed",), f"bad ({status})", seconds)
    error = f"{name} ended with {status}, which is no verdict on the revision"
    return Trial(Kind.INFRA, (), "aborted", seconds, error)
