"""Processes that are not our children: told apart, found, and ended for certain."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from harness.errors import InfraError
from harness.host.process import KILL_SECONDS, unkillable
from harness.host.procstat import start_ticks

if TYPE_CHECKING:
    from harness.host.clock import Clock

_TICK: Final = 0.02

_PROC: Final = Path("/proc")
_BOOT_ID: Final = "sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process by its number and its start, since numbers are used again.

    The start is counted from the boot of the host: a step of the wall clock does not change it.

    Args:
        pid: its number.
        started: when it began, in clock ticks since the boot of the host.
        boot: identifies that boot; empty where the host does not name its boots.
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has this number now; None if it has ended."""
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return cls(pid, *_start_of(process))
        except psutil.NoSuchProcess:
            return None

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return ProcessId.of(self.pid) == self

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


def _start_of(process: psutil.Process) -> tuple[int, str]:
    """The start in clock ticks since boot, and the boot; see proc(5), ``starttime``.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    try:
        boot = (_PROC / _BOOT_ID).read_text("ascii").strip()
    except OSError:  # not Linux: a host that records the start itself, by the wall clock of then
        return round(process.create_time() * 1000), ""
    try:
        return start_ticks(_PROC / str(process.pid)), boot
    except OSError as error:
        raise psutil.NoSuchProcess(process.pid) from error


def find_processes(word: str) -> list[ProcessId]:
    """The processes with ``word`` within one of their arguments."""
    found = (
        ProcessId.of(process.pid)
        for process in psutil.process_iter(["cmdline"])
        if any(word in argument for argument in process.info["cmdline"] or ())
    )
    return [process for process in found if process is not None]
