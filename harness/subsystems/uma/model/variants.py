"""How the kernels' code differs where the model follows it: data about the code.

A variant is chosen by reading a tree (``subsystems/uma/codeforms.py``), never by its version alone.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.errors import UsageError, did_you_mean
from harness.subsystems.domainset.model.form import Form

if TYPE_CHECKING:
    from harness.subsystems.domainset.model.iterator import DomainsetIter


@dataclass(frozen=True, slots=True)
class Variant:
    """One form of the code.

    Args:
        advances_first: ``vm_domainset_iter_rr`` advances its iterator before it reads it.
        masked: the iterator remembers the domains still to visit in a mask and goes through
            them in two phases; otherwise it counts its steps, in two passes.
        reserve_fallback: ``keg_fetch_slab`` drains the reserves of other domains for
            ``M_USE_RESERVE``.
        domain_wait: ``keg_fetch_slab`` waits for memory in the domain asked for, under
            ``M_WAITOK``, instead of trying again at once.
    """

    advances_first: bool
    masked: bool
    reserve_fallback: bool
    domain_wait: bool

    @property
    def name(self) -> str:
        """Its name, or a description."""
        for name, variant in VARIANTS.items():
            if variant == self:
                return name
        return ", ".join(self.description())

    def unlike(self, other: Variant) -> tuple[str, ...]:
        """Return the differences from another, one clause each: ``without domain wait``."""
        clauses = {
            "advances_first": ("advancing the iterator first", "reading the iterator first"),
            "masked": ("in two phases over masks", "in two passes by count"),
            "reserve_fallback": ("with the reserve fallback", "without the reserve fallback"),
            "domain_wait": ("with domain wait", "without domain wait"),
        }
        return tuple(
            words[0] if getattr(self, name) else words[1]
            for name, words in clauses.items()
            if getattr(self, name) != getattr(other, name)
        )

    def neighbours(self) -> Iterator[Variant]:
        """Generate all other variants, in order of the number of differences."""
        every = (Variant(*bits) for bits in itertools.product((True, False), repeat=4))
        others = [variant for variant in every if variant != self]
        yield from sorted(others, key=lambda variant: len(variant.unlike(self)))

    def description(self) -> tuple[str, ...]:
        """Return its properties, one clause each."""
        return (
            "the iterator " + ("advances first" if self.advances_first else "is read first"),
            "two phases over masks" if self.masked else "two passes by count",
            ("drains" if self.reserve_fallback else "does not drain") + " other domains' reserves",
            ("waits" if self.domain_wait else "does not wait") + " for a domain's memory",
        )

    @property
    def iterator(self) -> Callable[..., DomainsetIter]:
        """The constructor of its iterators, with its order of ``vm_domainset_iter_rr``."""
        from harness.subsystems.domainset.model.iteratorforms import ITERATORS

        form = ITERATORS[Form.PHASED if self.masked else Form.COUNTED]
        return functools.partial(form, advances_first=self.advances_first)

    @property
    def proof(self) -> str:
        """The release whose real kernels agreed with the model, or ``unproven``."""
        return PROVEN_ON.get(self, "unproven")


#: The named variants.
VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "13-before": Variant(True, False, False, False),
        "13-after": Variant(True, False, True, True),
        "15-before": Variant(False, True, False, False),
        "15-after": Variant(False, True, True, True),
    }
)

#: The release in which each was first seen, as another name.
RELEASES: Mapping[str, str] = MappingProxyType({"13.2": "13-after", "15.1": "15-after"})


def _booted(before: Variant, after: Variant) -> Iterator[Variant]:
    """Return both, each also with the other iterator order, and with each half of the commit."""
    for each in (before, after):
        yield each
        yield replace(each, advances_first=not each.advances_first)
    yield replace(after, reserve_fallback=False)
    yield replace(after, domain_wait=False)


#: The release whose real kernels agreed with the model. No 14.x kernel was tried.
PROVEN_ON: Mapping[Variant, str] = MappingProxyType(
    {
        variant: release
        for release, major in (("13.2", 13), ("15.1", 15))
        for variant in _booted(VARIANTS[f"{major}-before"], VARIANTS[f"{major}-after"])
    }
)


def title_of(name: str) -> str:
    """Return a variant's name for reports: ``13.2's specification``."""
    release = next((release for release, known in RELEASES.items() if known == name), None)
    return f"{release}'s specification" if release else f"the specification {name}"


def find_variant(name: str) -> Variant:
    """Return the variant with that name or release.

    Raises:
        UsageError: there is none.
    """
    known = RELEASES.get(name, name)
    if known in VARIANTS:
        return VARIANTS[known]
    hint = did_you_mean(name, VARIANTS)
    raise UsageError(
        f"the model has no variant {name!r}", remedy=f"{hint}known: {', '.join(VARIANTS)}"
    )
