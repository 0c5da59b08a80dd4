"""``harness report``."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.completion import complete_runs
from harness.cli.options import DIRECTORY, common_options
from harness.errors import InfraError
from harness.results.bisect import bisect_lines
from harness.results.store import Store
from harness.results.text import print_document

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command()
@click.argument("run", default="latest", shell_complete=complete_runs)
@click.option("--html", type=DIRECTORY, metavar="DIR", help="Write the report as pages into DIR.")
@common_options
def report(app: App, run: str, html: Path | None) -> int:
    """Print the outcome of a run; RUN is a record's name or 'latest'.

    \b
    Examples:
      harness report
      harness report 20260102-030405-compare --json
      harness report --html report
    """
    store = Store(app.runs)
    document = store.load(run)
    if html is not None:
        _write_pages(document, store.find(run), html)
    if "bisect" in document:
        for line in bisect_lines(document):
            app.paper.print(line, markup=False, soft_wrap=True)
    else:
        print_document(document, app.paper, verbose=app.verbosity > 0)
    app.emit(document)
    code: int = document["exit_code"]
    return code


def _write_pages(document: Mapping[str, Any], directory: Path, html: Path) -> None:
    """Write the report of a record.

    Raises:
        InfraError: a package of the extra is missing, or a page cannot be written.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise InfraError(
            "pages need a Python package that is not installed: jinja2",
            remedy="install it: pip install 'harness[html]'",
        )
    from harness.pages.rendering import Site
    from harness.pages.runsite import write_run

    write_run(Site(html), document, directory)
