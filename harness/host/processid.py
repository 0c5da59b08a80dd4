"""Processes other than children: identification, search and termination."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.errors import InfraError
from harness.host.procfs import PROC, ended, start_ticks
from harness.host.sessions import KILL_SECONDS, unkillable

if TYPE_CHECKING:
    from harness.host.clock import Clock

_TICK: Final = 0.02

_BOOT_ID: Final = "sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, identified by its ID and its start time, since IDs are reused.

    The start time is relative to the boot of the host, so changes of the wall clock do not matter.

    Args:
        pid: the process ID.
        started: clock ticks from the boot of the host to the start of the process.
        boot: identifies the boot; empty if the host has no identifiers of boots.
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Return the process that currently has this ID; None if there is none."""
        try:
            boot = (PROC / _BOOT_ID).read_text("ascii").strip()
        except OSError:
            return cls._elsewhere(pid)
        directory = PROC / str(pid)
        try:
            return None if ended(directory) else cls(pid, start_ticks(directory), boot)
        except OSError:
            return None

    @classmethod
    def _elsewhere(cls, pid: int) -> ProcessId | None:
        """Return the process on another system than Linux, with its start in wall clock time."""
        import psutil  # slow to import

        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return cls(pid, round(process.create_time() * 1000), "")
        except psutil.NoSuchProcess:
            return None

    @property
    def alive(self) -> bool:
        """Whether the process still exists."""
        return ProcessId.of(self.pid) == self

    def kill(self, clock: Clock) -> None:
        """Kill the process and wait until it has ended; do nothing if it has ended.

        Raises:
            InfraError: it belongs to another user, or SIGKILL does not end it.
        """
        deadline = clock.monotonic() + KILL_SECONDS
        try:
            while self.alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
                if clock.monotonic() > deadline:
                    raise unkillable(self.pid)
                clock.sleep(_TICK)
        except PermissionError as error:
            raise InfraError(
                f"cannot kill process {self.pid}: it belongs to another user",
                remedy=f"kill it as that user: kill -KILL {self.pid}",
            ) from error


def find_processes(word: str) -> list[ProcessId]:
    """Return the processes with an argument that contains ``word``."""
    import psutil  # slow to import

    found = (
        ProcessId.of(process.pid)
        for process in psutil.process_iter(["cmdline"])
        if any(word in argument for argument in process.info["cmdline"] or ())
    )
    return [process for process in found if process is not None]
