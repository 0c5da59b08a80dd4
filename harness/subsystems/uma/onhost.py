"""UMA's slab layer in host programs (``harness.onhost``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from harness.onhost.part import HostPart

_HERE = Path(__file__).resolve().parent

#: The slab layer, and what allocates from it without a bucket.
_FUNCTIONS: Final = re.compile(
    r"(?:keg|slab)_\w+|uma_prealloc|uma_zone_reserve|zone_import|zone_alloc_item"
)
_EXCHANGES: Final = {
    b"M_WAITOK": (b"M_NOWAIT",), b"M_NOWAIT": (b"M_WAITOK",), b"M_USE_RESERVE": (b"M_NOVM",),
    b"M_NOVM": (b"M_USE_RESERVE",), b"ud_part_slab": (b"ud_free_slab", b"ud_full_slab"),
    b"ud_free_slab": (b"ud_part_slab",), b"ud_full_slab": (b"ud_part_slab",),
    b"ud_free_items": (b"ud_free_slabs",), b"ud_free_slabs": (b"ud_free_items",),
    b"min": (b"max",), b"max": (b"min",),
}  # fmt: skip

UMA_ON_HOST: Final = HostPart(
    name="uma",
    follows=("sys/vm/uma_core.c", "sys/vm/vm_domainset.c", "sys/vm/uma_dbg.c"),
    module=tuple(
        _HERE / "c" / name for name in ("slabs.c", "zone.c", "zone_commands.c", "zone_trace.c")
    ),
    sources=(_HERE / "c/host/uma_host.c",),
    functions={"sys/vm/uma_core.c": _FUNCTIONS},
    exchanges=_EXCHANGES,
    kept=("UMA_MD_SMALL_ALLOC", "UMA_USE_DMAP"),
    reasons=_HERE / "survivors.json",
    shimmed=("the kernel's own slab allocators: uma_small_alloc() before 15.0, kmem_malloc()",),
)
