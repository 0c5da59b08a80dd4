"""The model and a naive one, driven by the same random operations."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from naive import NaiveKeg

from harness.subsystems.uma.model.flags import M_NOVM, M_NOWAIT, M_USE_RESERVE, M_WAITOK
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.variants import Variant
from harness.subsystems.uma.model.zone import Zone

LEGAL_FLAGS = st.sampled_from(
    [
        M_NOWAIT,
        M_NOWAIT | M_NOVM,
        M_NOWAIT | M_USE_RESERVE,
        M_NOWAIT | M_NOVM | M_USE_RESERVE,
        M_WAITOK,
        M_WAITOK | M_USE_RESERVE,
    ]
)
DOMAINS = st.integers(0, 7)
VARIANTS = st.builds(Variant, st.booleans(), st.booleans(), st.booleans(), st.booleans())


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    domains = draw(st.integers(1, 4))
    return Shape(
        domains=domains,
        ipers=draw(st.integers(1, 5)),
        reserve=draw(st.integers(0, 6)),
        hashed=draw(st.booleans()),
        empty=draw(st.integers(0, (1 << domains) - 2)),
        place=draw(st.integers(0, 9)),
    )


class KegMachine(RuleBasedStateMachine):
    """Allocates, frees, drains, refuses; the naive model judges each answer."""

    @initialize(variant=VARIANTS, shape=shapes())
    def make(self, variant: Variant, shape: Shape) -> None:
        self.shape = shape
        self.zone = Zone(variant, shape)
        self.naive = NaiveKeg(variant, shape)

    @rule(domain=DOMAINS, flags=LEGAL_FLAGS)
    def allocate(self, domain: int, flags: int) -> None:
        domain %= self.shape.domains
        self.naive.allocate(domain, flags, self.zone.uma_zalloc_domain(domain, flags))

    @rule(flags=LEGAL_FLAGS)
    def allocate_anywhere(self, flags: int) -> None:
        self.naive.allocate(-1, flags, self.zone.zone_alloc_item(-1, flags))

    @precondition(lambda self: self.naive.held)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(sorted(self.naive.held)))
        self.zone.uma_zfree(item)
        self.naive.release(item)

    @rule()
    def prealloc(self) -> None:
        slabs = set(self.zone.uz_keg.slabs)
        outcome = self.zone.uma_prealloc(1)
        if outcome.blocked is None:
            (new,) = set(self.zone.uz_keg.slabs) - slabs
            assert outcome.domain not in self.naive.refusing
            self.naive.add_slab(new * self.shape.ipers, outcome.domain)
        else:
            assert set(range(self.shape.domains)) == self.naive.refusing

    @rule(domain=DOMAINS)
    def drain(self, domain: int) -> None:
        domain %= self.shape.domains
        before = len(self.naive.free[domain])
        slabs = set(self.zone.uz_keg.slabs)
        gone = self.zone.uma_zone_reclaim_domain(domain)
        ipers = self.shape.ipers
        for slab in slabs - set(self.zone.uz_keg.slabs):
            items = set(range(slab * ipers, (slab + 1) * ipers))
            assert items <= self.naive.free[domain]
            self.naive.free[domain] -= items
        left = len(self.naive.free[domain])
        assert before - left == gone * ipers
        assert left >= min(before, self.shape.reserve)

    @rule(domain=DOMAINS)
    def refuse(self, domain: int) -> None:
        domain %= self.shape.domains
        self.naive.refusing ^= {domain} - self.naive.empty()
        self.zone.memory.refusing = sum(1 << d for d in self.naive.refusing)

    @rule(domain=DOMAINS)
    def low(self, domain: int) -> None:
        domain %= self.shape.domains
        self.naive.low ^= {domain}
        self.zone.memory.vm_min_domains = sum(1 << d for d in self.naive.low)

    @invariant()
    def counters_agree(self) -> None:
        if not hasattr(self, "keg"):
            return
        for number, domain in enumerate(self.zone.uz_keg.uk_domain):
            assert domain.ud_free_items == len(self.naive.free[number])
            assert domain.ud_free_slabs == len(domain.ud_free_slab)
            lists = (domain.ud_part_slab, domain.ud_free_slab, domain.ud_full_slab)
            assert domain.ud_pages == sum(map(len, lists))

    @invariant()
    def lists_hold_what_they_are_named_after(self) -> None:
        if not hasattr(self, "keg"):
            return
        ipers = self.shape.ipers
        for domain in self.zone.uz_keg.uk_domain:
            assert all(0 < slab.us_freecount < ipers for slab in domain.ud_part_slab)
            assert all(slab.us_freecount == ipers for slab in domain.ud_free_slab)
            assert all(slab.us_freecount == 0 for slab in domain.ud_full_slab)


TestKeg = KegMachine.TestCase
EXAMPLES = 5 * settings().max_examples
TestKeg.settings = settings(max_examples=EXAMPLES, stateful_step_count=40)
