"""What runs work with: the host's verbs, the user's settings, and where records go."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.clock import Clock, HostClock
from harness.host.process import HostRunner, Runner
from harness.host.workspace import Workspace

if TYPE_CHECKING:
    from harness.config import Settings
    from harness.guest.backend import Backend
    from harness.host.loglimits import LogLimits
    from harness.provide.kernels import Kernels
    from harness.provide.provider import Provider
    from harness.source.tree import SourceTree


@dataclass(frozen=True, slots=True)
class Retry:
    """The cells of a run that are to be repeated.

    Args:
        run: the name of its record.
        command: the arguments of that run.
        cells: their names.
    """

    run: str
    command: tuple[str, ...]
    cells: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The host that runs are made on, and in whose name.

    Args:
        workspace: the harness's directories.
        runner: starts programs.
        clock: tells time.
        out: where records go; None for the workspace's ``runs``.
        sandbox: False leaves the sandbox out, whatever the settings say.
        command: the arguments that a record keeps, by which it can be repeated.
        retry: the cells of a run that are repeated; None for a run of its own.
        ending: set as soon as all that runs is to end.
        backend: starts all guests; None: the one that a request or the settings name.
        provider: provides all kernels; None: that of their origin.
    """

    workspace: Workspace
    runner: Runner
    clock: Clock
    out: Path | None = None
    sandbox: bool = True
    command: tuple[str, ...] = ()
    retry: Retry | None = None
    ending: threading.Event = field(default_factory=threading.Event)
    backend: Backend | None = None
    provider: Provider | None = None

    @classmethod
    def of_user(cls, out: Path | None = None) -> Environment:
        """This host, with the user's directories and settings.

        Raises:
            InfraError: the directories are not the user's own.
        """
        workspace = Workspace.of_user()
        workspace.require_own()
        return cls(workspace=workspace, runner=HostRunner(), clock=HostClock(), out=out)

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

    @property
    def runs(self) -> Path:
        """The directory that records are put into."""
        return self.out or self.workspace.runs

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

    def kernels(self, note: Callable[[str], None] = lambda _: None) -> Kernels:
        """Provides kernels from this host's caches and compilers.

        Args:
            note: told who holds a tree, if somebody does.
        """
        from harness.provide.kernels import Kernels

        return Kernels(
            self.workspace, self.runner, self.clock, trusted=self.trusted,
            sandboxed=self.sandboxed, logs=self.logs, note=note, given=self.provider,
        )  # fmt: skip
