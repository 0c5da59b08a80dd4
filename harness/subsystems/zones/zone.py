"""Zones: their words, and combinations that no kernel supports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

KINDS: Final[Mapping[str, int]] = MappingProxyType({
    "round-robin": 0x001,
    "nobucket": 0x002,
    "hashed": 0x004,
    "offpage": 0x008,
    "secondary": 0x010,
    "cache": 0x020,
    "smr": 0x040,
    "pcpu": 0x080,
    "nofree": 0x100,
    "ctor": 0x200,
    "init": 0x400,
    "zinit": 0x800,
    "maxbucket": 0x1000,
    "spread": 0x2000,
    "contig": 0x4000,
    "vm": 0x8000,
    "unmanaged": 0x10000,
    "malloc": 0x20000,
    "stock": 0x40000,
    "maxaction": 0x80000,
    "writes": 0x100000,
    "set-init": 0x200000,
    "nodump": 0x400000,
    "notrim": 0x800000,
    "shared-smr": 0x1000000,
    "zeroed": 0x2000000,
})  # fmt: skip
"""The words of zones, with their bits in ``c/zones.h``."""


#: Optional numbers of a zone, by their names in commands and traces.
_NUMBERS: Final = ("limit", "maxcache", "align", "kva")


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone.

    Args:
        kinds: words of ``KINDS``.
        size: size of an item, in bytes.
        reserve: number of reserved items.
        limit: ``uma_zone_set_max()`` before the first allocation; None for none.
        maxcache: ``uma_zone_set_maxcache()`` then; None for none.
        primary: index of the zone whose keg a secondary zone shares; None for other zones.
        align: alignment of items, in bytes; None for a pointer's.
        kva: number of items for ``uma_zone_reserve_kva()``; None to leave it out.
    """

    kinds: frozenset[str] = frozenset()
    size: int = 96
    reserve: int = 0
    limit: int | None = None
    maxcache: int | None = None
    primary: int | None = None
    align: int | None = None
    kva: int | None = None

    def command(self, place: int) -> str:
        """Return the command that creates it."""
        kind = sum(KINDS[word] for word in self.kinds)
        words = [f"make number={place} size={self.size} kind={kind} reserve={self.reserve}"]
        words += self._numbers((*_NUMBERS, "primary"))
        return " ".join(words)

    def in_words(self, place: int) -> str:
        """Return its line in a trace."""
        words = [f"zone{place + 1}", f"size={self.size}"]
        words += [f"reserve={self.reserve}"] if self.reserve else []
        words += self._numbers(_NUMBERS)
        words += [f"secondary=zone{self.primary + 1}"] if self.primary is not None else []
        words += sorted(self.kinds - {"secondary"})
        return " ".join(words)

    def _numbers(self, names: Iterable[str]) -> list[str]:
        told = ((name, getattr(self, name)) for name in names)
        return [f"{name}={number}" for name, number in told if number is not None]


def illegal(zone: Zone) -> str:
    """Return why no kernel supports such a zone; empty if kernels do."""
    return next((why for refuses, why in _RULES if refuses(zone)), "")


def _both(zone: Zone, word: str, *others: str) -> bool:
    """Return whether a zone has a word, and one of others."""
    return word in zone.kinds and not zone.kinds.isdisjoint(others)


def _has_no_keg(zone: Zone) -> bool:
    """Return whether a zone has no keg of its own."""
    return not zone.kinds.isdisjoint({"cache", "secondary"})


#: Maximum size of a per-CPU item (``UMA_PCPU_ALLOC_SIZE``).
_PCPU_MOST: Final = 4096
#: Words of kegs.
_OF_KEGS: Final = frozenset(
    {"spread", "contig", "vm", "malloc", "stock", "nodump", "set-init", "zeroed"}
)
_RULES: Final[tuple[tuple[Callable[[Zone], bool], str], ...]] = (
    (lambda zone: _both(zone, "nobucket", "maxbucket"), "maxbucket with nobucket is asserted"),
    (lambda zone: _both(zone, "smr", "pcpu", "secondary"),
     "smr with these is decided by the keg"),
    (lambda zone: _both(zone, "shared-smr", "smr", "pcpu", "secondary", "malloc"),
     "a zone has one context of smr(9)"),
    (lambda zone: "set-init" in zone.kinds and "init" not in zone.kinds,
     "set-init says when init is set"),
    (lambda zone: _both(zone, "zeroed", "init", "writes", "malloc"),
     "zeroed is an initializer, whose zeros stay"),
    (lambda zone: _both(zone, "cache", "hashed", "offpage", "pcpu", "init", "secondary", "nofree"),
     "a cache zone has no keg"),
    (lambda zone: _both(zone, "secondary", "init", "nofree", "hashed", "offpage", "pcpu",
                        "round-robin"), "a secondary zone has no keg of its own"),
    (lambda zone: _has_no_keg(zone) and zone.reserve > 0,
     "a zone without a keg of its own has no reserve"),
    (lambda zone: _both(zone, "pcpu", "hashed", "offpage"), "pcpu decides where headers are"),
    (lambda zone: _both(zone, "spread", "pcpu"), "spread with pcpu is asserted"),
    (lambda zone: _both(zone, "vm", "hashed", "offpage", "pcpu"), "vm with these is asserted"),
    (lambda zone: _both(zone, "malloc", "hashed", "pcpu", "smr"),
     "malloc(9) has zones without these only"),
    (lambda zone: _has_no_keg(zone) and not zone.kinds.isdisjoint(_OF_KEGS),
     "a zone without a keg of its own has none of the keg's words"),
    (lambda zone: "secondary" in zone.kinds
     and not zone.kinds.isdisjoint({"unmanaged", "notrim", "nobucket", "maxbucket"}),
     "a secondary zone is made without flags"),
    (lambda zone: _has_no_keg(zone) and (zone.align, zone.kva) != (None, None),
     "a zone without a keg of its own has neither align nor kva"),
    (lambda zone: zone.kva is not None and not zone.kinds.isdisjoint({"pcpu", "stock", "nofree"}),
     "kva decides where pages come from, and keeps them"),
    (lambda zone: zone.kva is not None and zone.limit is not None, "kva is the limit, too"),
    (lambda zone: "pcpu" in zone.kinds and zone.size > _PCPU_MOST,
     f"a pcpu zone has items of at most {_PCPU_MOST} bytes"),
)  # fmt: skip
