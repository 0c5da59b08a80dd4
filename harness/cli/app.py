"""The environment of commands."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.messages import Messages
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.provide.sources import NAMED_SOURCES
from harness.runs.environment import Environment
from harness.source.location import existing_location, source_location

if TYPE_CHECKING:
    from rich.console import Console

    from harness.cli.streams import Invocation, Streams

_WIDE = 200


@dataclass(frozen=True, kw_only=True)
class App(Environment):
    """The environment of a command, with its output.

    Args:
        as_json: whether to print one JSON document on standard output.
        verbosity: -1 quiet, 0 normal, 1 verbose.
        streams: standard output and standard error.
    """

    as_json: bool
    verbosity: int
    streams: Streams

    @property
    def messages(self) -> Messages:
        """Progress and warnings, on standard error."""
        return Messages(quiet=self.verbosity < 0)

    @property
    def paper(self) -> Console:
        """Results, on standard output; nothing is printed with ``--json``."""
        from harness.cli.safeconsole import SafeConsole

        # Without a terminal, lines are not wrapped.
        width = None if sys.stdout.isatty() else _WIDE
        return SafeConsole(quiet=self.as_json, width=width)

    def existing_source(self, flag: str | None) -> str:
        """Return the source tree, given ``--source``.

        Raises:
            UsageError: it is neither a URL nor an existing directory.
        """
        return existing_location(flag, lambda: self.settings.source.tree, NAMED_SOURCES)

    def source(self, flag: str | None) -> str:
        """Return the location of the source tree, given ``--source``, without checking it."""
        return source_location(flag, lambda: self.settings.source.tree)

    def emit(self, document: Mapping[str, Any]) -> None:
        """Print a JSON document with the key ``schema``, if ``--json`` was given."""
        if self.as_json:
            self.streams.write_document(document)

    def warn(self, message: str) -> None:
        """Print a warning on standard error."""
        self.messages.warn(message)


def make_app(
    *, as_json: bool, out: Path | None, verbosity: int, invocation: Invocation, sandbox: bool
) -> App:
    """Return the environment of a command on this host."""
    workspace = Workspace.of_user()
    workspace.require_own()
    retry = invocation.retry
    return App(
        workspace=workspace,
        runner=HostRunner(),
        clock=HostClock(),
        out=out,
        sandbox=sandbox,
        command=retry.command if retry else invocation.arguments,
        retry=retry,
        as_json=as_json,
        verbosity=verbosity,
        streams=invocation.streams,
    )


pass_app = click.make_pass_decorator(App)
