"""Zones as a host program; see ``harness/onhost``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from harness.onhost.part import HostPart

_HERE = Path(__file__).resolve().parent

#: Zones, their buckets and their caches, without statistics and what only serves sysctl(8), on
#: which no operation depends.
_FUNCTIONS: Final = re.compile(
    r"(?!\w*(?:sysctl|stat|warning|memory))"
    r"(?:(?:bucket|cache|hash|item|pcpu_cache|uma_z|zone)_?\w+|uma_timeout|uma_reclaim_domain\w*)"
)
_EXCHANGES: Final = {
    b"M_WAITOK": (b"M_NOWAIT",), b"M_NOWAIT": (b"M_WAITOK",), b"ub_cnt": (b"ub_entries",),
    b"ub_entries": (b"ub_cnt",), b"uc_allocbucket": (b"uc_freebucket",),
    b"uc_freebucket": (b"uc_allocbucket",), b"uz_bucket_size": (b"uz_bucket_size_max",),
    b"uz_bucket_size_max": (b"uz_bucket_size",), b"uzd_imin": (b"uzd_imax",),
    b"uzd_imax": (b"uzd_imin",), b"STAILQ_INSERT_HEAD": (b"STAILQ_INSERT_TAIL",),
    b"STAILQ_INSERT_TAIL": (b"STAILQ_INSERT_HEAD",), b"min": (b"max",), b"max": (b"min",),
}  # fmt: skip

ZONES_ON_HOST: Final = HostPart(
    name="zones",
    follows=("sys/vm/uma_core.c", "sys/vm/vm_domainset.c", "sys/vm/uma_dbg.c"),
    module=tuple(
        _HERE / "c" / name
        for name in (
            "zones.c", "zones_allocation.c", "zones_callbacks.c", "zones_check.c",
            "zones_commands.c", "zones_items.c", "zones_memory.c", "zones_moved.c",
            "zones_operations.c", "zones_own.c", "zones_readers.c", "zones_reclaim.c",
        )
    ),
    sources=tuple(_HERE / "c/host" / name for name in ("zones_host.c", "zones_threads.c")),
    functions={"sys/vm/uma_core.c": _FUNCTIONS},
    exchanges=_EXCHANGES,
    races=_HERE / "races.json",
)  # fmt: skip
