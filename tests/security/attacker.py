"""Another user of the same host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")

AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")


def as_nobody(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What becomes of a command of ``nobody``'s."""
    return subprocess.run(
        [*AS_NOBODY, *map(str, words)], cwd="/", capture_output=True, text=True, check=False
    )


def tries(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """The same of a Python script."""
    return as_nobody(sys.executable, "-c", script, *words)
