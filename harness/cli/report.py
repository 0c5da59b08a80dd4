"""``harness report``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.cli.completion import complete_runs
from harness.cli.options import common_options
from harness.results.bisect import bisect_lines
from harness.results.store import Store
from harness.results.text import print_document

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command()
@click.argument("run", default="latest", shell_complete=complete_runs)
@common_options
def report(app: App, run: str) -> int:
    """Print the outcome of a run; RUN is a record's name or 'latest'.

    \b
    Examples:
      harness report
      harness report 20260102-030405-compare --json
    """
    document = Store(app.runs).load(run)
    if "bisect" in document:
        for line in bisect_lines(document):
            app.paper.print(line, markup=False, soft_wrap=True)
    else:
        print_document(document, app.paper, verbose=app.verbosity > 0)
    app.emit(document)
    code: int = document["exit_code"]
    return code
