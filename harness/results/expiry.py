"""Which records of runs are removed, by their age and by the size of all; and their removal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from harness.errors import UsageError
from harness.host.cachesize import CacheEntry, choose, disk_usage, remove
from harness.results.store import RECORD, Store

_AGE: Final = re.compile(r"(\d{1,6})\s*([hdwmy])\Z")

#: Seconds; a month has 30 days, and a year 365.
_UNITS: Final = {"h": 3600, "d": 86400, "w": 7 * 86400, "m": 30 * 86400, "y": 365 * 86400}


def parse_age(text: str) -> int:
    """Seconds of ``12h``, ``30d``, ``8w``, ``6m`` or ``1y``.

    Raises:
        UsageError: it is no age.
    """
    found = _AGE.match(text.strip())
    if found is None:
        raise UsageError(f"{text[:60]!r} is not an age", remedy="write it as 12h, 30d, 8w or 1y")
    return int(found[1]) * _UNITS[found[2]]


def run_entries(store: Store) -> list[CacheEntry]:
    """All runs that have a record, oldest first."""
    folders = [store.folder / name for name in store.names()]
    return [
        CacheEntry("run", folder, (folder,), disk_usage(folder), (folder / RECORD).stat().st_mtime)
        for folder in folders
    ]


def expired(
    entries: Sequence[CacheEntry], *, now: float, age: int | None, limit: int | None
) -> list[CacheEntry]:
    """The runs to remove, oldest first.

    Args:
        entries: all that may be removed.
        now: seconds since the epoch.
        age: seconds after which a run goes; None for never.
        limit: bytes that the rest may take; None for any.
    """
    old = [entry for entry in entries if age is not None and now - entry.used > age]
    rest = [entry for entry in entries if entry not in old]
    return [*old, *(choose(rest, limit) if limit is not None else [])]


def kept_by(entries: Sequence[CacheEntry], consoles: Sequence[Path]) -> list[CacheEntry]:
    """The runs to which guests belong that still run.

    Args:
        entries: of runs.
        consoles: the logs of those guests.
    """
    return [
        entry
        for entry in entries
        if any(console.is_relative_to(entry.path.resolve()) for console in consoles)
    ]


def remove_run(entry: CacheEntry) -> None:
    """Remove a run; its record goes last, so that what is left of it is found again.

    Raises:
        InfraError: the host does not let us.
    """
    for path in entry.path.iterdir():
        if path.name != RECORD:
            remove(path)
    remove(entry.path)
