"""Processes other than children: identification, search and termination."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from harness.errors import InfraError
from harness.host.procstat import start_ticks
from harness.host.sessions import KILL_SECONDS, unkillable

if TYPE_CHECKING:
    from harness.host.clock import Clock

_TICK: Final = 0.02

_PROC: Final = Path("/proc")
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
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return cls(pid, *_start_of(process))
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
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(self.pid).kill()
                if clock.monotonic() > deadline:
                    raise unkillable(self.pid)
                clock.sleep(_TICK)
        except psutil.AccessDenied as error:
            raise InfraError(
                f"cannot kill process {self.pid}: it belongs to another user",
                remedy=f"kill it as that user: kill -KILL {self.pid}",
            ) from error


def _start_of(process: psutil.Process) -> tuple[int, str]:
    """Return the start time in clock ticks (``starttime`` of proc(5)), and the boot.

    Raises:
        psutil.NoSuchProcess: the process has ended.
    """
    try:
        boot = (_PROC / _BOOT_ID).read_text("ascii").strip()
    except OSError:  # not Linux: the start time is recorded in wall clock time
        return round(process.create_time() * 1000), ""
    try:
        return start_ticks(_PROC / str(process.pid)), boot
    except OSError as error:
        raise psutil.NoSuchProcess(process.pid) from error


def find_processes(word: str) -> list[ProcessId]:
    """Return the processes with an argument that contains ``word``."""
    found = (
        ProcessId.of(process.pid)
        for process in psutil.process_iter(["cmdline"])
        if any(word in argument for argument in process.info["cmdline"] or ())
    )
    return [process for process in found if process is not None]
