"""The result of a command that was run in a guest. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from harness.outcome import Ending

SKIP: Final = 125
"""The exit status of a command that can say nothing of this kernel, as for ``git bisect run``."""

_GUEST_ENDED: Final = {
    Ending.RESET: "the guest was reset while it ran",
    Ending.EXITED: "the guest powered off while it ran",
}


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """The result of a command.

    Args:
        command: the command line.
        status: its exit status; None if a signal ended it, or if it did not end.
        signal: the signal's name without SIG; empty for none.
        unfinished: why it did not end, in words; empty if it did.
        alive: whether the guest answered when the command did not end, or its end is known.
        seconds: from the login to its end, in time in which the guest could run.
        stdout: bytes of its standard output.
        stderr: bytes of its standard error.
    """

    command: str
    status: int | None = None
    signal: str = ""
    unfinished: str = ""
    alive: bool = True
    seconds: float = 0.0
    stdout: int = 0
    stderr: int = 0

    def explained(self, ending: Ending, *, failed: bool = False) -> ProgramResult:
        """Return it with the guest's end, if that is why the command did not end.

        Args:
            ending: how the guest ended.
            failed: whether its kernel failed.
        """
        if not self.unfinished or not self.seconds:
            return self
        if failed:
            return replace(self, unfinished="the kernel failed while it ran")
        return replace(self, unfinished=_GUEST_ENDED.get(ending, self.unfinished))

    @property
    def is_good(self) -> bool:
        """Whether it exited with status 0."""
        return self.status == 0

    @property
    def is_bad(self) -> bool:
        """Whether it ended otherwise, and not with ``SKIP``, which says nothing."""
        return not self.unfinished and not self.is_good and self.status != SKIP

    @property
    def words(self) -> str:
        """How it ended: ``exit status 3``, ``signal KILL``, or why it did not."""
        if self.unfinished:
            return self.unfinished
        return f"signal {self.signal}" if self.signal else f"exit status {self.status}"

    def document(self) -> dict[str, Any]:
        """Return the result as a JSON document."""
        return {
            "command": self.command,
            "status": self.status,
            "signal": self.signal,
            "unfinished": self.unfinished,
            "good": self.is_good,
            "seconds": round(self.seconds, 3),
            "stdout": self.stdout,
            "stderr": self.stderr,
        }
