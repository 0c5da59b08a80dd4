"""``harness ssh``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from harness.cli.completion import complete_guests
from harness.cli.exec import command_line
from harness.cli.options import common_options
from harness.errors import UsageError
from harness.guest.devices import LOOPBACK
from harness.guest.registry import LATEST, KeptGuest, Registry
from harness.host.process import become
from harness.world.image import World, WorldCache

if TYPE_CHECKING:
    from harness.cli.app import App

_HOST: Final = "guest"
"""The name under which the host key is known: ports change from guest to guest."""


class _Ssh(click.Command):
    """A command whose first argument may be left out before ``--``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            before = args.index("--")
            if all(word.startswith("-") for word in args[:before]):
                args = [*args[:before], LATEST, *args[before:]]
        return super().parse_args(ctx, args)


@click.command(cls=_Ssh, context_settings={"allow_interspersed_args": False})
@click.argument("guest", metavar="[RUN|NAME]", required=False, shell_complete=complete_guests)
@click.argument("words", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
@common_options
def ssh(app: App, guest: str | None, words: tuple[str, ...]) -> int:
    """Log in to a guest that 'boot --until ssh --keep' left running.

    With COMMAND, run that in it. It is the host's ssh(1), with the image's keys, without your own
    configuration and keys. The exit code is that of ssh. With --json, only its command line is
    printed.

    \b
    Examples:
      harness boot --numa 2 --kasan --until ssh --keep
      harness ssh
      harness ssh -- vmstat -z
    """
    chosen = _chosen(Registry(app.workspace, app.clock), guest)
    world = WorldCache(app.workspace).find(chosen.world)
    if world is None:
        raise UsageError(
            f"the image of {chosen.name} is no longer in the cache, and with it its keys",
            remedy=f"use its console: harness console --interactive {chosen.name}",
        )
    known = _known_hosts(world, app.workspace.private_runtime())
    words = words[1:] if words[:1] == ("--",) else words
    command = [command_line(words)] if words else []
    arguments = ["ssh", *_options(chosen, world, known), f"root@{_HOST}", *command]
    if not app.as_json:
        become(arguments)
    app.emit({"command": arguments})
    return 0


def _options(guest: KeptGuest, world: World, known: Path) -> list[str]:
    """Return the options of ssh(1); see ssh_config(5)."""
    settings = {
        "HostName": LOOPBACK, "Port": guest.port, "HostKeyAlias": _HOST,
        "UserKnownHostsFile": known, "GlobalKnownHostsFile": os.devnull,
        "StrictHostKeyChecking": "yes", "IdentitiesOnly": "yes", "IdentityFile": world.key,
        "IdentityAgent": "none", "PasswordAuthentication": "no", "LogLevel": "ERROR",
    }  # fmt: skip
    return ["-F", "none", *(f"-o{name}={value}" for name, value in settings.items())]


def _known_hosts(world: World, directory: Path) -> Path:
    """Write the image's host key where ssh(1) finds it; one file serves all its guests."""
    path = directory / f"known-hosts-{world.identity.key[:20]}"
    with tempfile.NamedTemporaryFile("w", dir=directory, delete=False) as file:
        file.write(f"{_HOST} {world.host_key}\n")
    Path(file.name).replace(path)
    return path


def _chosen(registry: Registry, name: str | None) -> KeptGuest:
    """Return the guest with a world that is named, or the only one.

    Raises:
        UsageError: there is none, or there are several.
    """
    live = registry.find(name) if name else registry.live()
    found = [guest for guest in live if guest.world and guest.port]
    if not found:
        raise UsageError(
            "no guest with FreeBSD's userland is running",
            remedy="start one: harness boot --until ssh --keep",
        )
    if len(found) > 1:
        names = ", ".join(guest.name for guest in found)
        raise UsageError(f"{len(found)} guests are running", remedy=f"name one of {names}")
    return found[0]
