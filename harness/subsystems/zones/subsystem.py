"""Zones of UMA with buckets as a subsystem: no model, but invariants."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.source.codefacts import Assumption, Facts, Reading

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
    from harness.subsystems.zones.trace import Trace

NAME = "zones"
FORM = "invariants"


class _Zones:
    name = NAME
    paths = ("sys/vm/uma_core.c",)
    is_modelled = False
    in_built_in = False
    variant_names = (FORM,)
    state_search = None
    mutants: Mapping[str, Mutant] = MappingProxyType({})

    @functools.cached_property
    def on_host(self) -> HostPart:
        from harness.subsystems.zones.onhost import ZONES_ON_HOST

        return ZONES_ON_HOST

    @functools.cached_property
    def cases(self) -> tuple[NamedCase, ...]:
        from harness.subsystems.zones.cases import MENDED_CASES, ZONES_CASES

        return (*ZONES_CASES, *MENDED_CASES)

    def read(self, texts: Sequence[bytes]) -> Reading:
        return Reading({}, ())

    def assume(self, texts: Sequence[bytes], freebsd_version: int) -> Assumption:
        return {}, "invariants hold for all code"

    def of_built_in(self, mutant: str | None) -> Facts:
        return Facts()

    def expected(self, identity: KernelIdentity, topology: Topology) -> Expectation | None:
        return None

    def variant(self, name: str) -> Mapping[str, bool]:
        if name != FORM:
            raise UsageError(f"zones have no variant {name}", remedy=f"there is one: {FORM}")
        return {}

    def with_commit(self, values: Mapping[str, bool]) -> Mapping[str, bool]:
        return values

    def held_to(self, values: Mapping[str, bool]) -> Specification:
        from harness.check.subject import Specification
        from harness.subsystems.zones.cases import known_cases
        from harness.subsystems.zones.check.guest import CheckedZones
        from harness.subsystems.zones.check.threads import HuntedZones
        from harness.subsystems.zones.invariants import HARMLESS

        return Specification(
            NAME, FORM, "the invariants of zones", "unproven", values, CheckedZones,
            hunted=HuntedZones, harmless=HARMLESS, known=known_cases,
        )  # fmt: skip

    def boot_model(
        self, values: Mapping[str, bool], sanitizers: Sanitizers, *, is_freebsd: bool
    ) -> None:
        return None

    def reported(self, records: ReportRecords) -> None:
        return None

    def has_written(self, text: str) -> bool:
        from harness.subsystems.zones.trace import is_trace

        return is_trace(text)

    def read_trace(self, text: str) -> Trace:
        from harness.subsystems.zones.trace import parse_trace

        return parse_trace(text)

    def run_in_model(self, text: str, variant: str | None) -> ModelRun:
        raise UsageError(
            "zones with buckets have no model",
            remedy="run the trace in the code: harness check --on host --replay",
        )

    def oddities(
        self,
        report: GuestReport,
        usual: Sequence[GuestReport],
        identity: KernelIdentity,
        topology: Topology,
    ) -> frozenset[str]:
        return frozenset()


ZONES = _Zones()
