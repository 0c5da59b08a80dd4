"""The mutants of ``sys/vm/vm_domainset.c``.

Allocations show mutants of the round-robin iterator; the others show only if a caller steps an
iterator of its own.
"""

from __future__ import annotations

from harness.cedit.edits import CallStatement, Drop, Hold, If, Negate, Replace
from harness.mutation.mutant import COUNTED, MASKED, InFunction
from harness.subsystems.domainset.codeforms import DOMAINSET

_MINIMUM = "!di->di_minskip || !vm_page_count_min_domain(*domain)"
_iter_rr = InFunction(DOMAINSET, "vm_domainset_iter_rr")
_iter_next = InFunction(DOMAINSET, "vm_domainset_iter_next")
_iter_phase_first = InFunction(DOMAINSET, "vm_domainset_iter_phase_first")
_iter_policy = InFunction(DOMAINSET, "vm_domainset_iter_policy")
_iter_page = InFunction(DOMAINSET, "vm_domainset_iter_page")
_iter_prefer = InFunction(DOMAINSET, "vm_domainset_iter_prefer")
_iter_ignore = InFunction(DOMAINSET, "vm_domainset_iter_ignore")
_PLACE = "(*di->di_iter)"
_COUNT = "di->di_domain->ds_cnt"

_RESTART_SHORT = Replace(
    "vm_domainset_iter_first(di, domain)",
    "(DOMAINSET_COPY(&di->di_min_mask, &di->di_remain_mask), "
    "vm_domainset_iter_phase_first(di, domain))",
)

ROUND_ROBIN_MUTANTS = (
    _iter_rr(
        "read-first",
        "reads its place before it advances, so that domain 0 comes first",
        Replace(f"++{_PLACE}", f"{_PLACE}++"),
        only=COUNTED,
    ),
    _iter_rr(
        "advance-first",
        "advances before it reads its place, so that domain 1 comes first",
        Replace(f"{_PLACE}++", f"++{_PLACE}"),
        only=MASKED,
    ),
    _iter_rr("stand-still", "does not advance", Hold(_PLACE)),
    _iter_rr(
        "miss-last-domain", "never comes to the last domain", Replace(_COUNT, f"({_COUNT} - 1)")
    ),
    _iter_next(
        "stand-still",
        "does not step on to the next domain",
        Drop(CallStatement("vm_domainset_iter_rr", "di, domain")),
    ),
    _iter_policy(
        "one-too-many",
        "steps on once more when it has been to every domain",
        Replace("--di->di_n", "di->di_n--"),
        only=COUNTED,
    ),
    _iter_policy(
        "negate-minimum",
        "skips the domains that have memory, in the first pass",
        Negate(_MINIMUM),
        only=COUNTED,
    ),
    _iter_policy(
        "no-second-pass",
        "does not come back to the domains that were short of memory",
        Drop(If("di->di_minskip")),
        only=COUNTED,
    ),
    _iter_next(
        "negate-minimum",
        "skips the domains that have memory, in the first phase",
        Negate(_MINIMUM),
        only=MASKED,
    ),
    _iter_next(
        "visit-twice",
        "does not strike off the domain that it steps on to",
        Drop(CallStatement("DOMAINSET_CLR", "*domain, &di->di_remain_mask")),
        only=MASKED,
    ),
    _iter_next(
        "no-second-phase",
        "does not come back to the domains that were short of memory",
        Drop(If("di->di_minskip")),
        only=MASKED,
    ),
    _iter_phase_first(
        "visit-twice",
        "does not strike off the domain that it begins with",
        Drop(CallStatement("DOMAINSET_CLR", "*domain, &di->di_remain_mask")),
        only=MASKED,
    ),
    _iter_phase_first(
        "forget-short-domain",
        "does not come back to a first domain that was short of memory",
        Drop(CallStatement("DOMAINSET_SET", "*domain, &di->di_min_mask")),
        only=MASKED,
    ),
)

CALLERS_MUTANTS = (
    _iter_policy(
        "restart-short-only",
        "after sleeping, searches only the domains that were short of memory",
        _RESTART_SHORT,
        only=MASKED,
    ),
    _iter_page(
        "restart-short-only",
        "after sleeping, searches only the domains that were short of memory",
        _RESTART_SHORT,
        only=MASKED,
    ),
    _iter_page(
        "search-despite-waitfail",
        "goes on after sleeping where the caller wants an error",
        Drop(If("(di->di_flags & VM_ALLOC_WAITFAIL) != 0")),
    ),
    _iter_prefer(
        "visit-preferred",
        "steps on to the preferred domain and to no other",
        Negate("d == di->di_domain->ds_prefer"),
        only=COUNTED,
    ),
    _iter_ignore(
        "ignore-nothing",
        "does not leave the domain out",
        Drop(CallStatement("DOMAINSET_CLR", "domain, &di->di_valid_mask")),
        only=MASKED,
    ),
)
