"""Processes of this host, from proc(5)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

_ENDED: Final = frozenset("ZX")


def process_ids() -> list[int]:
    """Return the IDs of all processes."""
    with contextlib.suppress(OSError):
        found = [int(name) for name in os.listdir(PROC) if name.isdecimal()]
        if found:
            return found
    import psutil  # slow to import, and only needed on other systems

    return psutil.pids()


def bound_sockets() -> set[str]:
    """Return the paths that processes have bound local sockets to."""
    with contextlib.suppress(OSError):
        lines = (PROC / "net/unix").read_text("utf-8", "surrogateescape").splitlines()
        # Num RefCount Protocol Flags Type St Inode Path, below a line of these names.
        fields = (line.split(maxsplit=7) for line in lines[1:])
        return {each[7] for each in fields if len(each) > 7}
    import psutil  # slow to import, and only needed on other systems

    return {str(connection.laddr) for connection in psutil.net_connections("unix")}


def cpu_seconds(pid: int | None) -> float | None:
    """Return the CPU time of a process with all its threads; None if it has ended, or is None."""
    if pid is None:
        return None
    if PROC.joinpath("self/stat").exists():
        try:
            user, system = _stat(PROC / str(pid))[11:13]
        except OSError:
            return None
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    import psutil  # slow to import, and only needed on other systems

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return times.user + times.system


def start_ticks(directory: Path) -> int:
    """Return the start time of a process in clock ticks since boot: field 22 of its ``stat``.

    Args:
        directory: the directory of the process in proc(5).

    Raises:
        OSError: the process has ended.
    """
    return int(_stat(directory)[19])


def ended(directory: Path) -> bool:
    """Return whether a process has ended, but its parent has not waited for it (a zombie).

    Raises:
        OSError: there is no such process.
    """
    return state_of(directory) in _ENDED


def state_of(directory: Path) -> str:
    """Return the letter of a process's or thread's state: the third field of ``stat``."""
    return _stat(directory)[0]


def _stat(directory: Path) -> list[str]:
    """Return the fields of ``stat`` from the third on; the second may contain any character."""
    return (directory / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
