"""The guard: a process that kills the sessions of children when the harness ends, even by SIGKILL.

One serves all children, as a process for each would double the cost of a short program.
"""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import threading
from typing import Final

#: Reads "+ SESSION" and "- SESSION" until this process ends, which closes the pipe, even by
#: SIGKILL. Then it kills the sessions that are left; a session may have several process groups.
_GUARD: Final = """\
sessions=' '
while read -r sign session; do
	case $sign in
	+) sessions="$sessions$session " ;;
	-) sessions="${sessions%% $session *} ${sessions#* $session }" ;;
	esac
done
for session in $sessions; do kill -s KILL -- "-$session"; done
for session in $sessions; do pkill -KILL -s "$session"; done
"""


class SessionGuard:
    """Kills sessions when this process ends; it is started for the first, and if it was killed."""

    def __init__(self) -> None:
        self._held: list[int] = []  # twice, if the process ID of a dead child was reused
        self._process: subprocess.Popen[bytes] | None = None
        # A signal handler may kill processes while the main thread holds the lock.
        self._lock = threading.RLock()

    def hold(self, session: int) -> None:
        """Kill a session at the end of this process, unless it is released before.

        Args:
            session: the session of a child that waits until this has returned.
        """
        with self._lock:
            self._held.append(session)
            if not self._wrote(f"+ {session}\n"):
                self._start()

    def release(self, session: int) -> None:
        """Forget a session, which was killed; do nothing if it is not held."""
        with self._lock:
            if session in self._held:
                self._held.remove(session)
                self._wrote(f"- {session}\n")

    def stop(self) -> None:
        """End the guard, which kills the sessions that are left."""
        with self._lock:
            process, self._process = self._process, None
            if process is not None and process.stdin is not None:
                process.stdin.close()
                process.wait()

    def _start(self) -> None:
        self.stop()
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD],
            bufsize=0,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wrote("".join(f"+ {session}\n" for session in self._held))

    def _wrote(self, text: str) -> bool:
        """Write to the guard; return whether it was there to read it."""
        if self._process is None or self._process.stdin is None:
            return False
        try:
            self._process.stdin.write(text.encode())
        except BrokenPipeError:
            return False
        return True


@functools.cache
def session_guard() -> SessionGuard:
    """Return the guard of this process's children, which ends with this process."""
    guard = SessionGuard()
    atexit.register(guard.stop)
    return guard
