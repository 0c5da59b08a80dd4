"""What a tree's allocator is like, read from its source, so that nobody guesses by version."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.source.csource import Cause
from harness.source.mutant import MutantRefused
from harness.source.mutants import MUTANTS


@dataclass(frozen=True, slots=True)
class AllocatorForm:
    """What decides which slab ``keg_fetch_slab`` finds.

    Args:
        reserve_fallback: it drains other domains' reserves for ``M_USE_RESERVE``;
            None where the function could not be read.
        advances_first: the round-robin iterator (``vm_domainset_iter_rr``) advances
            before it is read, so that the first slab goes to the second domain; None
            where it could not be read.
    """

    reserve_fallback: bool | None
    advances_first: bool | None


def allocator_form(uma_core: bytes, domainset: bytes) -> AllocatorForm:
    """Read ``sys/vm/uma_core.c`` and ``sys/vm/vm_domainset.c``."""
    return AllocatorForm(_reserve_fallback(uma_core), _advances_first(domainset))


def _reserve_fallback(uma_core: bytes) -> bool | None:
    try:
        MUTANTS["drop-reserve-fallback"].apply(uma_core)
    except MutantRefused as refused:
        return False if refused.cause is Cause.STATEMENT_ABSENT else None
    return True


def _advances_first(domainset: bytes) -> bool | None:
    """Whether ``vm_domainset_iter_rr`` pre-increments its iterator (13.x) or post-increments."""
    body = re.search(rb"\nvm_domainset_iter_rr\(.*?\n\}", domainset, re.DOTALL)
    if body is None:
        return None
    compact = re.sub(rb"/\*.*?\*/|\s", b"", body[0], flags=re.DOTALL)
    before, after = b"++(*di->di_iter)" in compact, b"(*di->di_iter)++" in compact
    return before if before is not after else None
