"""The subsystem of iterators over domains; methods import what is slow to import."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.source.codefacts import Assumption, Facts, Reading
from harness.subsystems.domainset.codeforms import (
    DOMAINSET,
    NAME,
    RELEASES,
    facts_of,
    find_form,
    form_of,
    likely_form,
    read_form,
)
from harness.subsystems.domainset.model.form import Form

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
    from harness.subsystems.domainset.check.trace import Trace


#: The release of which real kernels with that form agreed with the model.
_PROVEN_ON: Mapping[Form, str] = MappingProxyType({form: name for name, form in RELEASES.items()})


class _Domainset:
    name = NAME
    paths = (DOMAINSET,)
    is_modelled = True
    in_built_in = False
    state_search = None
    variant_names = (*Form, *RELEASES)

    @functools.cached_property
    def on_host(self) -> HostPart:
        from harness.subsystems.domainset.onhost import DOMAINSET_ON_HOST

        return DOMAINSET_ON_HOST

    @functools.cached_property
    def cases(self) -> tuple[NamedCase, ...]:
        from harness.subsystems.domainset.cases import ITERATOR_CASES

        return ITERATOR_CASES

    @functools.cached_property
    def mutants(self) -> Mapping[str, Mutant]:
        from harness.subsystems.domainset.mutants import CALLERS_MUTANTS, ROUND_ROBIN_MUTANTS

        return MappingProxyType(
            {mutant.name: mutant for mutant in (*ROUND_ROBIN_MUTANTS, *CALLERS_MUTANTS)}
        )

    def read(self, texts: Sequence[bytes]) -> Reading:
        (text,) = texts
        return read_form(text)

    def assume(self, texts: Sequence[bytes], freebsd_version: int) -> Assumption:
        (text,) = texts
        return likely_form(text, freebsd_version)

    def of_built_in(self, mutant: str | None) -> Facts:
        return Facts()

    def expected(self, identity: KernelIdentity, topology: Topology) -> Expectation | None:
        return None

    def boot_model(
        self, values: Mapping[str, bool], sanitizers: Sanitizers, *, is_freebsd: bool
    ) -> None:
        return None

    def variant(self, name: str) -> Mapping[str, bool]:
        return facts_of(find_form(name))

    def with_commit(self, values: Mapping[str, bool]) -> Mapping[str, bool]:
        return values

    def held_to(self, values: Mapping[str, bool]) -> Specification:
        from harness.check.subject import Specification
        from harness.subsystems.domainset.check.guest import CheckedIterators

        form = form_of(values)
        return Specification(
            NAME, form.value, f"the {form} form of the iterators", _PROVEN_ON.get(form, "unproven"),
            values, functools.partial(CheckedIterators, form=form),
        )  # fmt: skip

    def has_written(self, text: str) -> bool:
        from harness.subsystems.domainset.check.trace import is_trace

        return is_trace(text)

    def read_trace(self, text: str) -> Trace:
        from harness.subsystems.domainset.check.trace import parse_trace

        return parse_trace(text)

    def run_in_model(self, text: str, variant: str | None) -> ModelRun:
        from harness.check.subject import ModelRun
        from harness.subsystems.domainset.check.trace import parse_trace, run_trace

        trace = parse_trace(text)
        if variant is not None:
            trace = replace(trace, form=find_form(variant))
        return ModelRun(trace.form, _PROVEN_ON.get(trace.form, "unproven"), run_trace(trace))

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


ITERATORS_OF_DOMAINS = _Domainset()
