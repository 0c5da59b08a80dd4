"""The protocol of subsystems: what the harness knows of a part of the kernel."""

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
    """A part of the kernel: reads facts of its code, and predicts and checks behaviour."""

    @property
    def mutants(self) -> Mapping[str, Mutant]:
        """Its mutants, by name."""

    @property
    def cases(self) -> tuple[NamedCase, ...]:
        """Named cases: real bugs of its code."""

    @property
    def variant_names(self) -> Sequence[str]:
        """Names of the known forms of its code."""

    @property
    def is_modelled(self) -> bool:
        """Whether it has a model. Else its host program is searched, and guests repeat findings."""

    def variant(self, name: str) -> Mapping[str, bool]:
        """Return the facts of a form.

        Raises:
            UsageError: there is no form of that name.
        """

    def with_commit(self, values: Mapping[str, bool]) -> Mapping[str, bool]:
        """Return the facts of the code with the change that every kernel should have."""

    def held_to(self, values: Mapping[str, bool]) -> Specification:
        """Return the specification of a kernel whose code should have these facts."""

    @property
    def on_host(self) -> HostPart | None:
        """Its part of host programs; None if it is checked only in guests."""

    @property
    def in_built_in(self) -> bool:
        """Whether the built-in guest has this subsystem."""

    def of_built_in(self, mutant: str | None) -> Facts:
        """Return the facts of the built-in guest, with a mutant or None."""

    def expected(self, identity: KernelIdentity, topology: Topology) -> Expectation | None:
        """Return the expected outcome of a boot on a guest with that topology.

        None if the outcome does not depend on this subsystem.
        """

    def boot_model(
        self, values: Mapping[str, bool], sanitizers: Sanitizers, *, is_freebsd: bool
    ) -> BootModel | None:
        """Return the predictor of boots of kernels with these facts; None if there is none.

        Args:
            values: the facts.
            sanitizers: the kernel's sanitizers.
            is_freebsd: see ``KernelIdentity``.
        """

    @property
    def state_search(self) -> StateSearch | None:
        """The search of its model's states; None if it has none."""

    def has_written(self, text: str) -> bool:
        """Return whether a text looks like one of its traces."""

    def read_trace(self, text: str) -> Trace:
        """Return the trace of a text that ``harness check`` has written.

        Raises:
            UsageError: the text is not a trace, or an operation is invalid.
        """

    def run_in_model(self, text: str, variant: str | None) -> ModelRun:
        """Run a trace in the model; ``variant`` names a form of the code instead of the trace's.

        Raises:
            UsageError: the text is not a trace, or there is no such form; steps may raise it, too.
        """

    def reported(self, records: ReportRecords) -> SubsystemReport | None:
        """Return its part of init's report, from the records of its ``c/init``; None without any.

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
        """Return the properties of a report that an unmutated kernel's reports do not have.

        Args:
            report: the report of a mutant.
            usual: reports of the unmutated kernel on that topology, at least one.
            identity: the unmutated kernel.
            topology: the topology of all these guests.
        """
