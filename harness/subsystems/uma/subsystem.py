"""The subsystem of UMA's slab layer; methods import what is slow to import."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.source.codefacts import Assumption, Facts, Reading
from harness.subsystems.domainset.codeforms import DOMAINSET
from harness.subsystems.uma.codeforms import NAME, UMA_CORE, likely_form, read_form
from harness.subsystems.uma.model.variants import (
    RELEASES,
    VARIANTS,
    Variant,
    find_variant,
    title_of,
)

if TYPE_CHECKING:
    from harness.cases import NamedCase
    from harness.check.subject import ModelRun, ModelStep, Specification
    from harness.console.report import GuestReport, ReportRecords
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelIdentity
    from harness.mutation.mutant import Mutant
    from harness.onhost.part import HostPart
    from harness.outcome import Expectation
    from harness.sanitizers import Sanitizers
    from harness.subsystems.models import BootModel, StateSearch
    from harness.subsystems.uma.model.player import Step
    from harness.subsystems.uma.model.trace import Trace
    from harness.subsystems.uma.zonereport import ReportedZones


class _Uma:
    name = NAME
    paths = (UMA_CORE, DOMAINSET)
    is_modelled = True
    in_built_in = True
    variant_names = (*VARIANTS, *RELEASES)

    @functools.cached_property
    def on_host(self) -> HostPart:
        from harness.subsystems.uma.onhost import UMA_ON_HOST

        return UMA_ON_HOST

    @functools.cached_property
    def cases(self) -> tuple[NamedCase, ...]:
        from harness.subsystems.uma.cases import UMA_CASES

        return UMA_CASES

    @functools.cached_property
    def mutants(self) -> Mapping[str, Mutant]:
        from harness.subsystems.domainset.mutants import ROUND_ROBIN_MUTANTS
        from harness.subsystems.uma.mutants.uma_core import UMA_CORE_MUTANTS

        return MappingProxyType(
            {mutant.name: mutant for mutant in (*UMA_CORE_MUTANTS, *ROUND_ROBIN_MUTANTS)}
        )

    def read(self, texts: Sequence[bytes]) -> Reading:
        reading = read_form(*texts)
        return Reading(asdict(reading.form) if reading.form else None, reading.unknown)

    def assume(self, texts: Sequence[bytes], freebsd_version: int) -> Assumption:
        form, why = likely_form(read_form(*texts), freebsd_version)
        return asdict(form), why

    def of_built_in(self, mutant: str | None) -> Facts:
        # images/embedded/keg.c is made after 13.x
        commit = mutant is None
        return Facts(asdict(Variant(True, False, reserve_fallback=commit, domain_wait=commit)))

    def expected(self, identity: KernelIdentity, topology: Topology) -> Expectation:
        from harness.subsystems.uma.expectation import expected_of

        return expected_of(identity, topology)

    def boot_model(
        self, values: Mapping[str, bool], sanitizers: Sanitizers, *, is_freebsd: bool
    ) -> BootModel:
        from harness.subsystems.uma.expectation import Booting, boot_model, variant_of

        return boot_model(variant_of(values), Booting.of(sanitizers, is_freebsd=is_freebsd))

    @functools.cached_property
    def state_search(self) -> StateSearch:
        from harness.subsystems.uma.statesearch import ZoneSearch

        return ZoneSearch()

    def variant(self, name: str) -> Mapping[str, bool]:
        return asdict(find_variant(name))

    def with_commit(self, values: Mapping[str, bool]) -> Mapping[str, bool]:
        return {**values, "reserve_fallback": True, "domain_wait": True}

    def held_to(self, values: Mapping[str, bool]) -> Specification:
        from harness.check.subject import Specification
        from harness.subsystems.uma.check.guest import CheckedGuest
        from harness.subsystems.uma.expectation import variant_of

        variant = variant_of(values)
        return Specification(
            NAME, variant.name, title_of(variant.name), variant.proof, values,
            functools.partial(CheckedGuest, variant=variant),
        )  # fmt: skip

    def has_written(self, text: str) -> bool:
        return re.search(r"^\s*zone\b", text, re.MULTILINE) is not None

    def read_trace(self, text: str) -> Trace:
        from harness.subsystems.uma.model.trace import parse_trace, run_trace

        trace = parse_trace(text)
        for _ in run_trace(trace):  # refuses what no kernel may be asked
            pass
        return trace

    def run_in_model(self, text: str, variant: str | None) -> ModelRun:
        from harness.check.subject import ModelRun
        from harness.subsystems.uma.model.trace import parse_trace, run_trace

        trace = parse_trace(text, None if variant is None else find_variant(variant))
        steps = map(_in_model, run_trace(trace))
        return ModelRun(trace.variant.name, trace.variant.proof, steps)

    def reported(self, records: ReportRecords) -> ReportedZones:
        from harness.subsystems.uma.zonereport import read_zones

        return read_zones(records)

    def oddities(
        self,
        report: GuestReport,
        usual: Sequence[GuestReport],
        identity: KernelIdentity,
        topology: Topology,
    ) -> frozenset[str]:
        from harness.subsystems.uma.counters import oddities

        return oddities(report, usual, identity, topology)


def _in_model(step: Step) -> ModelStep:
    from harness.check.subject import ModelStep

    outcome = step.outcome
    values = {
        "item": outcome.item if outcome else None,
        "slab": step.slab,
        "domain": outcome.domain if outcome and outcome.domain >= 0 else None,
        "allocator_calls": outcome.calls if outcome else (),
        "blocked": outcome.blocked._asdict() if outcome and outcome.blocked else None,
        "free_items": step.free_items,
        "iterator": step.place,
    }
    return ModelStep(step.number, str(step.operation), step.result, step.why, values)


UMA = _Uma()
