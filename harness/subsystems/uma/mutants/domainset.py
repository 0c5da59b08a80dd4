"""The mutants of ``sys/vm/vm_domainset.c``: what may go wrong in the round-robin iterator."""

from __future__ import annotations

from harness.cedit.edits import Branch, Call, Drop, Hold, Negate, Replace
from harness.mutation.mutant import COUNTED, MASKED, InFunction
from harness.subsystems.uma.forms import DOMAINSET

_MINIMUM = "!di->di_minskip || !vm_page_count_min_domain(*domain)"
_iter_rr = InFunction(DOMAINSET, "vm_domainset_iter_rr")
_iter_next = InFunction(DOMAINSET, "vm_domainset_iter_next")
_iter_phase_first = InFunction(DOMAINSET, "vm_domainset_iter_phase_first")
_iter_policy = InFunction(DOMAINSET, "vm_domainset_iter_policy")
_PLACE = "(*di->di_iter)"
_COUNT = "di->di_domain->ds_cnt"

DOMAINSET_MUTANTS = (
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
        Drop(Call("vm_domainset_iter_rr", "di, domain")),
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
        Drop(Branch("di->di_minskip")),
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
        Drop(Call("DOMAINSET_CLR", "*domain, &di->di_remain_mask")),
        only=MASKED,
    ),
    _iter_next(
        "no-second-phase",
        "does not come back to the domains that were short of memory",
        Drop(Branch("di->di_minskip")),
        only=MASKED,
    ),
    _iter_phase_first(
        "visit-twice",
        "does not strike off the domain that it begins with",
        Drop(Call("DOMAINSET_CLR", "*domain, &di->di_remain_mask")),
        only=MASKED,
    ),
    _iter_phase_first(
        "forget-short-domain",
        "does not come back to a first domain that was short of memory",
        Drop(Call("DOMAINSET_SET", "*domain, &di->di_min_mask")),
        only=MASKED,
    ),
)
