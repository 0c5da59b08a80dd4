"""Zones as a program of the host; see ``harness/onhost``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness.onhost.part import HostPart

_HERE = Path(__file__).resolve().parent

ZONES_ON_HOST: Final = HostPart(
    name="zones",
    follows=("sys/vm/uma_core.c", "sys/vm/vm_domainset.c", "sys/vm/uma_dbg.c"),
    module=tuple(
        _HERE / "c" / name
        for name in ("zones.c", "zones_check.c", "zones_commands.c", "zones_memory.c",
                     "zones_operations.c")
    ),
    sources=(_HERE / "c/host/zones_host.c",),
)  # fmt: skip
