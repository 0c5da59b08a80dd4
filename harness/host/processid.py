"""Processes that are not our children: told apart, found, and ended for certain."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from harness.errors import InfraError
from harness.host.process import KILL_SECONDS, unkillable

if TYPE_CHECKING:
    from harness.host.clock import Clock

_TICK: Final = 0.02

_SAME_SECONDS: Final = 2.0
"""How far two readings of a start may be apart: the system derives them from the wall clock."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process by its number and its start, since numbers are used again.

    Args:
        pid: its number.
        started: when it began, in seconds since the epoch.
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has this number now; None if it has ended."""
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return cls(pid, process.create_time())
        except psutil.NoSuchProcess:
            return None

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        now = ProcessId.of(self.pid)
        return now is not None and abs(now.started - self.started) < _SAME_SECONDS

    def kill(self, clock: Clock) -> None:
        """End it and wait until it is gone; no harm if it has ended.

        Raises:
            InfraError: it is not ours to end, or hangs in the system.
        """
        deadline = clock.monotonic() + KILL_SECONDS
        try:
            while self.alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(self.pid).kill()
                if clock.monotonic() > deadline:
                    raise unkillable(self.pid)
                clock.sleep(_TICK)
        except psutil.AccessDenied as error:
            raise InfraError(
                f"process {self.pid} is another user's", remedy="end it as that user"
            ) from error


def find_processes(word: str) -> list[ProcessId]:
    """The processes with ``word`` within one of their arguments."""
    found = (
        ProcessId.of(process.pid)
        for process in psutil.process_iter(["cmdline"])
        if any(word in argument for argument in process.info["cmdline"] or ())
    )
    return [process for process in found if process is not None]
