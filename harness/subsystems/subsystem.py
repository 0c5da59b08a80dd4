"""What a part of the kernel is to the harness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from harness.source.codefacts import CodeReader, Facts

if TYPE_CHECKING:
    from harness.cases import NamedCase
    from harness.check.subject import ModelRun, Specification, Trace
    from harness.console.report import GuestReport, ReportRecords, SubsystemReport
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelIdentity
    from harness.mutation.mutant import Mutant
    from harness.onhost.part import HostPart
    from harness.outcome import Expectation
    from harness.sanitizers import Sanitizers
    from harness.subsystems.models import BootModel, StateSearch


class Subsystem(CodeReader, Protocol):
    """A part of the kernel: reads its facts of a tree, and knows what follows from them."""

    @property
    def mutants(self) -> Mapping[str, Mutant]:
        """The changes of its code that have a name."""

    @property
    def cases(self) -> tuple[NamedCase, ...]:
        """Real bugs of its code."""

    @property
    def variant_names(self) -> Sequence[str]:
        """The forms of its code that have a name."""

    @property
    def is_modelled(self) -> bool:
        """Whether it has a model. Without one, its host program is searched, and guests repeat."""

    def variant(self, name: str) -> Mapping[str, bool]:
        """The facts of such a form.

        Raises:
            UsageError: there is none of that name.
        """

    def with_commit(self, values: Mapping[str, bool]) -> Mapping[str, bool]:
        """The facts as they should be: with the change that all kernels are to have."""

    def held_to(self, values: Mapping[str, bool]) -> Specification:
        """What a kernel is held to whose code should have these facts."""

    @property
    def on_host(self) -> HostPart | None:
        """Its part of a program of the host; None: it is checked in guests alone."""

    @property
    def in_built_in(self) -> bool:
        """Whether the built-in guest has this part."""

    def of_built_in(self, mutant: str | None) -> Facts:
        """The facts of the built-in guest, with that mutant or none."""

    def expected(self, identity: KernelIdentity, topology: Topology) -> Expectation | None:
        """What a kernel should come to on a guest with that topology; None if this part of the
        kernel has no say in it.
        """

    def boot_model(
        self, values: Mapping[str, bool], sanitizers: Sanitizers, *, is_freebsd: bool
    ) -> BootModel | None:
        """What predicts boots of a kernel whose code has these facts; None: it predicts none.

        Args:
            values: the facts.
            sanitizers: of the kernel.
            is_freebsd: see ``KernelIdentity``.
        """

    @property
    def state_search(self) -> StateSearch | None:
        """Searches states of its model; None: it has none."""

    def has_written(self, text: str) -> bool:
        """Whether a text looks like one of its traces."""

    def read_trace(self, text: str) -> Trace:
        """A trace that ``harness check`` has written.

        Raises:
            UsageError: the text is none, or has what no kernel may be asked.
        """

    def run_in_model(self, text: str, variant: str | None) -> ModelRun:
        """Run a trace in the model; ``variant`` names another form of the code than its own.

        Raises:
            UsageError: the text is no trace, or there is no such form; a step may raise it, too.
        """

    def reported(self, records: ReportRecords) -> SubsystemReport | None:
        """What init's report has of it, by the records of its ``c/init``; None: nothing.

        Raises:
            ReportError: a record is missing, repeated or malformed.
        """

    def oddities(
        self,
        report: GuestReport,
        usual: Sequence[GuestReport],
        identity: KernelIdentity,
        topology: Topology,
    ) -> frozenset[str]:
        """What a running kernel says of itself that one without a mutant would not.

        Args:
            report: what it says.
            usual: what the kernel without the mutant has said on that topology, at least once.
            identity: of that kernel.
            topology: of the guests.
        """
