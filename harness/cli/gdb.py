"""``harness gdb``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.cli.completion import complete_consoles
from harness.cli.options import common_options
from harness.debug.gdb import is_batch, run_batch
from harness.guest.registry import LATEST
from harness.runs.debug import debug, find_target

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command()
@click.argument("run", default=LATEST, shell_complete=complete_consoles)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- GDB_ARGUMENTS]")
@click.option("--cell", metavar="CELL", help="The cell, if the run has several.")
@common_options
def gdb(app: App, run: str, arguments: Sequence[str], cell: str | None) -> int:
    """Run gdb on a guest that 'boot --keep' left running, or on a memory dump.

    The guest is stopped until gdb has ended, and then runs on. gdb starts with the symbols and
    sources of its kernel, at the CPU that has panicked, if one has. Arguments after '--' are gdb's;
    exit status 0 with '-batch' does not mean that its commands have succeeded.

    \b
    Examples:
      harness gdb
      harness gdb latest -- -batch -ex bt -ex 'info threads'
      harness gdb kasan-numa2 -- -ex 'break vm_map_entry_create' -ex continue
    """
    if run.startswith("-"):  # of gdb
        run, arguments = LATEST, (run, *arguments)
    target = find_target(app, run, cell)

    def in_foreground(words: Sequence[str]) -> int:
        if not is_batch(arguments):
            app.messages.say(f"gdb on {target.name}; it runs on when gdb has ended")
        return app.runner.run_in_foreground(words)

    def captured(words: Sequence[str]) -> int:
        app.emit({"target": target.name, "output": run_batch(app.runner, [*words, "-batch"])})
        return 0

    return debug(app, target, arguments, captured if app.as_json else in_foreground, app.warn)
