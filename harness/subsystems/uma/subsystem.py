"""UMA as a subsystem of the kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.source.knowledge import Assumption, Facts, Reading
from harness.subsystems.uma.expectation import expected_of
from harness.subsystems.uma.forms import (
    DOMAINSET,
    NAME,
    UMA_CORE,
    built_in_form,
    likely_form,
    read_form,
)
from harness.subsystems.uma.mutants.domainset import DOMAINSET_MUTANTS
from harness.subsystems.uma.mutants.uma_core import UMA_CORE_MUTANTS

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelIdentity
    from harness.mutation.mutant import Mutant
    from harness.outcome import Expectation


class _Uma:
    name = NAME
    paths = (UMA_CORE, DOMAINSET)
    mutants: Mapping[str, Mutant] = MappingProxyType(
        {mutant.name: mutant for mutant in (*UMA_CORE_MUTANTS, *DOMAINSET_MUTANTS)}
    )

    def read(self, texts: Sequence[bytes]) -> Reading:
        reading = read_form(*texts)
        return Reading(reading.form.facts() if reading.form else None, reading.unknown)

    def assume(self, texts: Sequence[bytes], freebsd_version: int) -> Assumption:
        form, why = likely_form(read_form(*texts), freebsd_version)
        return form.facts(), why

    def of_built_in(self, mutant: str | None) -> Facts:
        return Facts(built_in_form(mutant).facts())

    def expected(self, identity: KernelIdentity, topology: Topology) -> Expectation | None:
        return expected_of(identity, topology)


UMA = _Uma()
