"""A bug of the harness, told in one line and kept whole in a file."""

from __future__ import annotations

import platform
import shlex
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime

from harness import __version__
from harness.errors import HarnessError
from harness.host.workspace import Workspace, write_atomic


def bug_report(arguments: Sequence[str], *, verbose: bool) -> str:
    """What to say of the exception that is being handled; it is written to the state folder.

    Args:
        arguments: of the command line.
        verbose: say all of it, instead of where it is.
    """
    trace = traceback.format_exc()
    summary = trace.rstrip().rpartition("\n")[2]
    moment = datetime.now(UTC)
    text = (
        f"harness {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"{moment.isoformat()}\n{shlex.join(('harness', *arguments))}\n\n{trace}"
    )
    path = Workspace.of_user().state / "bugs" / f"{moment:%Y%m%d-%H%M%S-%f}.txt"
    try:
        write_atomic(path, text)
    except HarnessError:
        return f"harness: this is a bug of the harness, not of the kernel: {summary}\n{trace}"
    told = trace if verbose else ""
    return (
        f"{told}harness: this is a bug of the harness, not of the kernel: {summary}\n"
        f"  please report it with {path}\n"
    )
