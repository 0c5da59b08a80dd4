"""``harness stop``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.cli.completion import complete_guests
from harness.cli.options import common_options
from harness.errors import UsageError
from harness.guest.registry import LATEST, KeptGuest, Registry
from harness.results.store import Store

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command()
@click.argument("guest", metavar="[RUN|NAME]", required=False, shell_complete=complete_guests)
@click.option("--all", "everything", is_flag=True, help="Stop all guests.")
@common_options
def stop(app: App, guest: str | None, *, everything: bool) -> int:
    """Stop guests that 'boot --keep' left running.

    Without an argument, stop the only guest; with a record's name, all guests of it. Their records
    are kept. A guest that has already ended is not an error.

    \b
    Examples:
      harness stop
      harness stop kasan-numa4
      harness stop --all
    """
    if guest is not None and everything:
        raise UsageError("--all and a name exclude each other", remedy="leave one of them out")
    registry = Registry(app.workspace, app.clock)
    for line in registry.of_older_versions():
        app.warn(line)
    chosen = _chosen(registry, guest, Store(app.runs), everything=everything)
    for one in chosen:
        registry.end(one)
        app.paper.print(f"{one.name}: ended", markup=False)
    if not chosen:
        app.messages.say("nothing to stop: no such guest is running")
    app.emit({"ended": [one.name for one in chosen]})
    return 0


def _chosen(
    registry: Registry, name: str | None, store: Store, *, everything: bool
) -> list[KeptGuest]:
    live = registry.live()
    if name is not None:
        # All guests of a known run may have ended; an unknown name is an error.
        known = name == LATEST or name in store.names()
        return registry.find(name) if live or not known else []
    if len(live) > 1 and not everything:
        raise UsageError(
            f"{len(live)} guests are running", remedy=f"name one of {_names(live)}, or use --all"
        )
    return live


def _names(live: list[KeptGuest]) -> str:
    return ", ".join(guest.name for guest in live)
