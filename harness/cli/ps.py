"""``harness ps``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from harness.cli.options import common_options
from harness.guest.registry import KeptGuest, Registry, to_document

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command()
@common_options
def ps(app: App) -> int:
    """List guests that 'boot --keep' left running.

    \b
    Examples:
      harness ps
      harness ps --json
    """
    registry = Registry(app.workspace, app.clock)
    guests = registry.live()
    for line in registry.of_older_versions():
        app.warn(line)
    if guests:
        app.paper.print(_table(guests, app.clock.now()))
    else:
        app.messages.say("no guest is running; to keep one: harness boot --keep")
    app.emit({"guests": [to_document(guest) for guest in guests]})
    return 0


def _table(guests: Sequence[KeptGuest], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "guest", "backend", "nodes", "up for", "run"):
        table.add_column(heading, overflow="fold")
    for guest in guests:
        seconds = (now - datetime.fromisoformat(guest.started)).total_seconds()
        cells = (guest.name, guest.guest, guest.backend, str(guest.nodes), format_age(seconds))
        table.add_row(*(Text(cell) for cell in (*cells, guest.run)))
    return table


def format_age(seconds: float) -> str:
    """Return a duration in at most two units: ``5 s``, ``3 min``, ``2 h 10 min``, ``4 d 3 h``."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{max(0, int(seconds))} s"
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
