"""Recognises the form of a tree's ``vm_domainset.c``.

A known form has a digest for each function that the model follows; names, layout, comments,
assertions and counters do not change it (``harness.cedit.definitions``). A text with any other
function has no known form.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from harness.errors import UsageError
from harness.source.codefacts import Assumption, Reading
from harness.subsystems.domainset.model.form import Form

NAME: Final = "domainset"
"""Name of the subsystem and its facts."""

DOMAINSET: Final = "sys/vm/vm_domainset.c"

#: The release in which each form was first seen, as another name of the form.
RELEASES: Mapping[str, Form] = MappingProxyType({"13.2": Form.COUNTED, "15.1": Form.PHASED})

#: ``__FreeBSD_version`` from which on iterators keep masks.
MASKED_SINCE: Final = 1500000

#: Digests of the functions that the model follows, by form.
FUNCTIONS: Mapping[Form, Mapping[str, str]] = MappingProxyType(
    {
        Form.COUNTED: {
            "vm_domainset_iter_init": "18730fcd16ef418e",
            "vm_domainset_iter_rr": "a649279583c370de",
            "vm_domainset_iter_prefer": "1df7e409f40a18be",
            "vm_domainset_iter_interleave": "32b72c445377adc9",
            "vm_domainset_iter_first": "14e0cb10882ed7bf",
            "vm_domainset_iter_next": "87ac3194b8b2c676",
            "vm_domainset_iter_page_init": "399bcdcbb6e16310",
            "vm_domainset_iter_page": "ed51595b1dba8462",
            "_vm_domainset_iter_policy_init": "0dfacfb47bbc40cc",
            "vm_domainset_iter_policy_init": "d57d49bb657caa98",
            "vm_domainset_iter_policy_ref_init": "fc1d9dd1de030925",
            "vm_domainset_iter_policy": "05ebdeeb4c1561ec",
        },
        Form.RESTART: {
            "vm_domainset_iter_init": "f8b1352ae3b67268",
            "vm_domainset_iter_rr": "a649279583c370de",
            "vm_domainset_iter_interleave": "32b72c445377adc9",
            "vm_domainset_iter_first": "a7f188978a8f6cfc",
            "vm_domainset_iter_next": "1375dc5bc4aee6db",
            "vm_domainset_iter_page_init": "399bcdcbb6e16310",
            "vm_domainset_iter_page": "5b7225d41ceeadbe",
            "_vm_domainset_iter_policy_init": "0dfacfb47bbc40cc",
            "vm_domainset_iter_policy_init": "d57d49bb657caa98",
            "vm_domainset_iter_policy_ref_init": "fc1d9dd1de030925",
            "vm_domainset_iter_policy": "be93bb46c7cb9faf",
            "vm_domainset_iter_ignore": "09ecadfa84d19a00",
        },
        Form.PHASED: {
            "vm_domainset_iter_init": "a4a49bace72bd0af",
            "vm_domainset_iter_rr": "d9fcb4c1dbce9a20",
            "vm_domainset_iter_interleave": "0ba28bd0d98939b9",
            "vm_domainset_iter_phase_first": "2fcc16a5c50c5ac2",
            "vm_domainset_iter_first": "1851866333ea444c",
            "vm_domainset_iter_next": "bc53f5fb00c02887",
            "vm_domainset_iter_page_init": "262d19e673a9c065",
            "vm_domainset_iter_page": "c270f30d1e0df242",
            "_vm_domainset_iter_policy_init": "c83af559184e0b42",
            "vm_domainset_iter_policy_init": "94a4f36caa1a21ab",
            "vm_domainset_iter_policy_ref_init": "2234b95ddbb3344a",
            "vm_domainset_iter_policy": "2eb31f0af87a5a90",
            "vm_domainset_iter_ignore": "09ecadfa84d19a00",
        },
    }
)


def facts_of(form: Form) -> Mapping[str, bool]:
    """Return a form as facts: the fact with its name is true."""
    return {each.value: each is form for each in Form}


def form_of(values: Mapping[str, bool]) -> Form:
    """Return the form of these facts."""
    return next(form for form in Form if values[form.value])


def find_form(name: str) -> Form:
    """Return the form with that name or release.

    Raises:
        UsageError: there is none.
    """
    if name in RELEASES:
        return RELEASES[name]
    if name in tuple(Form):
        return Form(name)
    raise UsageError(
        f"the model of iterators has no form {name!r}",
        remedy=f"known: {', '.join((*Form, *RELEASES))}",
    )


def read_form(domainset: bytes) -> Reading:
    """Read ``sys/vm/vm_domainset.c``."""
    found = _digests(domainset)
    likely = _likeliest(found)
    functions = FUNCTIONS[likely]
    unknown = tuple(name for name, known in functions.items() if found.get(name) != known)
    return Reading(None if unknown else facts_of(likely), unknown)


def likely_form(domainset: bytes, freebsd_version: int) -> Assumption:
    """Return the form of most functions; if no function is known, the form of the release."""
    found = _digests(domainset)
    if _alike(found, likely := _likeliest(found)):
        return facts_of(likely), "the release whose iterator it resembles"
    form = Form.PHASED if freebsd_version >= MASKED_SINCE else Form.COUNTED
    return facts_of(form), f"by its __FreeBSD_version {freebsd_version}"


def _alike(found: Mapping[str, str], form: Form) -> int:
    return sum(found.get(name) == known for name, known in FUNCTIONS[form].items())


def _likeliest(found: Mapping[str, str]) -> Form:
    return max(Form, key=lambda form: _alike(found, form))


def _digests(text: bytes) -> dict[str, str]:
    # The parser of C is slow to import.
    from harness.cedit.definitions import digests
    from harness.mutation.mutant import numa_part

    followed = {name for known in FUNCTIONS.values() for name in known}
    return digests(numa_part(text), followed)
