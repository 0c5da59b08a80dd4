"""The mutants of ``sys/vm/uma_core.c``: faults in the functions that allocate slabs."""

from __future__ import annotations

from harness.cedit.edits import (
    CallOf,
    CallStatement,
    Decide,
    Drop,
    If,
    Negate,
    Replace,
    Statement,
)
from harness.mutation.mutant import COUNTED, InFunction
from harness.subsystems.uma.codeforms import UMA_CORE

_NEXT_DOMAIN = "(domain + 1) % vm_ndomains"
_ROUND_ROBIN, _FIRST_TOUCH = "rr", "!rr"
_USE_RESERVE = "flags & M_USE_RESERVE"
_WAITOK, _NOT_WAITOK = "flags & M_WAITOK", "!(flags & M_WAITOK)"
_MAY_ALLOCATE = "!(flags & M_NOVM)"
_HASHED = "keg->uk_flags & UMA_ZFLAG_HASH"
_PARTIAL, _FREE, _FULL = "&dom->ud_part_slab", "&dom->ud_free_slab", "&dom->ud_full_slab"
_LOOK = "keg_fetch_free_slab(keg, domain, rr, flags)"
_FURTHER = "vm_domainset_iter_policy(&di, &domain)"

# --- the commit -----------------------------------------------------------------------------

_fetch_slab = InFunction(UMA_CORE, "keg_fetch_slab")
_DROP_RESERVE_FALLBACK = Drop(
    If(_USE_RESERVE, does=("rdomain = UMA_ANYDOMAIN;", "goto restart;")), given=_FIRST_TOUCH
)
_DROP_DOMAIN_WAIT = Drop(CallStatement("vm_wait_domain", "domain"), given=_FIRST_TOUCH)

_COMMIT = (
    _fetch_slab(
        "drop-reserve-fallback",
        "M_USE_RESERVE does not look for a slab in other domains than the one asked for",
        _DROP_RESERVE_FALLBACK,
    ),
    _fetch_slab(
        "drop-domain-wait",
        "M_WAITOK tries the domain again at once instead of waiting for its memory",
        _DROP_DOMAIN_WAIT,
    ),
    _fetch_slab(
        "drop-commit",
        "keg_fetch_slab() as it was before it got its M_USE_RESERVE handling",
        _DROP_RESERVE_FALLBACK,
        _DROP_DOMAIN_WAIT,
    ),
)

# --- which slab of a domain -----------------------------------------------------------------

_first_slab = InFunction(UMA_CORE, "keg_first_slab")
_HAS_PARTIAL = f"(slab = LIST_FIRST({_PARTIAL})) != NULL"
_HAS_FREE = f"(slab = LIST_FIRST({_FREE})) != NULL"
_NEVER_WALKS = (
    "keg_fetch_free_slab() is the only caller, and calls it under the domain's lock with more free "
    "items in that domain than the reserve, so more than none; whoever counts a free item "
    "(keg_alloc_slab, slab_free_item) puts its slab into the partial or the free list under the "
    "same lock, so the first round finds one"
)

_FIRST_SLAB = (
    _first_slab(
        "skip-partial", "slabs that are partly used are never found", Drop(If(_HAS_PARTIAL))
    ),
    _first_slab(
        "negate-partial", "free slabs are found only where one is partly used", Negate(_HAS_PARTIAL)
    ),
    _first_slab("skip-free", "slabs that are wholly free are never found", Drop(If(_HAS_FREE))),
    _first_slab(
        "negate-free", "takes the first free slab only if there is none", Negate(_HAS_FREE)
    ),
    _first_slab(
        "lose-free-slab-count",
        "a free slab that is taken into use still counts as free",
        Drop(Statement("dom->ud_free_slabs--;")),
    ),
    _first_slab(
        "keep-in-free-list",
        "a free slab that is taken into use stays in the list of free slabs, too",
        Drop(CallStatement("LIST_REMOVE", "slab, us_link")),
    ),
    _first_slab(
        "lose-slab",
        "a free slab that is taken into use is in no list",
        Drop(CallStatement("LIST_INSERT_HEAD", f"{_PARTIAL}, slab, us_link")),
    ),
    _first_slab(
        "into-full-list",
        "a free slab that is taken into use goes to the full ones",
        Replace(_PARTIAL, _FULL, inside=CallOf("LIST_INSERT_HEAD")),
    ),
    _first_slab(
        "negate-round-robin",
        "walks on to other domains for those who name one, and only for them",
        Negate(_ROUND_ROBIN),
        equivalent=_NEVER_WALKS,
    ),
    _first_slab(
        "skip-a-domain",
        "every second domain is left out on the walk through the domains",
        Replace("domain + 1", "domain + 2"),
        equivalent=_NEVER_WALKS,
    ),
)

# --- a slab of a domain, if the reserve allows ----------------------------------------------

_fetch_free_slab = InFunction(UMA_CORE, "keg_fetch_free_slab")
_ITEMS = "keg->uk_domain[domain].ud_free_items"

_FETCH_FREE_SLAB = (
    _fetch_free_slab(
        "skip-hash-domain",
        "zones that keep all slabs in domain 0 look for them in the domain asked for",
        Drop(If(_HASHED)),
    ),
    _fetch_free_slab(
        "negate-hash-domain",
        "all zones but those that keep all slabs in domain 0 look there",
        Negate(_HASHED),
    ),
    _fetch_free_slab(
        "ignore-use-reserve",
        "M_USE_RESERVE gets nothing of the reserve",
        Decide(_USE_RESERVE, False),
    ),
    _fetch_free_slab(
        "negate-use-reserve",
        "the reserve is for everybody but M_USE_RESERVE",
        Negate(_USE_RESERVE),
    ),
    _fetch_free_slab("no-reserve", "everybody gets the reserve", Replace("keg->uk_reserve", "0")),
    _fetch_free_slab(
        "reserve-one-less",
        "everybody gets one item of the reserve",
        Replace(f"{_ITEMS} <= reserve", f"{_ITEMS} < reserve"),
    ),
    _fetch_free_slab(
        "reserve-one-more",
        "one item more than the reserve is kept, even from M_USE_RESERVE",
        Replace(f"{_ITEMS} <= reserve", f"{_ITEMS} <= reserve + 1"),
    ),
    _fetch_free_slab(
        "count-in-domain-0",
        "free items are counted in domain 0, whichever domain is looked at",
        Replace("keg->uk_domain[domain]", "keg->uk_domain[0]"),
    ),
    _fetch_free_slab(
        "search-next-domain",
        "free items are counted in one domain and looked for in the next",
        Replace("domain", _NEXT_DOMAIN, inside=CallOf("keg_first_slab")),
    ),
    _fetch_free_slab(
        "always-walk",
        "a slab may be one of another domain than the one named",
        Replace(_ROUND_ROBIN, "true", inside=CallOf("keg_first_slab")),
        equivalent=_NEVER_WALKS,
    ),
    _fetch_free_slab(
        "lose-unlock",
        "the domain stays locked where there is nothing",
        Drop(CallStatement("KEG_UNLOCK", "keg, domain")),
    ),
)

# --- a slab, from wherever ------------------------------------------------------------------

_FETCH_SLAB = (
    _fetch_slab(
        "negate-any-domain",
        "the policy chooses for those who name a domain, and for nobody else",
        Replace("rdomain == UMA_ANYDOMAIN", "rdomain != UMA_ANYDOMAIN"),
    ),
    _fetch_slab(
        "look-in-next-domain",
        "looks for a slab in the domain after the right one",
        Replace("domain", _NEXT_DOMAIN, inside=Statement(f"slab = {_LOOK};")),
    ),
    _fetch_slab(
        "always-fresh",
        "takes a fresh slab though there are free items",
        Replace(_LOOK, "NULL", inside=Statement(f"slab = {_LOOK};")),
    ),
    _fetch_slab(
        "ignore-novm", "allocates a fresh slab under M_NOVM, too", Decide(_MAY_ALLOCATE, holds=True)
    ),
    _fetch_slab("negate-novm", "allocates a fresh slab under M_NOVM only", Negate(_MAY_ALLOCATE)),
    _fetch_slab(
        "fresh-from-next-domain",
        "a fresh slab is of the domain after the right one",
        Replace("domain", _NEXT_DOMAIN, inside=CallOf("keg_alloc_slab")),
    ),
    _fetch_slab(
        "negate-first-touch",
        "steps on to the next domain only where one was named",
        Negate(_FIRST_TOUCH),
    ),
    _fetch_slab(
        "negate-use-reserve",
        "all look into other domains but those with M_USE_RESERVE",
        Negate(_USE_RESERVE),
    ),
    _fetch_slab(
        "lose-restart",
        "M_USE_RESERVE does not start over when it has turned to other domains",
        Drop(Statement("goto restart;"), given=_USE_RESERVE),
    ),
    _fetch_slab(
        "restart-in-same-domain",
        "M_USE_RESERVE starts over, and over, in the domain asked for",
        Drop(Statement("rdomain = UMA_ANYDOMAIN;"), given=_USE_RESERVE),
    ),
    _fetch_slab(
        "fall-back-to-domain-0",
        "M_USE_RESERVE falls back to domain 0 and to no other",
        Replace("UMA_ANYDOMAIN", "0", inside=Statement("rdomain = UMA_ANYDOMAIN;")),
    ),
    _fetch_slab(
        "negate-waitok",
        "M_WAITOK gives up where M_NOWAIT should, and the other way round",
        Negate(_NOT_WAITOK),
    ),
    _fetch_slab(
        "wait-for-domain-0",
        "waits for memory in domain 0, whichever domain is short",
        Replace("domain", "0", inside=CallOf("vm_wait_domain")),
    ),
    _fetch_slab(
        "negate-further",
        "gives up when there is a further domain, and goes on when there is none",
        Negate(_FURTHER),
    ),
    _fetch_slab(
        "lose-round-robin-restart",
        "does not start over when it has waited for memory in any domain",
        Drop(Statement("goto restart;"), given=_WAITOK),
        only=COUNTED,
    ),
    _fetch_slab(
        "lose-round-robin-wait",
        "tries all domains again at once instead of waiting for memory in one",
        Drop(CallStatement("vm_wait_doms", "&keg->uk_dr.dr_policy->ds_mask, 0"), given=_WAITOK),
        only=COUNTED,
    ),
    _fetch_slab(
        "lose-last-look",
        "does not look again before it gives up",
        Drop(If(f"(slab = {_LOOK}) != NULL")),
    ),
)

# --- slabs ahead of need --------------------------------------------------------------------

_prealloc = InFunction(UMA_CORE, "uma_prealloc")
_GOT_ONE = "slab != NULL"

_PREALLOC = (
    _prealloc(
        "one-too-few", "makes one slab less than needed", Replace("slabs-- > 0", "slabs-- > 1")
    ),
    _prealloc(
        "one-too-many", "makes one slab more than needed", Replace("slabs-- > 0", "slabs-- >= 0")
    ),
    _prealloc(
        "round-down",
        "makes slabs for less than the items asked for",
        Replace("howmany(items, keg->uk_ipers)", "items / keg->uk_ipers"),
    ),
    _prealloc(
        "lose-free-slab-count",
        "the new free slab does not count as one",
        Drop(Statement("dom->ud_free_slabs++;")),
    ),
    _prealloc(
        "keep-in-partial-list",
        "the new slab is in the list of partly used slabs, too",
        Drop(CallStatement("LIST_REMOVE", "slab, us_link")),
    ),
    _prealloc(
        "lose-slab",
        "the new slab is in no list",
        Drop(CallStatement("LIST_INSERT_HEAD", f"{_FREE}, slab, us_link")),
    ),
    _prealloc(
        "into-full-list",
        "the new slab goes to the full ones",
        Replace(_FREE, _FULL, inside=CallOf("LIST_INSERT_HEAD")),
    ),
    _prealloc(
        "into-domain-0",
        "the new slab goes into the lists of domain 0, whichever domain it is of",
        Replace("keg->uk_domain[slab->us_domain]", "keg->uk_domain[0]"),
    ),
    _prealloc(
        "all-from-domain-0",
        "all slabs are of domain 0",
        Replace("domain", "0", inside=CallOf("keg_alloc_slab")),
    ),
    _prealloc(
        "lose-unlock",
        "the domain of the new slab stays locked",
        Drop(CallStatement("KEG_UNLOCK", "keg, slab->us_domain")),
    ),
    _prealloc("lose-end", "makes slabs for ever", Drop(Statement("break;"), given=_GOT_ONE)),
)

UMA_CORE_MUTANTS = (*_COMMIT, *_FIRST_SLAB, *_FETCH_FREE_SLAB, *_FETCH_SLAB, *_PREALLOC)
