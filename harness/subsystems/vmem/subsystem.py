"""The subsystem of arenas (``vmem(9)``); methods import what is slow to import."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.source.codefacts import Assumption, Facts, Reading
from harness.subsystems.vmem.codeforms import (
    FORM,
    NAME,
    RELEASES,
    VMEM,
    facts,
    find_form,
    likely_form,
    read_form,
)

if TYPE_CHECKING:
    from harness.cases import NamedCase
    from harness.check.subject import ModelRun, Specification
    from harness.console.report import GuestReport, ReportRecords
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelIdentity
    from harness.mutation.mutant import Mutant
    from harness.onhost.part import HostPart
    from harness.outcome import Expectation
    from harness.sanitizers import Sanitizers
    from harness.subsystems.vmem.check.trace import Trace

#: Releases of which real kernels agreed with the model.
_PROOF = " and ".join(RELEASES)


class _Vmem:
    name = NAME
    paths = (VMEM,)
    is_modelled = True
    in_built_in = False
    state_search = None
    variant_names = (FORM, *RELEASES)

    @functools.cached_property
    def cases(self) -> tuple[NamedCase, ...]:
        from harness.subsystems.vmem.cases import VMEM_CASES

        return VMEM_CASES

    @functools.cached_property
    def on_host(self) -> HostPart:
        from harness.subsystems.vmem.onhost import VMEM_ON_HOST

        return VMEM_ON_HOST

    @functools.cached_property
    def mutants(self) -> Mapping[str, Mutant]:
        from harness.subsystems.vmem.mutants import VMEM_MUTANTS

        return MappingProxyType({mutant.name: mutant for mutant in VMEM_MUTANTS})

    def read(self, texts: Sequence[bytes]) -> Reading:
        (text,) = texts
        return read_form(text)

    def assume(self, texts: Sequence[bytes], freebsd_version: int) -> Assumption:
        del texts, freebsd_version
        return likely_form()

    def of_built_in(self, mutant: str | None) -> Facts:
        return Facts()

    def expected(self, identity: KernelIdentity, topology: Topology) -> Expectation | None:
        return None

    def boot_model(
        self, values: Mapping[str, bool], sanitizers: Sanitizers, *, is_freebsd: bool
    ) -> None:
        return None

    def variant(self, name: str) -> Mapping[str, bool]:
        find_form(name)
        return facts()

    def with_commit(self, values: Mapping[str, bool]) -> Mapping[str, bool]:
        return values

    def held_to(self, values: Mapping[str, bool]) -> Specification:
        from harness.check.subject import Specification
        from harness.subsystems.vmem.check.guest import CheckedArenas

        return Specification(
            NAME, FORM, "the model of arenas", _PROOF, values, CheckedArenas
        )  # fmt: skip

    def has_written(self, text: str) -> bool:
        from harness.subsystems.vmem.check.trace import is_trace

        return is_trace(text)

    def read_trace(self, text: str) -> Trace:
        from harness.subsystems.vmem.check.trace import parse_trace

        return parse_trace(text)

    def run_in_model(self, text: str, variant: str | None) -> ModelRun:
        from harness.check.subject import ModelRun
        from harness.subsystems.vmem.check.trace import parse_trace, run_trace

        form = FORM if variant is None else find_form(variant)
        return ModelRun(form, _PROOF, run_trace(parse_trace(text)))

    def reported(self, records: ReportRecords) -> None:
        return None

    def oddities(
        self,
        report: GuestReport,
        usual: Sequence[GuestReport],
        identity: KernelIdentity,
        topology: Topology,
    ) -> frozenset[str]:
        return frozenset()


ARENAS = _Vmem()
