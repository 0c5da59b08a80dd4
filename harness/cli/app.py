"""What every command is given."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.talk import Talk
from harness.host.clock import Clock, HostClock
from harness.host.process import HostRunner, Runner
from harness.host.workspace import Workspace
from harness.provide.sources import NAMED_SOURCES
from harness.source.location import existing_location, source_location

if TYPE_CHECKING:
    from rich.console import Console

    from harness.cli.streams import Invocation, Retry, Streams
    from harness.config import Settings
    from harness.host.loglimits import LogLimits
    from harness.provide.kernels import Kernels
    from harness.source.tree import SourceTree

_WIDE = 200


@dataclass(frozen=True)
class App:
    """The host's verbs and the way to tell the user.

    Args:
        workspace: the harness's folders.
        runner: starts programs.
        clock: tells time.
        as_json: one JSON document on standard output, all else on standard error.
        out: where records go; None for the workspace's ``runs``.
        verbosity: -1 quiet, 0 normal, 1 verbose.
        streams: standard output and standard error.
        sandbox: False: ``--no-sandbox`` was given.
        command: the arguments that a record keeps.
        retry: the cells of a run that are repeated; None for a run of its own.
        ending: set as soon as a signal ends the command.
    """

    workspace: Workspace
    runner: Runner
    clock: Clock
    as_json: bool
    out: Path | None
    verbosity: int
    streams: Streams
    sandbox: bool = True
    command: tuple[str, ...] = ()
    retry: Retry | None = None
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def sandboxed(self) -> bool:
        """Whether FreeBSD trees are built in a sandbox."""
        return self.sandbox and self.settings.build.sandbox

    @property
    def trusted(self) -> tuple[Path, ...]:
        """Source trees that are read although another user owns them."""
        return self.settings.source.trust

    def open_tree(self, source: str) -> SourceTree:
        """The source tree at a directory or URL."""
        return self.kernels().open_tree(source)

    def kernels(self) -> Kernels:
        """Provides kernels from this host's caches and compilers."""
        from harness.provide.kernels import Kernels

        return Kernels(
            self.workspace, self.runner, self.clock, trusted=self.trusted,
            sandboxed=self.sandboxed, logs=self.logs, note=self.talk.say,
        )  # fmt: skip

    @property
    def runs(self) -> Path:
        """The folder that records are put into."""
        return self.out or self.workspace.runs

    @property
    def talk(self) -> Talk:
        """Where people are told of progress and remarks: standard error."""
        return Talk(quiet=self.verbosity < 0)

    @property
    def paper(self) -> Console:
        """Where people read results: standard output, or nowhere with ``--json``."""
        from harness.cli.paper import Paper

        # Where no terminal says how wide it is, a line may be as long as it is.
        width = None if sys.stdout.isatty() else _WIDE
        return Paper(quiet=self.as_json, width=width)

    @functools.cached_property
    def settings(self) -> Settings:
        """The user's settings, read when they are first needed."""
        from harness.config import load_settings

        return load_settings()

    @property
    def logs(self) -> LogLimits:
        """The limits of logs, of the user's settings."""
        from harness.config import log_limits

        return log_limits(self.settings)

    def existing_source(self, flag: str | None) -> str:
        """The same as ``source``, for what reads it.

        Raises:
            UsageError: it is no URL, and is not there.
        """
        return existing_location(flag, lambda: self.settings.source.tree, NAMED_SOURCES)

    def source(self, flag: str | None) -> str:
        """Which source tree is meant, given ``--source``."""
        return source_location(flag, lambda: self.settings.source.tree)

    def emit(self, document: Mapping[str, Any]) -> None:
        """The JSON document of a command, if it was asked for; ``schema`` is put before it."""
        if self.as_json:
            self.streams.write_document(document)

    def warn(self, message: str) -> None:
        """A remark that does not end the command."""
        self.talk.warn(message)


def make_app(
    *, as_json: bool, out: Path | None, verbosity: int, invocation: Invocation, sandbox: bool
) -> App:
    """The real one, on this host."""
    workspace = Workspace.of_user()
    workspace.require_own()
    retry = invocation.retry
    return App(
        workspace, HostRunner(), HostClock(), as_json, out, verbosity,
        invocation.streams, sandbox, retry.command if retry else invocation.arguments, retry,
    )  # fmt: skip


pass_app = click.make_pass_decorator(App)
