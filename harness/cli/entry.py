"""The entry point of the ``harness`` program, which reports an incomplete installation."""

from __future__ import annotations

import gc
import os
import signal
import sys

_HOST_FAILED = 3
_GIT_STOPS = 128


def main() -> None:
    """Import the harness, and run it.

    For a missing or damaged module, Python would exit with 1, by which ``git bisect run`` marks a
    revision bad.
    """
    # Imported objects stay; searching them for garbage takes a tenth of the time.
    gc.disable()
    # Before the signal handlers are installed, Ctrl-C ends it without Python's traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from harness.cli.main import main as run
    except Exception as error:
        text = f"harness: the installation is incomplete: {error}\n  install it again with pip\n"
        try:
            os.write(2, text.encode())
        finally:
            os._exit(_GIT_STOPS if "--git-bisect" in sys.argv else _HOST_FAILED)
    run()
