"""Iterators over domains in host programs (``harness.onhost``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.onhost.part import HostPart
from harness.subsystems.domainset.codeforms import DOMAINSET

if TYPE_CHECKING:
    from harness.onhost.part import ReadFile

_HERE = Path(__file__).resolve().parent
_HEADER: Final = "sys/vm/vm_domainset.h"

#: Macros that depend on the tree's header, as in ``c/domainset.mk``.
_ASKED: Final = (
    ("ITER_MASKS", r"di_valid_mask"),
    ("ITER_PAGES", r"pctrie_iter"),
    ("ITER_ERROR", r"^int.*vm_domainset_iter_page_init"),
)


def _flags(read: ReadFile) -> Sequence[str]:
    header = read(_HEADER) or ""
    return [
        f"-D{name}={int(re.search(pattern, header, re.MULTILINE) is not None)}"
        for name, pattern in _ASKED
    ]


DOMAINSET_ON_HOST: Final = HostPart(
    name="domainset",
    follows=("sys/vm/vm_domainset.c",),
    module=(_HERE / "c/domainset.c", _HERE / "c/domainset_commands.c"),
    sources=(_HERE / "c/host/domainset_host.c",),
    shimmed=("vm_object(9): one object, with a lock and a policy",),
    flags=_flags,
    functions={DOMAINSET: re.compile(r"_?vm_domainset_iter_\w+")},
    exchanges={
        b"M_WAITOK": (b"M_NOWAIT",),
        b"M_NOWAIT": (b"M_WAITOK",),
        b"di_n": (b"di_minskip",),
        b"VM_ALLOC_NOWAIT": (b"VM_ALLOC_WAITOK",),
        b"VM_ALLOC_WAITOK": (b"VM_ALLOC_NOWAIT",),
        b"di_valid_mask": (b"di_remain_mask",),
        b"di_remain_mask": (b"di_valid_mask",),
        b"di_min_mask": (b"di_remain_mask",),
    },
)
