"""Iterators over domains as a subsystem of the kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.source.knowledge import Assumption, Facts, Reading
from harness.subsystems.domainset.check.trace import Trace, is_trace, parse_trace
from harness.subsystems.domainset.forms import (
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
from harness.subsystems.domainset.mutants import CALLERS_MUTANTS, ROUND_ROBIN_MUTANTS
from harness.subsystems.domainset.specification import Specification

if TYPE_CHECKING:
    from harness.console.report import GuestReport
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelIdentity
    from harness.mutation.mutant import Mutant
    from harness.outcome import Expectation


class _Domainset:
    name = NAME
    paths = (DOMAINSET,)
    mutants: Mapping[str, Mutant] = MappingProxyType(
        {mutant.name: mutant for mutant in (*ROUND_ROBIN_MUTANTS, *CALLERS_MUTANTS)}
    )
    in_built_in = False
    variant_names = (*Form, *RELEASES)

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

    def variant(self, name: str) -> Mapping[str, bool]:
        return facts_of(find_form(name))

    def with_commit(self, values: Mapping[str, bool]) -> Mapping[str, bool]:
        return values

    def held_to(
        self,
        values: Mapping[str, bool],
        why: str,
        *,
        asked: str,
        changed: tuple[str, ...] = (),
        diff: str = "",
    ) -> Specification:
        return Specification(form_of(values), asked, why, changed, diff)

    def has_written(self, text: str) -> bool:
        return is_trace(text)

    def read_trace(self, text: str) -> Trace:
        return parse_trace(text)

    def oddities(
        self,
        report: GuestReport,
        usual: Sequence[GuestReport],
        identity: KernelIdentity,
        topology: Topology,
    ) -> frozenset[str]:
        return frozenset()


ITERATORS_OF_DOMAINS = _Domainset()
