"""The ``harness`` program: what is installed may be incomplete, and that is no kernel's failure."""

from __future__ import annotations

import os
import signal
import sys

_HOST_FAILED = 3
_GIT_STOPS = 128


def main() -> None:
    """Import the harness, and run it.

    Python exits with 1 for a module that is missing or damaged, which ``git bisect run`` takes
    for a bad revision.
    """
    # Until signals are heeded, Ctrl-C ends it like any program, without Python's traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from harness.cli.main import main as run
    except Exception as error:
        text = f"harness: its installation is incomplete: {error}\n  install it again with pip\n"
        try:
            os.write(2, text.encode())
        finally:
            os._exit(_GIT_STOPS if "--git-bisect" in sys.argv else _HOST_FAILED)
    run()
