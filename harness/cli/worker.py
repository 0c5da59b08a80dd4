"""``harness worker``: run what a group of machines leases to this host."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from harness.cli.nightlyplan import require_group
from harness.cli.options import DIRECTORY, common_options
from harness.errors import given_with
from harness.history.url import DatabaseUrl
from harness.host.cachesize import parse_size

if TYPE_CHECKING:
    from harness.cli.app import App

#: The program of a cell, in a process of its own.
_PROGRAM: Final = (sys.executable, "-c", "from harness.cli.entry import main; main()")


def _url(ctx: click.Context, param: click.Parameter, value: str) -> DatabaseUrl:
    del ctx, param
    return DatabaseUrl.parse(value)


@click.command()
@click.argument("url", callback=_url)
@click.option("--name", metavar="HOST", help="Name of this host in the group; default: its own.")
@click.option("--cores", type=click.FloatRange(min=0.01), metavar="N",
              help="Cores for the group; may be a fraction; default: all.")  # fmt: skip
@click.option("--memory", metavar="SIZE",
              help="Memory for the group: 4G, 512M; default: what is available now.")  # fmt: skip
@click.option("--allow-commands", is_flag=True,
              help="Run vm files whose machines are started by commands on this host.")  # fmt: skip
@click.option("--cell", type=DIRECTORY, hidden=True)
@common_options
def worker(
    app: App, url: DatabaseUrl, name: str | None, cores: float | None, memory: str | None,
    cell: Path | None, *, allow_commands: bool,
) -> None:  # fmt: skip
    """Run what 'nightly run --workers' leases to this host, until it is ended.

    URL is the group's database with the worker's role, which 'harness group init' made. SIGTERM or
    Ctrl-C: it finishes what it has, and takes nothing more. Cells go on if it is killed; the next
    worker of this name reports them.

    \b
    Examples:
      harness worker "postgresql://harness_worker@db/nights?passfile=pgpass"
      harness worker URL --name fast --cores 4 --memory 16G
    """
    require_group()
    from harness.cli.view import UserView

    if cell is not None:
        from harness.group.celldirectory import CellDirectory
        from harness.runs.groupworker import cell_environment
        from harness.runs.nights.groupcell import run_cell

        run_cell(CellDirectory(cell), url, cell_environment(app), UserView(app))
        return
    from harness.runs.groupworker import WorkRequest, work

    size = None
    if memory is not None:
        with given_with(f"--memory {memory}"):
            size = parse_size(memory)
    program = (*_PROGRAM, "worker", str(url), "--cell")
    request = WorkRequest(url, program, name, cores, size, allow_commands)
    host = work(request, app, UserView(app), _leaving())
    app.emit({"host": host, "history": url.label})


def _leaving() -> threading.Event:
    """Return what the first SIGTERM or Ctrl-C sets; a second one ends the worker at once."""
    leaving = threading.Event()

    def leave(signum: int, frame: object) -> None:
        del frame
        signal.signal(signum, before[signal.Signals(signum)])
        leaving.set()

    before = {signum: signal.signal(signum, leave) for signum in (signal.SIGTERM, signal.SIGINT)}
    return leaving
