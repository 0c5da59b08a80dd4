"""Where the kernels that a user names come from, and what is known of them there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from harness.check.subject import Specification
    from harness.host.progress import Progress
    from harness.image.media import BootMethod
    from harness.kernel.artifact import KernelArtifact
    from harness.mutation.mutant import Mutant
    from harness.onhost.programs import HostProgram
    from harness.sanitizers import Sanitizers
    from harness.source.codefacts import Facts
    from harness.source.request import KernelRequest
    from harness.source.tree import SourceTree
    from harness.subsystems.subsystem import Subsystem


@dataclass(frozen=True, slots=True)
class KernelCode:
    """What is known of a kernel's code before it is built.

    Args:
        guest: what would be booted, in words.
        facts: of one subsystem.
        why: where the facts come from, in words.
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
        """What its kernels are, for errors: the subject of a sentence."""
        ...

    @property
    def boot_methods(self) -> tuple[BootMethod, ...]:
        """What can start its kernels."""
        ...

    @property
    def subsystems(self) -> tuple[Subsystem, ...]:
        """The parts of its kernels that can be checked."""
        ...

    @property
    def mutants(self) -> Mapping[str, Mutant]:
        """The mutants that its kernels may have."""
        ...

    def pair(self, what: KernelRequest) -> tuple[KernelRequest, KernelRequest] | None:
        """The kernels before and after, where there is but one pair; None if the user names it."""
        ...

    def kernel(
        self,
        what: KernelRequest,
        sanitizers: Sanitizers,
        progress: Progress,
        *,
        modules: Sequence[str] = (),
    ) -> KernelArtifact:
        """The kernel, built if it must be, and its check module for each of these subsystems.

        Raises:
            UsageError: what the user named is at fault.
            BuildError: the revision does not build.
            InfraError: the host is at fault.
        """
        ...

    def host_program(
        self, what: KernelRequest, progress: Progress, operations: int
    ) -> HostProgram | None:
        """The code as a program of the host, for so many operations; None: there is none of it.

        Raises:
            UsageError: what the user named is at fault.
            NoHostProgramError: it does not become one.
            InfraError: the host is at fault.
        """
        ...

    def specification(self, subsystem: Subsystem, what: KernelRequest, asked: str) -> Specification:
        """What that part of a kernel is held to; ``asked`` is ``--spec``.

        Raises:
            UsageError: no such variant, revision or tree, or there is no source.
            InfraError: a clone failed for the host's or the network's reasons.
        """
        ...

    def code(self, subsystem: Subsystem, what: KernelRequest, asked: str | None) -> KernelCode:
        """The code of that part of a kernel, or what ``--spec`` names for it.

        Raises as ``specification``.
        """
        ...

    def history(self, what: KernelRequest) -> SourceTree:
        """The tree with the revisions that can be searched.

        Raises:
            UsageError: there are none.
            InfraError: a clone failed for the host's or the network's reasons.
        """
        ...
