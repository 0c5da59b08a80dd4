"""Wrong phased iterators, like mutants of the kernel."""

from __future__ import annotations

from harness.subsystems.domainset.model.phased import PhasedIter


class RestartsWithTheShort(PhasedIter):
    """After sleeping, it searches only the domains that were short."""

    def _first(self) -> bool:
        if self.di_minskip:
            return super()._first()
        self.di_remain_mask = self.di_min_mask
        return self._phase_first()


class VisitsTwice(PhasedIter):
    """It does not remove the domain with which it starts."""

    def _phase_first(self) -> bool:
        remained = self.di_remain_mask
        found = super()._phase_first()
        self.di_remain_mask |= remained & 1 << self.domain
        return found
