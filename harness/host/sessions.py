"""Ending all processes of a session, whatever groups they have made."""

from __future__ import annotations

import contextlib
import os
import signal

from harness.errors import InfraError
from harness.host.procfs import process_ids

#: Seconds that a process may take to end after SIGKILL.
KILL_SECONDS = 30.0


def unkillable(pid: int) -> InfraError:
    """Return the error for a process that SIGKILL does not end, as it waits in the kernel."""
    return InfraError(
        f"process {pid} did not end within {KILL_SECONDS:g} s after SIGKILL",
        remedy=f"check what it waits for: ps -o pid,stat,wchan,args -p {pid}",
    )


def signal_session(session: int) -> None:
    """Kill all process groups of a session: bmake creates one per job (``JobExec()``, job.c)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(session, signal.SIGKILL)
    killed: set[int] = set()
    while members := _members(session) - killed:
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= members


def _members(session: int) -> set[int]:
    """Return a session's processes. This runs after each program, for all processes of the host."""
    members = set()
    for pid in process_ids():
        try:
            if os.getsid(pid) == session:
                members.add(pid)
        except (ProcessLookupError, PermissionError):
            continue
    return members
