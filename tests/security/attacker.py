"""Another user of the same host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")

AS_NOBODY = (
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
    # What starts the tests may have ambient capabilities, which another user would keep.
    "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all",
    # setpriv still has root's capabilities when it looks for its program; env has not.
    "--", "env",
)  # fmt: skip


def as_nobody(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What becomes of a command of ``nobody``'s."""
    return subprocess.run(
        [*AS_NOBODY, *map(str, words)], cwd="/", capture_output=True, text=True, check=False
    )


def tries(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """The same of a Python script."""
    return as_nobody(open_python(), "-c", script, *words)


def open_python() -> str:
    """A Python of this version that everybody may start."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}")
    found = [place for place in places if as_nobody(place, "-c", "").returncode == 0]
    if not found:
        pytest.skip(f"another user may not start a {name} here")
    return found[0]
