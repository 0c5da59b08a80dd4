"""What a bisection is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import UsageError
from harness.host.doctor import find_program
from harness.runs.guests import GuestRequest

if TYPE_CHECKING:
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest


@dataclass(frozen=True, slots=True)
class BisectRequest:
    """A revision to find.

    Args:
        what: the source and configuration; it names no revision.
        good: a revision that passes; None: as the log has it.
        bad: a revision that fails; None: as the log has it.
        fixed: the bad one is older: find what fixed it.
        guest: the guest, which is one.
        sanitizers: of the kernels; None: those of the guest's file.
        title: only failures whose title holds that count.
        any_failure: every failure counts.
        how: what is looked at: the boot, the check against the model, or whether it compiles,
            which needs no guest.
        subsystem: what a check holds to the model; None: the first of the table.
        confidence: percent, to be reached.
        repeat: the most tests of one kernel.
        first_parent: what a merge brings in is one change, the merge's.
        skip: a file of revisions that are not tested.
        restart: forget what an interrupted call has found.
        log: a file to begin with, as ``git bisect log`` prints it.
        export: a file for ``git bisect replay``, written at the end.
        command: judges each kept guest; empty without.
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

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            UsageError: two options exclude each other.
        """
        if self.title is not None and self.any_failure:
            raise UsageError(
                "--title and --any-failure exclude each other", remedy="leave one of them out"
            )
        if self.command and self.how != "boot":
            raise UsageError(
                f"--with {self.how} and a command both judge the revisions",
                remedy="leave one of them out",
            )
        if self.subsystem is not None and self.how != "check":
            raise UsageError(
                f"--subsystem {self.subsystem} is for checks, and --with {self.how} makes none",
                remedy="add --with check, or leave --subsystem out",
            )
        if self.command and find_program(self.command[0]) is None:
            found = Path(self.command[0]).exists()
            raise UsageError(
                f"the command {self.command[0]} "
                + ("cannot be executed" if found else "was not found"),
                remedy="make it executable (chmod +x)" if found else "correct its path",
            )
