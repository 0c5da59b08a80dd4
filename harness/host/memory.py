"""The memory of this host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_MEMINFO: Final = Path("/proc/meminfo")


def available_memory(meminfo: Path = _MEMINFO) -> int:
    """Return the bytes that are available to new processes without swapping.

    Args:
        meminfo: Linux's account of it, proc(5).
    """
    try:
        found = re.search(r"^MemAvailable: *(\d+) kB$", meminfo.read_text("ascii"), re.MULTILINE)
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) * 1024
    import psutil  # slow to import, and only needed on other systems

    return int(psutil.virtual_memory().available)
