"""Sets of domains and their policies: ``sys/sys/domainset.h`` and ``domainset_create()``.

Masks of domains are integers: bit N is domain N.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from harness.errors import UsageError

#: ``dr_iter``, an unsigned int, wraps at this value.
ITER_LIMIT = 1 << 32


class Policy(StrEnum):
    """``DOMAINSET_POLICY_*``."""

    ROUNDROBIN = "round-robin"
    FIRSTTOUCH = "first-touch"
    PREFER = "prefer"
    INTERLEAVE = "interleave"


def mask_of(domains: Iterable[int]) -> int:
    """Return the mask of these domains."""
    mask = 0
    for domain in domains:
        mask |= 1 << domain
    return mask


def domains_of(mask: int) -> tuple[int, ...]:
    """Return the domains of a mask, in ascending order."""
    return tuple(domain for domain in range(mask.bit_length()) if mask >> domain & 1)


@dataclass(frozen=True, slots=True)
class Domainset:
    """``struct domainset``.

    Args:
        policy: ``ds_policy``.
        mask: ``ds_mask``.
        prefer: ``ds_prefer``; -1 with any policy but ``PREFER``.
    """

    policy: Policy
    mask: int
    prefer: int = -1
    order: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """``ds_order``, of ``ds_cnt`` domains."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", domains_of(self.mask))

    def without(self, empty: int) -> Domainset | None:
        """The set without memoryless domains (``domainset_empty_vm``); None if none is left."""
        mask = self.mask & ~empty
        if not mask:
            return None
        if self.policy is Policy.PREFER and empty >> self.prefer & 1:
            return Domainset(Policy.ROUNDROBIN, mask)
        return Domainset(self.policy, mask, self.prefer)


def domainset_create(key: Domainset, all_domains: int) -> Domainset | None:
    """``domainset_create()`` of ``sys/kern/kern_cpuset.c``: the set, or None if it is refused.

    An empty set is not refused: it is a subset of every set.

    Args:
        key: the requested set.
        all_domains: the mask of ``domainset0``: every domain that has memory.
    """
    if key.policy is Policy.PREFER and not key.mask >> key.prefer & 1:
        return None
    if key.mask & ~all_domains:
        return None
    return key


class DomainsetRef:
    """``struct domainset_ref``.

    Args:
        policy: ``dr_policy``.
        iterator: ``dr_iter``.
    """

    __slots__ = ("dr_iter", "dr_policy")

    def __init__(self, policy: Domainset, iterator: int = 0) -> None:
        self.dr_policy = policy
        self.dr_iter = iterator


def parse_mask(text: str) -> int:
    """The mask that is written as ``0,2``, or as ``none``.

    Raises:
        UsageError: something else is written.
    """
    if text == "none":
        return 0
    try:
        domains = [int(word) for word in text.split(",")]
    except ValueError:
        domains = [-1]
    if not all(0 <= domain < 64 for domain in domains):
        raise UsageError(
            f"{text[:40]!r} is no list of domains", remedy="write numbers, as in 0,2, or none"
        )
    return mask_of(domains)


def mask_in_words(mask: int) -> str:
    """``0,2``, or ``none``."""
    return ",".join(map(str, domains_of(mask))) or "none"
