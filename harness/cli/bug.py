"""Reports of bugs in the harness."""

from __future__ import annotations

import platform
import shlex
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime

from harness import __version__
from harness.cli.failure import Failure
from harness.errors import HarnessError, InfraError
from harness.host.workspace import Workspace, write_atomic


def bug_report(arguments: Sequence[str], *, verbose: bool) -> Failure:
    """Write the traceback of the current exception to a file, and return the failure.

    Args:
        arguments: the arguments of the command line.
        verbose: whether to include the traceback in the failure.
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
        remedy = f"please report it, with the file {path}"
    except HarnessError:
        verbose, remedy = True, "please report it with the lines below"
    return Failure(
        code=InfraError.exit_code,
        kind="bug",
        message=f"bug in the harness, not in the kernel: {summary}",
        remedy=remedy,
        detail=trace if verbose else "",
    )
