"""``harness console``."""

from __future__ import annotations

import sys

import click

from harness.cli.app import App
from harness.cli.options import common_options
from harness.errors import UsageError
from harness.results.store import Store
from harness.results.text import printable


@click.command()
@click.argument("run", default="latest")
@click.argument("cell", required=False)
@click.option("--raw", is_flag=True, help="The bytes as they came, control characters and all.")
@common_options
def console(app: App, run: str, cell: str | None, *, raw: bool) -> int:
    """Print a guest's console; CELL is needed where a run has several.

    \b
    Examples:
      harness console
      harness console latest before-kasan-numa4
    """
    folder = Store(app.runs).find(run)
    logs = {path.parent.name: path for path in sorted(folder.glob("*/console.log"))}
    name = cell or (next(iter(logs)) if len(logs) == 1 else None)
    if name not in logs:
        asked = f"no cell {cell!r}" if cell else f"{len(logs)} cells"
        raise UsageError(
            f"run {folder.name} has {asked}", remedy=f"name one of: {', '.join(logs) or 'none'}"
        )
    with logs[name].open("rb") as log:
        if raw:
            for block in iter(lambda: log.read(1 << 16), b""):
                sys.stdout.buffer.write(block)
            return 0
        while line := log.readline(1 << 16):
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            sys.stdout.write(printable(text) + "\n")
    return 0
