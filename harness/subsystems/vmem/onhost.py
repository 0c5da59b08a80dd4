"""Arenas in host programs (``harness.onhost``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from harness.onhost.part import HostPart
from harness.subsystems.vmem.codeforms import FUNCTIONS, VMEM

_HERE = Path(__file__).resolve().parent

VMEM_ON_HOST: Final = HostPart(
    name="vmem",
    follows=(VMEM,),
    module=(_HERE / "c/arena.c", _HERE / "c/arena_commands.c"),
    sources=(_HERE / "c/host/arena_host.c",),
    shimmed=("condvar(9): arenas have nobody who waits",),
    functions={VMEM: re.compile("|".join(FUNCTIONS))},
    exchanges={
        b"M_BESTFIT": (b"M_FIRSTFIT",),
        b"M_FIRSTFIT": (b"M_BESTFIT",),
        b"BT_TYPE_FREE": (b"BT_TYPE_BUSY",),
        b"BT_TYPE_BUSY": (b"BT_TYPE_FREE",),
        b"bt_start": (b"bt_size",),
        b"vm_inuse": (b"vm_size",),
        b"minaddr": (b"maxaddr",),
        b"nocross": (b"align",),
    },
)
