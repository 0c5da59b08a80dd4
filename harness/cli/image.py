"""``harness image``: images of worlds."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from harness.cli.commandgroup import CommandGroup
from harness.cli.completion import complete_revisions, complete_sources
from harness.cli.imageimport import image_import
from harness.cli.imageoutput import image_document
from harness.cli.options import NamedPath, common_options
from harness.cli.progress import LiveRows
from harness.errors import UsageError
from harness.host.cachesize import disk_usage, format_size, remove
from harness.host.inuse import claimed
from harness.host.sealedstore import stored_at
from harness.runs.view import shown_row
from harness.runs.worlds import WorldRequest, build_world
from harness.world.config import Services, WorldKind, world_config
from harness.world.image import WorldCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.cli.app import App
    from harness.world.image import World

_FOLDER = NamedPath(path_type=Path, file_okay=False)


@click.group(cls=CommandGroup)
def image() -> None:
    """Build, import, list and remove images of FreeBSD's userland.

    \b
    Examples:
      harness image build
      harness image build --world tests --suite tests/sys/vm
      harness image import FreeBSD-15.1-ufs.qcow2.xz
      harness image ls
    """


image.add_command(image_import)


@image.command()
@click.option("--source", metavar="TREE|URL", help="A FreeBSD tree.",
              shell_complete=complete_sources)  # fmt: skip
@click.option("--rev", "revision", metavar="REV", shell_complete=complete_revisions,
              help="A revision; default: the tree with uncommitted changes.")  # fmt: skip
@click.option("--world", "kind", type=click.Choice([kind.value for kind in WorldKind]),
              default=WorldKind.SLIM.value, show_default=True,
              help="How much it contains; tests: kyua and some of FreeBSD's suites.")  # fmt: skip
@click.option("--suite", "suites", multiple=True, metavar="DIR",
              help="A suite of the tree, such as tests/sys/vm, its default for --world tests "
              "with four others; repeatable.")  # fmt: skip
@click.option("--services", type=click.Choice([each.value for each in Services]),
              default=Services.FEW.value, show_default=True,
              help="What starts with a guest: little but sshd, or FreeBSD's defaults.")  # fmt: skip
@click.option("--overlay", type=_FOLDER, metavar="DIR",
              help="Lay the files of DIR over the tree before the build.")  # fmt: skip
@click.option("--no-sandbox", is_flag=True,
              help="Build without bubblewrap; makefiles can then do what you can.")  # fmt: skip
@common_options
def build(
    app: App, source: str | None, revision: str | None, kind: str, suites: tuple[str, ...],
    services: str, overlay: Path | None,
) -> int:  # fmt: skip
    """Build FreeBSD's userland from a tree, and put it into an image.

    It takes some twenty minutes. One image serves all kernels of its release.

    \b
    Examples:
      harness image build --source ~/src
      harness image build --world tests --suite tests/sys/kern
      harness image build --overlay ~/missing-files
    """
    config = world_config(WorldKind(kind), suites, Services(services))
    request = WorldRequest(app.existing_source(source), revision, config, overlay)
    started = time.monotonic()
    with LiveRows(app.messages, app.clock, verbose=app.verbosity > 0) as rows:
        with shown_row(rows, "world") as progress:
            world = build_world(request, app, progress)
        rows.done("world", "ready", good=True)
    app.messages.say(f"{time.monotonic() - started:.0f} s")
    app.paper.print(f"{world.identity.release} {world.identity.label}", markup=False)
    app.paper.print(str(world.disk), markup=False)
    app.emit(image_document(world))
    return 0


@image.command("ls")
@common_options
def list_images(app: App) -> int:
    """List the images of the cache, the newest first.

    \b
    Example:
      harness image ls
    """
    worlds = WorldCache(app.workspace).all()
    if worlds:
        app.paper.print(_table(worlds))
    else:
        app.messages.say("there are no images; build one: harness image build")
    app.emit({"images": [image_document(world) for world in worlds]})
    return 0


@image.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@common_options
def remove_images(app: App, names: tuple[str, ...]) -> int:
    """Remove images by the start of their names.

    \b
    Example:
      harness image rm 4f2a91c
    """
    chosen = [_named(name, WorldCache(app.workspace).all()) for name in names]
    for world in chosen:
        with claimed(world.directory) as free:
            if not free:
                raise UsageError(
                    f"the image {_name(world)} is in use",
                    remedy="end its guests first: harness ps, harness stop",
                )
            remove(world.directory)
        app.messages.say(f"removed {_name(world)}")
    app.emit({"removed": [world.identity.key for world in chosen]})
    return 0


def _named(name: str, worlds: Sequence[World]) -> World:
    found = [world for world in worlds if world.identity.key.startswith(name)]
    if len(found) != 1:
        what = "several images begin" if found else "no image begins"
        raise UsageError(f"{what} with {name!r}", remedy="list them: harness image ls")
    return found[0]


def _name(world: World) -> str:
    return world.identity.key[:12]


def _table(worlds: Sequence[World]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "made (UTC)", "release", "world", "revision", "size"):
        table.add_column(column, no_wrap=column == "name")
    for world in worlds:
        identity = world.identity
        made = datetime.fromtimestamp(stored_at(world.directory), UTC)
        services = ", all services" if identity.services == Services.ALL else ""
        row = (
            _name(world), f"{made:%Y-%m-%d %H:%M}", identity.release, identity.kind + services,
            identity.label, format_size(disk_usage(world.directory)),
        )  # fmt: skip
        table.add_row(*map(Text, row))
    return table
