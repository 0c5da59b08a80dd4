"""``harness build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import (
    change_options,
    common_options,
    named_kernel,
    source_options,
)
from harness.cli.progress import LiveRows
from harness.cli.sanitizers import AskedSanitizers, sanitizer_options
from harness.runs.view import shown_row
from harness.sanitizers import NONE
from harness.source.change import Change

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command()
@source_options
@change_options
@sanitizer_options
@common_options
def build(
    app: App,
    source: str | None,
    kernconf: str | None,
    revision: str | None,
    patch: Path | None,
    mutant: str | None,
    asked: AskedSanitizers,
    kernel_options: tuple[str, ...],
) -> int:
    """Build a kernel, and store it in the cache.

    \b
    Examples:
      harness build --kasan
      harness build --source ~/src --rev stable/14 --kernconf GENERIC-KASAN
    """
    sanitizers = asked.of_kernel() or NONE
    what = named_kernel(
        app, source, kernconf, Change(revision, patch, mutant), None, kernel_options
    )
    with LiveRows(app.messages, app.clock, verbose=app.verbosity > 0) as rows:
        with shown_row(rows, "build") as progress:
            kernel = app.kernels(app.messages.say).provide(what, sanitizers, progress)
        rows.done("build", "ready", good=True)
    app.paper.print(f"{kernel.identity.release} {kernel.identity.label}", markup=False)
    app.paper.print(str(kernel.kernel), markup=False)
    app.emit({**kernel.identity.document(), "kernel": kernel.kernel, "debug": kernel.debug})
    return 0
