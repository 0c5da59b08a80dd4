"""An environment in which runs take milliseconds: made-up kernels and scripted guests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from fake_guests import made_kernel

from harness.bisect.history import FREEBSD, Relevance
from harness.check.subject import Specification
from harness.config import Settings
from harness.errors import BuildError, InfraError, UsageError
from harness.guest.fake import FakeBackend, Script
from harness.guest.spec import GuestSpec
from harness.host.clock import ManualClock
from harness.host.process import HostRunner
from harness.host.progress import Progress
from harness.host.workspace import Workspace
from harness.image.media import BootMethod
from harness.kernel.artifact import KernelArtifact
from harness.mutation.mutant import Mutant
from harness.onhost.instrumentation import PLAIN, Instrumentation
from harness.onhost.programs import HostProgram
from harness.onhost.variations import ProgramVariations
from harness.provide.provider import KernelCode
from harness.provide.revisions import Revisions
from harness.runs.environment import Environment
from harness.runs.guests import GuestRequest
from harness.sanitizers import Sanitizers
from harness.source.codefacts import Facts
from harness.source.request import KernelRequest
from harness.source.tree import SourceTree
from harness.subsystems.subsystem import Subsystem
from harness.subsystems.table import SUBSYSTEMS

NODES = GuestRequest(numa="2", accelerator="tcg")
"""Two nodes; the accelerator is not measured."""


@dataclass
class FakeProvider:
    """Provides made-up kernels; see ``harness.provide.provider.Provider``.

    Args:
        directory: directory of their files.
        number: returns a kernel's number for a request; its exceptions end the build.
        tree: the tree whose revisions can be searched; None: there is none.
        modules: whether kernels have the requested check modules.
        asked: every request, in order.
    """

    directory: Path
    number: Callable[[KernelRequest], int] = lambda _: 0
    tree: SourceTree | None = None
    subsystems: tuple[Subsystem, ...] = SUBSYSTEMS
    mutants: Mapping[str, Mutant] = field(default_factory=dict)
    asked: list[KernelRequest] = field(default_factory=list)
    title: str = "a made kernel"
    boot_methods: tuple[BootMethod, ...] = (BootMethod.DIRECT,)

    def pair(self, what: KernelRequest) -> None:
        del what

    def kernel(
        self,
        what: KernelRequest,
        sanitizers: Sanitizers,
        progress: Progress,
        *,
        modules: Sequence[str] = (),
    ) -> KernelArtifact:
        del progress, modules
        self.asked.append(what)
        mutant = what.change.mutant
        return made_kernel(
            self.directory, self.number(what), mutant=mutant, commit=what.change.revision
        )

    def host_program(
        self, what: KernelRequest, progress: Progress, operations: int,
        instrumentation: Instrumentation = PLAIN,
    ) -> HostProgram | None:  # fmt: skip
        del what, progress, operations, instrumentation
        return None

    def host_variations(
        self, what: KernelRequest, progress: Progress
    ) -> AbstractContextManager[ProgramVariations]:
        del what, progress
        raise UsageError("no host program is made", remedy="use another provider")

    def specification(self, subsystem: Subsystem, what: KernelRequest, asked: str) -> Specification:
        del what
        form = "13.2" if subsystem.is_modelled else subsystem.variant_names[0]
        return replace(subsystem.held_to(subsystem.variant(form)), why="it is made so", asked=asked)

    def code(self, subsystem: Subsystem, what: KernelRequest, asked: str | None) -> KernelCode:
        del what, asked
        return KernelCode("made", Facts(subsystem.variant("13.2")), ())

    def history(self, what: KernelRequest) -> SourceTree:
        del what
        if self.tree is None:
            raise UsageError("a made kernel has no history", remedy="name a tree")
        return self.tree

    def world_tree(self, what: KernelRequest) -> SourceTree:
        return self.history(what)

    def revisions(
        self,
        tree: SourceTree,
        what: KernelRequest,
        sanitizers: Sanitizers,
        ends: Sequence[str],
        *,
        modules: Sequence[str] = (),
    ) -> Revisions:
        del tree, ends, modules
        return FakeRevisions(self, what, sanitizers)


@dataclass
class FakeRevisions:
    """Provides the made-up kernels of a history; see ``harness.provide.revisions.Revisions``."""

    provider: FakeProvider
    what: KernelRequest
    sanitizers: Sanitizers
    title: str = "a made kernel"
    relevance: Relevance = FREEBSD

    @property
    def subsystems(self) -> tuple[Subsystem, ...]:
        return self.provider.subsystems

    def kernel(self, commit: str, progress: Progress) -> KernelArtifact:
        what = replace(self.what, change=replace(self.what.change, revision=commit))
        return self.provider.kernel(what, self.sanitizers, progress)

    def specification(self, subsystem: Subsystem, commit: str) -> Specification:
        return self.provider.specification(subsystem, self.what, commit)


def does_not_build(_: KernelRequest) -> int:
    raise BuildError("it does not build")


def host_fails(_: KernelRequest) -> int:
    raise InfraError("the disk is full")


@contextmanager
def fake_environment(
    directory: Path, script: Callable[[GuestSpec], Script], provider: FakeProvider | None = None
) -> Iterator[Environment]:
    """Yield an environment whose guests follow the script; only their time passes."""
    clock = ManualClock()
    with tempfile.TemporaryDirectory(prefix="hf-") as short:  # as a socket's path must be
        runner = HostRunner()
        env = Environment(
            workspace=Workspace(directory / "cache", directory / "state", Path(short)),
            runner=runner,
            clock=clock,
            out=directory / "runs",
            command=("boot", "--numa", "2"),
            backend=FakeBackend(clock, script),
            provider=provider or FakeProvider(directory),
        )
        vars(env)["settings"] = Settings()  # not the user's
        try:
            yield env
        finally:
            runner.close()
