"""The environment of runs: the host, the user's settings, and the directory of records."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
    """The cells of a run to repeat.

    Args:
        run: name of the record.
        command: the arguments of that run.
        cells: their names.
    """

    run: str
    command: tuple[str, ...]
    cells: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The host and the user of a run.

    Args:
        workspace: the harness's directories.
        runner: starts programs.
        clock: measures time.
        out: directory of records; None: the workspace's ``runs``.
        sandbox: False disables the sandbox, overriding the settings.
        command: the arguments in the record, with which the run can be repeated.
        retry: the cells to repeat; None: a new run.
        ending: set when everything is to stop.
        backend: starts all guests; None: the backend of the request or the settings.
        provider: provides all kernels; None: the provider of the source.
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
        """Return the environment of this host with the user's directories and settings.

        Raises:
            InfraError: the directories are not the user's own.
        """
        workspace = Workspace.of_user()
        workspace.require_own()
        return cls(workspace=workspace, runner=HostRunner(), clock=HostClock(), out=out)

    @functools.cached_property
    def settings(self) -> Settings:
        """The user's settings, read on first use."""
        from harness.config import load_settings

        return load_settings()

    @property
    def logs(self) -> LogLimits:
        """The limits of logs."""
        from harness.config import log_limits

        return log_limits(self.settings)

    @property
    def runs(self) -> Path:
        """The directory of records."""
        return self.out or self.workspace.runs

    @property
    def sandboxed(self) -> bool:
        """Whether FreeBSD trees are built in a sandbox."""
        return self.sandbox and self.settings.build.sandbox

    @property
    def trusted(self) -> tuple[Path, ...]:
        """Source trees of other users that may be read."""
        return self.settings.source.trust

    def apart(self) -> Environment:
        """Return this environment with a runner and an end of its own.

        What stops there, such as a bisection, stops nothing here.
        """
        made = replace(self, runner=HostRunner(), ending=threading.Event())
        vars(made)["settings"] = self.settings
        return made

    def open_tree(self, source: str) -> SourceTree:
        """Return the source tree at a directory or URL."""
        return self.kernels().open_tree(source)

    def kernels(self, note: Callable[[str], None] = lambda _: None) -> Kernels:
        """Return the provider of kernels, with this host's caches and compilers.

        Args:
            note: called with a message if another process holds a tree's lock.
        """
        from harness.provide.kernels import Kernels

        return Kernels(
            self.workspace, self.runner, self.clock, trusted=self.trusted,
            sandboxed=self.sandboxed, logs=self.logs, note=note, given=self.provider,
        )  # fmt: skip
