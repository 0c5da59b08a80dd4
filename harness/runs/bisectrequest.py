"""The request for a bisection."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import UsageError
from harness.host.programs import find_program
from harness.runs.guests import GuestRequest

if TYPE_CHECKING:
    from harness.execution.program import ProgramPlan
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest


@dataclass(frozen=True, slots=True)
class BisectRequest:
    """A revision to find.

    Args:
        what: the source and configuration; it names no revision.
        good: a revision that passes; None: the log's.
        bad: a revision that fails; None: the log's.
        fixed: the bad revision is older: find the fix.
        guest: the guest, exactly one.
        sanitizers: the kernels' sanitizers; None: those of the vm file.
        title: only failures whose title contains this count.
        any_failure: every failure counts.
        how: the kind of test: ``boot``, ``check`` against the model, or ``build``, which needs
            no guest.
        subsystem: the subsystem to check; None: the first of the table.
        confidence: required confidence, in percent.
        repeat: most tests of one kernel.
        first_parent: each merge counts as one change.
        skip: a file of revisions that are not tested.
        restart: discard the state of an interrupted bisection.
        log: a file with the output of ``git bisect log``.
        export: a file for ``git bisect replay``, written at the end.
        command: judges each kept guest, on the host; empty without.
        program: judges each guest, in it; None without.
    """

    what: KernelRequest
    good: str | None = None
    bad: str | None = None
    fixed: bool = False
    guest: GuestRequest = field(default_factory=GuestRequest)
    sanitizers: Sanitizers | None = None
    title: str | None = None
    any_failure: bool = False
    how: Literal["boot", "check", "build"] = "boot"
    subsystem: str | None = None
    confidence: float = 95.0
    repeat: int = 40
    first_parent: bool = False
    skip: Path | None = None
    restart: bool = False
    log: Path | None = None
    export: Path | None = None
    command: tuple[str, ...] = ()
    program: ProgramPlan | None = None

    def check(self) -> None:
        """Check that the options can be combined.

        Raises:
            UsageError: two options exclude each other.
        """
        if self.title is not None and self.any_failure:
            raise UsageError(
                "--title and --any-failure exclude each other", remedy="leave one of them out"
            )
        judges = [
            *([f"--with {self.how}"] if self.how != "boot" else []),
            *(["--exec"] if self.program is not None else []),
            *(["a command"] if self.command else []),
        ]
        if len(judges) > 1:
            raise UsageError(
                f"{' and '.join(judges)} both judge the revisions",
                remedy="leave one of them out",
            )
        if self.subsystem is not None and self.how != "check":
            raise UsageError(
                f"--subsystem {self.subsystem} requires a check, and --with {self.how} runs none",
                remedy="add --with check, or leave --subsystem out",
            )
        if self.command and find_program(self.command[0]) is None:
            found = Path(self.command[0]).exists()
            raise UsageError(
                f"the command {self.command[0]} "
                + ("cannot be executed" if found else "was not found"),
                remedy="make it executable (chmod +x)" if found else "correct its path",
            )
