"""UMA as a program of the host; see ``harness/onhost``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness.onhost.part import HostPart

_HERE = Path(__file__).resolve().parent

UMA_ON_HOST: Final = HostPart(
    name="uma",
    follows=("sys/vm/uma_core.c", "sys/vm/vm_domainset.c", "sys/vm/uma_dbg.c"),
    module=tuple(
        _HERE / "c" / name for name in ("slabs.c", "zone.c", "zone_commands.c", "zone_trace.c")
    ),
    sources=(_HERE / "c/host/uma_host.c",),
    shimmed=("the kernel's own slab allocators: uma_small_alloc() before 15.0, kmem_malloc()",),
)
