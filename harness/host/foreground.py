"""Programs that the user works with at the terminal, such as gdb.

As a shell does, this makes the program the terminal's foreground process group, so that Ctrl-C is
the program's. The program cannot be suspended, since nothing would continue it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from harness.host.programs import require_program

_SH: Final = "/bin/sh"

#: Ignores Ctrl-Z, and executes the program.
_START: Final = 'trap "" TSTP; exec "$@"'


def run_in_foreground(words: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a program with this process's standard streams; return its exit status.

    It is killed when this process ends, even by SIGKILL.

    Raises:
        InfraError: a program is missing.
    """
    program, *arguments = words
    bound = (require_program("setpriv"), "--pdeathsig", "KILL", "--")
    popen = subprocess.Popen(
        [_SH, "-c", _START, "sh", *bound, require_program(program), *arguments],
        env=dict(env),
        process_group=0,
    )
    try:
        with _foreground(popen.pid):
            return popen.wait()
    finally:
        popen.kill()
        popen.wait()


@contextlib.contextmanager
def _foreground(group: int) -> Iterator[None]:
    """Make a process group the foreground group of the terminal, if there is one."""
    terminal = sys.stdin.fileno()
    if not os.isatty(terminal) or os.tcgetpgrp(terminal) != os.getpgrp():
        yield
        return
    with _without_stops():
        os.tcsetpgrp(terminal, group)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)  # it may have read before it was in the foreground
        try:
            yield
        finally:
            os.tcsetpgrp(terminal, os.getpgrp())


@contextlib.contextmanager
def _without_stops() -> Iterator[None]:
    """Block SIGTTOU, which a process in the background gets when it sets the foreground group."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
