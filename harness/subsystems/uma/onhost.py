"""UMA as a program of the host; see ``harness/onhost``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness.host.resources import data_file
from harness.onhost.part import HostPart

_HERE = Path(__file__).resolve().parent
_MODULE = data_file("images", "kmod")

UMA_ON_HOST: Final = HostPart(
    name="uma",
    follows=("sys/vm/uma_core.c", "sys/vm/vm_domainset.c", "sys/vm/uma_dbg.c"),
    module=(_MODULE / "slabs.c", _MODULE / "zone.c"),
    sources=(_HERE / "c/host/uma_host.c",),
    shimmed=("the kernel's own slab allocators: uma_small_alloc() before 15.0, kmem_malloc()",),
)
