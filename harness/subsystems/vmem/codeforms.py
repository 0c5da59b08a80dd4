"""Recognises the code of a tree's ``subr_vmem.c``.

The model follows one behaviour. Its functions are known by digests; names, layout, comments,
assertions and counters do not change them (``harness.cedit.definitions``). Later releases can be
built for userland, too, which changes the text of some functions, so these have several digests.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from harness.errors import UsageError
from harness.source.codefacts import Assumption, Reading

NAME: Final = "vmem"
"""Name of the subsystem and its facts."""

VMEM: Final = "sys/kern/subr_vmem.c"

FORM: Final = "boundary-tags"
"""The form: boundary tags in lists by size, and a cursor for ``M_NEXTFIT``."""

#: Releases whose code has this form.
RELEASES: Final = ("13.2", "15.1")

#: Known digests of the functions that the model follows.
FUNCTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {name: frozenset(known.split()) for name, known in {
        "_bt_fill": "85667e3de7a66bd9 09ed73cae1dba154",
        "bt_fill": "2c8e9f010031aa16",
        "bt_freetrim": "1f3051b5f9d497fa d8aab76f4f963648",
        "bt_save": "672b7a0dbd627d9e",
        "bt_restore": "58ac6b763cbcb1c0",
        "bt_freehead_tofree": "45fe59bc0e49fe2e",
        "bt_freehead_toalloc": "68414b9f992cfd75",
        "bt_lookupbusy": "6481056107131194",
        "bt_rembusy": "72c0a9bc85b2bcd7",
        "bt_insbusy": "22ae016daf8fc286",
        "bt_remseg": "4bc9d008e9f4ed11",
        "bt_insseg": "733f291e338e768a",
        "bt_insseg_tail": "d3d0ebebb1c09b6f",
        "bt_remfree": "c8cb514030034bc2",
        "bt_insfree": "6115320e35eb5f6d",
        "vmem_add1": "dd808279cb6653d2",
        "vmem_import": "fd6c48b849257b14",
        "vmem_fit": "b42b7a83b127d41b",
        "vmem_clip": "c3edd9c1cb38be67",
        "vmem_try_fetch": "4b0757320d0c5175 c05cb008f12453b0",
        "vmem_try_release": "d46e7a5b3fac560f",
        "vmem_xalloc_nextfit": "dc1f8d29d2c75d13",
        "vmem_set_import": "9e64683daa706c35",
        "vmem_set_limit": "a8b882b06b428e1f",
        "vmem_set_reclaim": "9079a61b10b259ee",
        "vmem_init": "7160521a09400e75 310fb2e9d2a1edf6",
        "vmem_roundup_size": "a2fb9fb322f1b73c",
        "vmem_alloc": "923ef8271593a2b7 dbaa31c49ac258bf",
        "vmem_xalloc": "35e11f24e8d43033",
        "vmem_free": "3f4e36a161e1c524 16e4a61acd77b905",
        "vmem_xfree": "10802ba91f81b473",
        "vmem_add": "2a148d68f58c394f",
        "vmem_size": "3a6269acd9b8446b 03cff41e7924ab0f",
    }.items()}
)  # fmt: skip


def facts() -> Mapping[str, bool]:
    """Return the form as facts."""
    return {FORM: True}


def find_form(name: str) -> str:
    """Return the form with that name or release.

    Raises:
        UsageError: there is none.
    """
    if name in (FORM, *RELEASES):
        return FORM
    raise UsageError(
        f"the model of arenas has no form {name!r}",
        remedy=f"known: {', '.join((FORM, *RELEASES))}",
    )


def read_form(vmem: bytes) -> Reading:
    """Read ``sys/kern/subr_vmem.c``."""
    # The parser of C is slow to import.
    from harness.cedit.definitions import digests

    found = digests(vmem, FUNCTIONS)
    unknown = tuple(name for name, known in FUNCTIONS.items() if found.get(name) not in known)
    return Reading(None if unknown else facts(), unknown)


def likely_form() -> Assumption:
    """Return the only form."""
    return facts(), "the only form that is known"
