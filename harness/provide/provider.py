"""The protocol of providers, from which kernels come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.onhost.instrumentation import PLAIN, Instrumentation

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from harness.check.subject import Specification
    from harness.host.progress import Progress
    from harness.image.media import BootMethod
    from harness.kernel.artifact import KernelArtifact
    from harness.mutation.mutant import Mutant
    from harness.onhost.programs import HostProgram
    from harness.onhost.variations import ProgramVariations
    from harness.provide.revisions import Revisions
    from harness.sanitizers import Sanitizers
    from harness.source.codefacts import Facts
    from harness.source.request import KernelRequest
    from harness.source.tree import SourceTree
    from harness.subsystems.subsystem import Subsystem


@dataclass(frozen=True, slots=True)
class KernelCode:
    """Facts of a kernel's code before it is built.

    Args:
        guest: the guest that would boot, in words.
        facts: facts of one subsystem.
        why: origin of the facts, in words.
        is_freebsd: see ``KernelIdentity``.
    """

    guest: str
    facts: Facts
    why: tuple[str, ...]
    is_freebsd: bool = True


class Provider(Protocol):
    """Provides kernels of one origin: a FreeBSD tree, the built-in guest, or a file."""

    @property
    def title(self) -> str:
        """Its kernels in error messages, as the subject of a sentence."""
        ...

    @property
    def boot_methods(self) -> tuple[BootMethod, ...]:
        """The methods that can boot its kernels."""
        ...

    @property
    def subsystems(self) -> tuple[Subsystem, ...]:
        """The subsystems of its kernels that can be checked."""
        ...

    @property
    def mutants(self) -> Mapping[str, Mutant]:
        """The mutants that can be applied to its kernels."""
        ...

    def pair(self, what: KernelRequest) -> tuple[KernelRequest, KernelRequest] | None:
        """Return the kernels before and after if only one pair exists; else None."""
        ...

    def kernel(
        self,
        what: KernelRequest,
        sanitizers: Sanitizers,
        progress: Progress,
        *,
        modules: Sequence[str] = (),
    ) -> KernelArtifact:
        """Return the kernel, cached or built, with the check modules of these subsystems.

        Raises:
            UsageError: the user's arguments are wrong.
            BuildError: the revision does not build.
            InfraError: the host is at fault.
        """
        ...

    def host_program(
        self, what: KernelRequest, progress: Progress, operations: int,
        instrumentation: Instrumentation = PLAIN,
    ) -> HostProgram | None:  # fmt: skip
        """Return the code as a host program; None if the provider has none.

        Args:
            what: the kernel.
            progress: shows stages.
            operations: for so many of them.
            instrumentation: what the compiler adds; a program that counts what is executed is not
                optimised.

        Raises:
            UsageError: the user's arguments are wrong.
            NoHostProgramError: the code does not compile as one.
            InfraError: the host is at fault.
        """
        ...

    def host_variations(
        self, what: KernelRequest, progress: Progress
    ) -> AbstractContextManager[ProgramVariations]:
        """Return programs of the code with another text of one file, while the context lasts.

        Raises:
            UsageError: the provider has no host programs.
            NoHostProgramError: the code does not compile as one.
            InfraError: the host is at fault.
        """
        ...

    def specification(self, subsystem: Subsystem, what: KernelRequest, asked: str) -> Specification:
        """Return the specification of a subsystem; ``asked`` is ``--spec``.

        Raises:
            UsageError: no such variant, revision or tree, or there is no source.
            InfraError: cloning failed because of the host or the network.
        """
        ...

    def code(self, subsystem: Subsystem, what: KernelRequest, asked: str | None) -> KernelCode:
        """Return the facts of a subsystem's code, or of the code that ``--spec`` names.

        Raises as ``specification``.
        """
        ...

    def history(self, what: KernelRequest) -> SourceTree:
        """Return the tree whose revisions can be searched.

        Raises:
            UsageError: there are none.
            InfraError: cloning failed because of the host or the network.
        """
        ...

    def world_tree(self, what: KernelRequest) -> SourceTree:
        """Return the tree of the worlds that its kernels run.

        Raises:
            UsageError: its kernels run none, or it has no tree.
            InfraError: cloning failed because of the host or the network.
        """
        ...

    def revisions(
        self,
        tree: SourceTree,
        what: KernelRequest,
        sanitizers: Sanitizers,
        ends: Sequence[str],
        *,
        modules: Sequence[str] = (),
    ) -> Revisions:
        """The kernels of the revisions of ``history``.

        Args:
            tree: of ``history``.
            what: source and configuration, and the mutant of each kernel.
            sanitizers: of the kernels.
            ends: the hashes of the newest revision and of those that the history starts with.
            modules: the subsystems whose check module is needed, too.

        Raises as ``history``.
        """
        ...
