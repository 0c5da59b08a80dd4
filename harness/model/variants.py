"""How the kernels' code differs where the model follows it: data about the code.

A variant is chosen by reading a tree (``harness.source.forms``), never by its version alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from harness.errors import UsageError


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
        """The name under which it is known, or what it is like."""
        for name, variant in VARIANTS.items():
            if variant == self:
                return name
        return ", ".join(self.description())

    def description(self) -> tuple[str, ...]:
        """What it does, one clause each."""
        return (
            "the iterator " + ("advances first" if self.advances_first else "is read first"),
            "two phases over masks" if self.masked else "two passes by count",
            ("drains" if self.reserve_fallback else "does not drain") + " other domains' reserves",
            ("waits" if self.domain_wait else "does not wait") + " for a domain's memory",
        )

    @property
    def proof(self) -> str:
        """The release on which real kernels were seen to do what the model says, or unproven."""
        return PROVEN_ON.get(self, "unproven")


#: Every form that has a name.
VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "13-before": Variant(True, False, False, False),
        "13-after": Variant(True, False, True, True),
        "15-before": Variant(False, True, False, False),
        "15-after": Variant(False, True, True, True),
    }
)


def _booted(before: Variant, after: Variant) -> Iterator[Variant]:
    """Both, each with its iterator's order swapped, and each half of the commit."""
    for each in (before, after):
        yield each
        yield replace(each, advances_first=not each.advances_first)
    yield replace(after, reserve_fallback=False)
    yield replace(after, domain_wait=False)


#: Where real kernels of that form were booted and did as the model says. No 14.x was tried.
PROVEN_ON: Mapping[Variant, str] = MappingProxyType(
    {
        variant: release
        for release, major in (("13.2", 13), ("15.1", 15))
        for variant in _booted(VARIANTS[f"{major}-before"], VARIANTS[f"{major}-after"])
    }
)


def find_variant(name: str) -> Variant:
    """The variant of that name.

    Raises:
        UsageError: there is none.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    close = difflib.get_close_matches(name, VARIANTS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise UsageError(
        f"the model has no variant {name!r}", remedy=f"{hint}known: {', '.join(VARIANTS)}"
    )
