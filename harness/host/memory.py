"""The memory of this host."""

from __future__ import annotations

import psutil


def available_memory() -> int:
    """Return the bytes that are available to new processes without swapping."""
    return int(psutil.virtual_memory().available)
