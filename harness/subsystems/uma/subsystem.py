"""UMA as a subsystem of the kernel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.source.knowledge import Assumption, Facts, Reading
from harness.subsystems.domainset.forms import DOMAINSET
from harness.subsystems.domainset.mutants import ROUND_ROBIN_MUTANTS
from harness.subsystems.uma.counters import oddities
from harness.subsystems.uma.expectation import expected_of, variant_of
from harness.subsystems.uma.forms import (
    NAME,
    UMA_CORE,
    built_in_form,
    likely_form,
    read_form,
)
from harness.subsystems.uma.model.trace import Trace, parse_trace, run_trace
from harness.subsystems.uma.model.variants import RELEASES, VARIANTS, find_variant
from harness.subsystems.uma.mutants.uma_core import UMA_CORE_MUTANTS
from harness.subsystems.uma.specification import Specification

if TYPE_CHECKING:
    from harness.console.report import GuestReport
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelIdentity
    from harness.mutation.mutant import Mutant
    from harness.outcome import Expectation


class _Uma:
    name = NAME
    paths = (UMA_CORE, DOMAINSET)
    mutants: Mapping[str, Mutant] = MappingProxyType(
        {mutant.name: mutant for mutant in (*UMA_CORE_MUTANTS, *ROUND_ROBIN_MUTANTS)}
    )
    in_built_in = True
    variant_names = (*VARIANTS, *RELEASES)

    def read(self, texts: Sequence[bytes]) -> Reading:
        reading = read_form(*texts)
        return Reading(reading.form.facts() if reading.form else None, reading.unknown)

    def assume(self, texts: Sequence[bytes], freebsd_version: int) -> Assumption:
        form, why = likely_form(read_form(*texts), freebsd_version)
        return form.facts(), why

    def of_built_in(self, mutant: str | None) -> Facts:
        return Facts(built_in_form(mutant).facts())

    def expected(self, identity: KernelIdentity, topology: Topology) -> Expectation:
        return expected_of(identity, topology)

    def variant(self, name: str) -> Mapping[str, bool]:
        return asdict(find_variant(name))

    def with_commit(self, values: Mapping[str, bool]) -> Mapping[str, bool]:
        return {**values, "reserve_fallback": True, "domain_wait": True}

    def held_to(
        self,
        values: Mapping[str, bool],
        why: str,
        *,
        asked: str,
        changed: tuple[str, ...] = (),
        diff: str = "",
    ) -> Specification:
        return Specification(variant_of(values), asked, why, changed, diff)

    def has_written(self, text: str) -> bool:
        return re.search(r"^\s*zone\b", text, re.MULTILINE) is not None

    def read_trace(self, text: str) -> Trace:
        trace = parse_trace(text)
        for _ in run_trace(trace):  # refuses what no kernel may be asked
            pass
        return trace

    def oddities(
        self,
        report: GuestReport,
        usual: Sequence[GuestReport],
        identity: KernelIdentity,
        topology: Topology,
    ) -> frozenset[str]:
        return oddities(report, usual, identity, topology)


UMA = _Uma()
