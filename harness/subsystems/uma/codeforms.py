"""Recognises the form of a tree's slab code.

A known form has a digest for each function that the reference model follows; names, layout,
comments, assertions and counters do not change it (``harness.cedit.definitions``). A text with a
known form selects a variant of the model; any other text selects none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.subsystems.domainset.codeforms import FUNCTIONS, MASKED_SINCE
from harness.subsystems.domainset.model.form import Form
from harness.subsystems.uma.model.variants import Variant

NAME = "uma"
"""Name of the subsystem and its facts."""

UMA_CORE = "sys/vm/uma_core.c"


@dataclass(frozen=True, slots=True)
class FormReading:
    """The form of two texts.

    Args:
        form: the form; None if a function is unknown.
        unknown: the unknown functions.
        masked: whether most functions that differ between the two iterators are those of the one
            with masks; None if they are evenly divided.
    """

    form: Variant | None
    unknown: tuple[str, ...]
    masked: bool | None


#: Digests of functions that are the same in all variants.
_KNOWN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "keg_first_slab": frozenset({"7579105aadcbb5b9"}),
        "keg_fetch_free_slab": frozenset({"303d79c0d33babf5"}),
        "keg_alloc_slab": frozenset({"82dce17ebc954ddc", "6695e03115b05e9b"}),
        "slab_alloc_item": frozenset({"839243a7e9d1df0b"}),
        "slab_free_item": frozenset({"6903297c63b2503b"}),
        "uma_prealloc": frozenset({"db179cfa7f7f383a", "7027671c482a3838"}),
        "uma_zone_reserve": frozenset({"400a0acc82586492"}),
        "zone_alloc_item": frozenset({"77b379f753df78a2"}),
        "zone_import": frozenset({"18ea0a66698069f1"}),
    }
)

_FETCH_SLAB = "keg_fetch_slab"
#: Its digests, and for each: masked iterator, reserve fallback, domain wait.
_FETCHES: Mapping[str, tuple[bool, bool, bool]] = MappingProxyType(
    {
        "c0433e45a74d4141": (False, True, True),
        "9acdaf7db139f338": (False, False, True),
        "4d711e25949d4f5a": (False, True, False),
        "56deae084d6d5484": (False, False, False),
        "936a54f6a1a42904": (False, False, False),  # as 13.0 has it
        "27ac0bb3cedb3052": (True, True, True),
        "c1c52eaf96df33af": (True, False, True),
        "2b94b7f7193fe5ca": (True, True, False),
        "97a090108e339ca1": (True, False, False),
    }
)

_ROUND_ROBIN = "vm_domainset_iter_rr"
#: Whether it advances the iterator before it reads it.
_ADVANCES: Mapping[str, bool] = MappingProxyType(
    {"a649279583c370de": True, "d9fcb4c1dbce9a20": False}
)

#: Functions of iterators through which the keg goes; ``policy_init`` and pages are others'.
_FOLLOWED = frozenset(
    {
        "vm_domainset_iter_init", "vm_domainset_iter_first", "vm_domainset_iter_next",
        "vm_domainset_iter_prefer", "vm_domainset_iter_interleave",
        "vm_domainset_iter_phase_first", "_vm_domainset_iter_policy_init",
        "vm_domainset_iter_policy_ref_init", "vm_domainset_iter_policy",
    }
)  # fmt: skip

#: The rest of the iterator, by whether it keeps masks.
_ITERATORS: Mapping[bool, Mapping[str, str]] = MappingProxyType(
    {
        masked: {name: known for name, known in FUNCTIONS[form].items() if name in _FOLLOWED}
        for masked, form in ((False, Form.COUNTED), (True, Form.PHASED))
    }
)


def read_form(uma_core: bytes, domainset: bytes) -> FormReading:
    """Read ``sys/vm/uma_core.c`` and ``sys/vm/vm_domainset.c``."""
    found = {**_digests(uma_core), **_digests(domainset)}
    fetch = _FETCHES.get(found.get(_FETCH_SLAB, ""))
    advances = _ADVANCES.get(found.get(_ROUND_ROBIN, ""))
    masked = _resembles(found, fetch)
    unknown = [name for name, known in _KNOWN.items() if found.get(name) not in known]
    unknown += [] if fetch is not None and fetch[0] is masked else [_FETCH_SLAB]
    unknown += [] if advances is not None else [_ROUND_ROBIN]
    iterator = _ITERATORS[bool(masked)]
    unknown += [name for name, known in iterator.items() if found.get(name) != known]
    if unknown or fetch is None or advances is None or masked is None:
        return FormReading(None, tuple(unknown), masked)
    return FormReading(Variant(advances, masked, fetch[1], fetch[2]), (), masked)


def likely_form(reading: FormReading, freebsd_version: int) -> tuple[Variant, str]:
    """Return the form of a text without a known form, with the commit; and the reason."""
    masked, why = reading.masked, "the release whose iterator it resembles"
    if masked is None:
        masked = freebsd_version >= MASKED_SINCE
        why = f"by its __FreeBSD_version {freebsd_version}"
    return Variant(not masked, masked, reserve_fallback=True, domain_wait=True), why


def _resembles(found: Mapping[str, str], fetch: tuple[bool, bool, bool] | None) -> bool | None:
    """Return which iterator most functions belong to; ``keg_fetch_slab`` also depends on it."""
    alike = {
        masked: sum(found.get(name) == known for name, known in functions.items())
        for masked, functions in _ITERATORS.items()
    }
    if fetch is not None:
        alike[fetch[0]] += 1
    return None if alike[False] == alike[True] else alike[True] > alike[False]


def _digests(text: bytes) -> dict[str, str]:
    """Return the digests of the functions of a file that the model follows."""
    from harness.cedit.definitions import digests  # slow to import

    return digests(text, {*_KNOWN, _FETCH_SLAB, _ROUND_ROBIN, *_FOLLOWED})
