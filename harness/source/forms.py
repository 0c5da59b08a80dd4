"""Which of the known forms a tree's slab code has: what the reference model can follow.

``reading`` answers two questions about any tree. Here every function that the model follows must
be one that it knows, token for token, as a digest says: the model says nothing about others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.errors import UsageError
from harness.source.csource import Cause, Function, Mismatch, read_function, tokens
from harness.source.mutant import MutantRefused, numa_part
from harness.source.mutants import MUTANTS
from harness.source.mutants_domainset import DOMAINSET
from harness.source.mutants_uma_core import UMA_CORE
from harness.source.reading import allocator_form

_COUNTED, _MASKED = "13.2", "15.1"
_BOTH = f"{_COUNTED} and {_MASKED}"

#: Digests of the functions' tokens, by function, and the releases that have them so.
#: ``keg_fetch_slab`` is taken without what the mutant drop-commit takes out.
_KNOWN_UMA: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "keg_first_slab": {"a5d9a8990cbeeacb": _BOTH},
        "keg_fetch_free_slab": {"2ce2a845fdf06a8d": _BOTH},
        "keg_fetch_slab": {"973b7f327b1394c6": _COUNTED, "2f5902ddd2c505d7": _MASKED},
        "keg_alloc_slab": {"ef9fd278b1344a64": _COUNTED, "429ac30ac2a3d054": _MASKED},
        "slab_alloc_item": {"7858a1ee95eeefcd": _BOTH},
        "slab_free_item": {"c6f8f28af58cb9f8": _BOTH},
        "uma_prealloc": {"ba99d5a3ec3f315a": _COUNTED, "9fbf8c18b893dba4": _MASKED},
        "uma_zone_reserve": {"9dbb3a2caa757f0b": _BOTH},
        "zone_alloc_item": {"a01680ee1044973c": _BOTH},
        "zone_import": {"84884f27eb3ce16a": _BOTH},
    }
)
_FIRST = "vm_domainset_iter_first"
_KNOWN_FIRST: Mapping[str, str] = MappingProxyType(
    {"a5b7089a0f20766d": _COUNTED, "9c60966c7e001010": _MASKED}
)
#: The rest of the iterator, by the release that ``vm_domainset_iter_first`` is of.
_KNOWN_ITERATOR: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        _COUNTED: {
            "vm_domainset_iter_next": "8b3750b1c409100a",
            "vm_domainset_iter_prefer": "29cee6b1decf5010",
            "vm_domainset_iter_interleave": "444dcefd5deb630d",
            "_vm_domainset_iter_policy_init": "9498b0ae4da4e016",
            "vm_domainset_iter_policy_ref_init": "33fbaa766717e75a",
            "vm_domainset_iter_policy": "4e5789a46ea04731",
        },
        _MASKED: {
            "vm_domainset_iter_next": "50fd104c8e3d20d6",
            "vm_domainset_iter_phase_first": "90859f0c7d2b74a8",
            "vm_domainset_iter_interleave": "442f1f953fa5bfe8",
            "_vm_domainset_iter_policy_init": "c5da99fb8eb93e1b",
            "vm_domainset_iter_policy_ref_init": "79ac1f3b2585efbc",
            "vm_domainset_iter_policy": "e3e8ff7c76998ff5",
        },
    }
)


@dataclass(frozen=True, slots=True)
class SlabForm:
    """What a tree's slab code does; see ``harness.model.variants.Variant``.

    Args:
        advances_first: the iterator advances before it is read.
        masked: it goes through masks in two phases.
        reserve_fallback: ``keg_fetch_slab`` drains other domains' reserves.
        domain_wait: it waits for memory in the domain asked for.
        why: where each of these was read, one line each.
    """

    advances_first: bool
    masked: bool
    reserve_fallback: bool
    domain_wait: bool
    why: tuple[str, ...]


def slab_form(uma_core: bytes, domainset: bytes) -> SlabForm:
    """Read ``sys/vm/uma_core.c`` and ``sys/vm/vm_domainset.c``.

    Raises:
        UsageError: a function is none of the known ones; ``detail`` has its text.
    """
    fallback = _has("drop-reserve-fallback", uma_core)
    wait = _has("drop-domain-wait", uma_core)
    stripped = uma_core
    for mutant, there in (("drop-reserve-fallback", fallback), ("drop-domain-wait", wait)):
        stripped = MUTANTS[mutant].apply(stripped) if there else stripped
    for name, known in _KNOWN_UMA.items():
        _release_of(stripped, UMA_CORE, name, known)
    numa = numa_part(domainset)
    first = _release_of(numa, DOMAINSET, _FIRST, _KNOWN_FIRST)
    for name, digest in _KNOWN_ITERATOR[first].items():
        _release_of(numa, DOMAINSET, name, {digest: first})
    advances = allocator_form(uma_core, domainset).advances_first
    if advances is None:
        raise _unknown(read_function(numa, "vm_domainset_iter_rr"), DOMAINSET)
    return SlabForm(
        advances_first=advances,
        masked=first == _MASKED,
        reserve_fallback=fallback,
        domain_wait=wait,
        why=(
            "vm_domainset_iter_rr "
            + ("advances, then reads" if advances else "reads, then advances"),
            f"vm_domainset_iter_first is that of {first}",
            f"keg_fetch_slab {'drains' if fallback else 'does not drain'} other domains' reserves "
            "for M_USE_RESERVE",
            f"keg_fetch_slab {'waits' if wait else 'does not wait'} for the domain's memory "
            "under M_WAITOK",
        ),
    )


def _has(mutant: str, uma_core: bytes) -> bool:
    """Whether the mutant finds what it takes out."""
    try:
        MUTANTS[mutant].apply(uma_core)
    except MutantRefused as refused:
        if refused.cause is Cause.STATEMENT_ABSENT:
            return False
        raise
    return True


def _release_of(text: bytes, path: str, name: str, known: Mapping[str, str]) -> str:
    try:
        function = read_function(text, name)
    except Mismatch as mismatch:
        raise UsageError(
            f"the model cannot follow {path}, function {name}: {mismatch.finding}",
            remedy=_REMEDY,
            detail=mismatch.excerpt,
        ) from mismatch
    release = known.get(digest_of(function))
    if release is None:
        raise _unknown(function, path)
    return release


def digest_of(function: Function) -> str:
    """Of a function's tokens: equal for texts that differ in layout and comments only."""
    body = function.body.text or b""
    return hashlib.sha256(b" ".join(tokens(body))).hexdigest()[:16]


_REMEDY = "name --expect by hand, or take a tree whose allocator is that of 13.2 or 15.1"


def _unknown(function: Function, path: str) -> UsageError:
    return UsageError(
        f"the model does not know this form of {path}, function {function.name}",
        remedy=_REMEDY,
        detail=function.excerpt,
    )
